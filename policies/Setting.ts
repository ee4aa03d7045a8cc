/**
 * A scenario with the models that belong to it: the space of its supernet, profiles of its devices, accuracy of its
 * submodels. The one place that says which accuracy model stands for which supernet.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Result, Schema } from "effect"
import { defaultOverheads } from "../devices/latency/Overheads.ts"
import { profileNamed } from "../devices/profiles/Shipped.ts"
import { untrainedSpec } from "../supernet/Artifact.ts"
import { imagenetResolutions } from "../supernet/imagenet/ImagenetAccuracy.ts"
import { SupernetSpec } from "../supernet/Schemas.ts"
import { ofaMobileNetV3 } from "../supernet/Spec.ts"
import { type AccuracySource, artifactAccuracy, hasPredictor } from "./ArtifactAccuracy.ts"
import { spaceOf } from "./Genome.ts"
import { imagenetNumbers, imagenetWorldAccuracy } from "./ImagenetWorldAccuracy.ts"
import { withMeasuredAccuracy } from "./MeasuredRange.ts"
import { modelWorld } from "./ModelWorld.ts"
import { publishedShape } from "./PublishedShape.ts"
import type { Scenario } from "./Scenario.ts"
import { loadScenario } from "./ScenarioFiles.ts"
import type { World } from "./World.ts"

export interface Setting {
  readonly scenario: Scenario
  readonly world: World
  /** Where accuracy comes from, in words. */
  readonly accuracyName: string
  /** Names all models with their numbers: a key for caches. */
  readonly models: string
}

/** Same models, same results: what bus workers and checkpoints compare. */
export const modelsDigest = ({ models }: Setting): string => createHash("sha256").update(models).digest("hex")

const decodeSpec = Schema.decodeUnknownSync(Schema.fromJsonString(SupernetSpec))

/** A supernet that is there: its spec, and the directory with its predictor, if it has one. */
export interface Supernet {
  readonly spec: SupernetSpec
  readonly directory: string
}

const imagenetClasses = Array.from({ length: 1000 }, (_, i) => `class ${i}`)

/** The space of OFA's published supernets, for scenarios where only latency is run for real. */
export const imagenetSpec = (widthMultiplier: number): SupernetSpec =>
  ofaMobileNetV3({
    name: `ofa-mbv3-w${widthMultiplier}`,
    version: "1",
    widthMultiplier,
    classes: imagenetClasses,
    resolutions: imagenetResolutions,
  })

export const settingOf = (
  scenario: Scenario,
  spec: SupernetSpec,
  { model, source, numbers }: AccuracySource,
): Setting => {
  const types = [...new Set([scenario.local, ...scenario.remotes])]
  const profiles = types.map((name) => Result.getOrThrow(profileNamed(name)))
  return {
    scenario,
    world: modelWorld(spec, profiles, model),
    accuracyName: source,
    models: `${spec.name} ${spec.version}|${source}|${numbers}|${JSON.stringify([profiles, defaultOverheads])}`,
  }
}

/**
 * The supernet that `MURMURATION_SUPERNET` names, as for `murmuration up`; else the one that comes with the project; where
 * there is none yet, the space of its stand-in with untrained weights. The environment, because threads that roll out
 * make their setting anew. Throws when a named one is not there.
 */
const presentSupernet = (): Supernet => {
  const named = process.env["MURMURATION_SUPERNET"] ?? ""
  const directory = named === "" ? join(import.meta.dirname, "..", "supernet", "artifacts", "default") : named
  const file = join(directory, "spec.json")
  const isThere = existsSync(file)
  if (named !== "" && !isThere) throw new RangeError(`MURMURATION_SUPERNET: ${directory} has no spec.json`)
  return { spec: isThere ? decodeSpec(readFileSync(file, "utf8")) : untrainedSpec, directory }
}

/** A shipped scenario by name, or a scenario file. */
export const loadSetting = (name: string): Setting => settingFor(loadScenario(name))

/**
 * A scenario with the models that this installation has for it. A setting's own scenario gives the same setting again. Throws
 * where the supernet's accuracy predictor is of another supernet. `supernet`: another one than the installation's.
 */
export const settingFor = (scenario: Scenario, supernet?: Supernet): Setting => {
  if (scenario.widthMultiplier < 1) {
    const { spec, directory } = supernet ?? presentSupernet()
    if (!hasPredictor(directory)) {
      const model = publishedShape(spaceOf(spec), scenario)
      const source = "shape of OFA's published ImageNet accuracy, stretched"
      return settingOf(scenario, spec, { model, source, numbers: imagenetNumbers() })
    }
    const accuracy = artifactAccuracy(spec, directory)
    // A policy trained by a stand-in would have learnt to comply with accuracies that nothing has.
    if (accuracy.refused !== undefined) throw new RangeError(accuracy.refused)
    return settingOf(withMeasuredAccuracy(scenario, spaceOf(spec), accuracy.model), spec, accuracy)
  }
  const spec = imagenetSpec(scenario.widthMultiplier)
  const width = scenario.widthMultiplier >= 1.2 ? "1.2" : "1.0"
  return settingOf(scenario, spec, {
    model: imagenetWorldAccuracy(spaceOf(spec), width),
    source: `ImageNet top-1 of OFA at width ${width}, regression of its published predictor`,
    numbers: imagenetNumbers(),
  })
}
