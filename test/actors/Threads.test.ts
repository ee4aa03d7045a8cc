/**
 * The threads that compute and plan load no schemas and no Effect: each would take 15 to 20 MB for them (`supernet/Schemas.ts`).
 */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, it } from "@effect/vitest"

/** Packages that a module loads, with the chain of modules by which it comes to each. */
const packagesOf = (entry: URL): ReadonlyArray<readonly [name: string, chain: ReadonlyArray<string>]> => {
  const seen = new Set<string>()
  const found: Array<readonly [string, ReadonlyArray<string>]> = []
  const visit = (url: URL, chain: ReadonlyArray<string>) => {
    if (seen.has(url.href)) return
    seen.add(url.href)
    const text = readFileSync(fileURLToPath(url), "utf8")
    for (const [, name = ""] of text.matchAll(
      /^(?:import|export) (?!type\b)(?:[^"'`=;]*? from )?"([^"]+)"/gm,
    )) {
      const next = [...chain, url.pathname.split("/").slice(-2).join("/")]
      if (name.startsWith(".")) visit(new URL(name, url), next)
      else if (!name.startsWith("node:")) found.push([name, next])
    }
  }
  visit(entry, [])
  return found
}

it.each([
  ["devices/engine/EngineWorker.ts", "onnxruntime-node"],
  ["actors/PlannerWorker.ts", "protobufjs/minimal.js"],
])("%s loads no schemas", (entry, needed) => {
  const packages = packagesOf(new URL(`../../${entry}`, import.meta.url))
  assert.include(
    packages.map(([name]) => name),
    needed,
  )
  const effect = packages.filter(([name]) => name === "effect" || name.startsWith("effect/"))
  assert.deepStrictEqual(effect, [], "import the type alone, or the schema from Schemas.ts")
})
