/** Scenarios in files: the shipped ones, and those of users. */
import { readFileSync } from "node:fs"
import { Schema } from "effect"
import { Scenario } from "./Schemas.ts"

export const scenarioNames = [
  "augmented",
  "swarm",
  "team",
  "fleet",
  "augmented-imagenet",
  "swarm-imagenet",
] as const

export const decodeScenario = Schema.decodeUnknownSync(Scenario)

/** A shipped scenario by name, or one from a file path ending in `.json`. */
export const loadScenario = (name: string): Scenario => {
  const file = name.endsWith(".json") ? name : new URL(`scenarios/${name}.json`, import.meta.url)
  return decodeScenario(JSON.parse(readFileSync(file, "utf8")))
}
