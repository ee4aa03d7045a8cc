/**
 * Regenerates `partition-penalty.json`, what tiles and narrow values cost in accuracy, on our own supernet, since OFA's data do
 * not know tiles:
 *   node supernet/imagenet/MeasurePenalty.ts [IMAGES]      default: all held-out images; ten minutes for 1,000
 *
 * Submodels from small to large run on the same held-out images: untouched; cut up to the end of each stage, where each stage
 * costs what it adds to those before it; and with every block's input narrowed. Penalties are mean losses of top-1. A gain is no
 * cost: it counts as zero, and is printed.
 */
import { writeFileSync } from "node:fs"
import { Effect } from "effect"
import { AccuracyPool } from "../AccuracyPool.ts"
import { defaultArtifact, readArtifact } from "../Artifact.ts"
import { imagenetteRoot } from "../Data.ts"
import { HeldOutImages, type Treatment, treatedStrategy } from "../Evaluate.ts"
import { seededRandom } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel, type Submodel } from "../Submodel.ts"
import { partSizes, type PartitionPenalty } from "./ImagenetAccuracy.ts"

/** ImageNet-scale submodels run at 160 pixels and more. */
const resolutions = [160, 192, 224]
const randomPerResolution = 1

const submodelsOf = (spec: SupernetSpec): ReadonlyArray<Submodel> => {
  const random = seededRandom(1)
  return resolutions.flatMap((resolution) => [
    maxSubmodel(spec, resolution),
    minSubmodel(spec, resolution),
    ...Array.from({ length: randomPerResolution }, () => ({ ...sampleSubmodel(spec, random), resolution })),
  ])
}

const untouched: Treatment = { grid: "1x1", cut: "all", bits: 32 }
const cutGrids = ["1x2", "2x1", "2x2"] as const
const narrowBits = [16, 8] as const

const points = (loss: number) => (-100 * loss).toFixed(1)
const rounded = (loss: number) => Number(loss.toFixed(4))

/** What each part adds to the loss of all parts up to it, given those; never less than nothing. */
const added = (upTo: ReadonlyArray<number>): ReadonlyArray<number> => {
  let most = 0
  return upTo.map((loss) => {
    const before = most
    most = Math.max(most, loss)
    return rounded(most - before)
  })
}

/** Mean losses over submodels as each one's `lossOf` is measured. */
const sumInto = (sums: Map<string, number>, key: string, loss: number, share: number) => {
  sums.set(key, (sums.get(key) ?? 0) + loss * share)
  return loss
}

const main = async (limit: number) => {
  const data = imagenetteRoot()
  if (data === undefined) throw new RangeError("no Imagenette: set MURMURATION_DATA")
  const artifact = await Effect.runPromise(defaultArtifact)
  const { spec } = await Effect.runPromise(readArtifact(artifact))
  const images = new HeldOutImages(data, limit)
  const pool = new AccuracyPool(artifact, images)
  const submodels = submodelsOf(spec)
  const losses = new Map<string, number>()
  for (const [i, submodel] of submodels.entries()) {
    const accuracy = (treatment: Treatment) => pool.accuracy(treatedStrategy(spec, submodel, treatment))
    const whole = await accuracy(untouched)
    process.stdout.write(
      `${i + 1}/${submodels.length}  ${submodel.resolution} px  ${(100 * whole).toFixed(1)} %, less`,
    )
    for (const grid of cutGrids) {
      process.stdout.write(`  ${grid}`)
      let cut = 0
      for (const [part, size] of partSizes(submodel).entries()) {
        cut += size
        const loss = whole - (await accuracy({ ...untouched, grid, cut }))
        process.stdout.write(` ${points(sumInto(losses, `${grid} ${part}`, loss, 1 / submodels.length))}`)
      }
    }
    for (const bits of narrowBits) {
      const loss = whole - (await accuracy({ ...untouched, bits }))
      process.stdout.write(`  ${bits} bits ${points(sumInto(losses, `${bits}`, loss, 1 / submodels.length))}`)
    }
    process.stdout.write("\n")
  }
  await pool.close()
  const parts = spec.stages.length + 1
  const ofGrid = (grid: string) =>
    added(Array.from({ length: parts }, (_, part) => losses.get(`${grid} ${part}`) ?? 0))
  const ofBits = (bits: number) => Math.max(0, rounded(losses.get(`${bits}`) ?? 0))
  const penalty: PartitionPenalty = {
    measured: true,
    how: `mean loss over ${submodels.length} submodels of ${spec.name} ${spec.version} at ${resolutions.join(", ")} px, ${images.count} held-out images of Imagenette; grids: what each stage adds to those before it`,
    grid: { "1x2": ofGrid("1x2"), "2x1": ofGrid("2x1"), "2x2": ofGrid("2x2") },
    bits: { "16": ofBits(16), "8": ofBits(8) },
  }
  writeFileSync(new URL("partition-penalty.json", import.meta.url), `${JSON.stringify(penalty, null, 2)}\n`)
  process.stdout.write(`${JSON.stringify(penalty, null, 2)}\n`)
}

await main(Number(process.argv[2] ?? Number.POSITIVE_INFINITY))
