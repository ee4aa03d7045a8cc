/** `murmuration supernet eval`, and the other commands of `murmuration supernet`. */
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { HeldOutImages, treatedStrategy } from "../supernet/Evaluate.ts"
import { seededRandom } from "../supernet/Random.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel, type Submodel } from "../supernet/Submodel.ts"
import { withShownDefault } from "./Settings.ts"
import {
  accuracyPool,
  artifactFlag,
  badInput,
  dataFlag,
  imagesFlag,
  judged,
  seedFlag,
  threadsFlag,
} from "./SupernetFlags.ts"
import { fitCommand, refineCommand, tableCommand } from "./SupernetTable.ts"
import { calibrateCommand, exportCommand, trainCommand } from "./SupernetTrain.ts"
import { percent } from "./Text.ts"

const evalFlags = {
  data: dataFlag,
  artifact: artifactFlag,
  images: imagesFlag,
  submodel: withShownDefault(
    Flag.Literals("submodel", ["ends", "largest", "smallest", "random"]),
    "Which submodel; ends = the largest and the smallest",
    "ends" as const,
  ),
  resolution: Flag.Int("resolution").pipe(
    Flag.withDescription("Pixels; default all of the supernet's"),
    Flag.optional,
  ),
  grid: withShownDefault(
    Flag.Literals("grid", ["1x1", "1x2", "2x1", "2x2"]),
    "Grid of the blocks that are cut",
    "1x1" as const,
  ),
  cut: withShownDefault(
    Flag.Literals("cut", ["early", "all"]),
    "Blocks that are cut: the first half, or all",
    "early" as const,
  ),
  bits: withShownDefault(
    Flag.Literals("bits", ["32", "16", "8"]),
    "Width of every block's input on the bus",
    "32" as const,
  ),
  threads: threadsFlag,
  seed: seedFlag,
}

const wantedSubmodels = (
  spec: SupernetSpec,
  kind: string,
  resolution: number,
  seed: number,
): ReadonlyArray<Submodel> => {
  if (kind === "random") return [{ ...sampleSubmodel(spec, seededRandom(seed)), resolution }]
  const [largest, smallest] = [maxSubmodel(spec, resolution), minSubmodel(spec, resolution)]
  return kind === "largest" ? [largest] : kind === "smallest" ? [smallest] : [largest, smallest]
}

/** The resolutions to look at: the one that was given, or all. One that the supernet was not made for is refused. */
export const wantedResolutions = (
  { name, version, resolutions }: SupernetSpec,
  given: Option.Option<number>,
) => {
  if (Option.isNone(given)) return Effect.succeed(resolutions)
  if (resolutions.includes(given.value)) return Effect.succeed([given.value])
  const what = `${name} ${version} has no resolution of ${given.value} pixels`
  return Effect.fail(badInput(what, `give one of ${resolutions.join(", ")}: --resolution ${resolutions[0]}`))
}

const describe = (s: Submodel): string =>
  `${s.resolution} px, depths ${s.depths.join("")}, kernels ${s.kernels.join("")}, expands ${s.expands.join("")}`

const evalCommand = Command.make("eval", evalFlags, (given) =>
  Effect.gen(function* () {
    const { data, folder, spec } = yield* judged(given)
    const resolutions = yield* wantedResolutions(spec, given.resolution)
    const images = new HeldOutImages(data, Option.getOrUndefined(given.images))
    const { grid, cut } = given
    const pool = yield* accuracyPool(folder, images, given.threads)
    const bits = Number(given.bits) as 8 | 16 | 32
    yield* Console.log(
      `${spec.name} ${spec.version}${spec.trained ? "" : " (untrained weights)"}, ${images.count} images`,
    )
    for (const resolution of resolutions) {
      for (const submodel of wantedSubmodels(spec, given.submodel, resolution, given.seed)) {
        const strategy = treatedStrategy(spec, submodel, { grid, cut, bits })
        const top1 = yield* Effect.promise(() => pool.accuracy(strategy))
        yield* Console.log(`top-1 ${percent(top1)}  ${describe(submodel)}`)
      }
    }
  }).pipe(Effect.scoped),
).pipe(
  Command.withDescription(
    "Accuracy on the held-out images, by ONNX Runtime with the graphs that devices run",
  ),
)

export const supernetCommands = [
  trainCommand,
  exportCommand,
  calibrateCommand,
  evalCommand,
  tableCommand,
  fitCommand,
  refineCommand,
] as const
