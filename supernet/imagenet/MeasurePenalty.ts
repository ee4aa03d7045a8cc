/**
 * Regenerates `partition-penalty.json`, what tiles and narrow values cost in accuracy, on our own supernet, since OFA's data do
 * not know tiles:
 *   node supernet/imagenet/MeasurePenalty.ts [IMAGES]      default: all held-out images
 *
 * Submodels from small to large run on the same held-out images untouched, with every block cut, and with every block's input
 * narrowed; the penalty is the mean loss of top-1. A gain is no cost: it counts as zero, and is printed.
 */
import { writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { Effect } from "effect"
import { defaultArtifact, readArtifact } from "../Artifact.ts"
import { imagenetteRoot } from "../Data.ts"
import { HeldOutImages, strategyAccuracy, type Treatment, treatedStrategy } from "../Evaluate.ts"
import { seededRandom } from "../Random.ts"
import { Reference } from "../Reference.ts"
import type { SupernetSpec } from "../Spec.ts"
import { maxSubmodel, minSubmodel, sampleSubmodel, type Submodel } from "../Submodel.ts"
import type { PartitionPenalty } from "./ImagenetAccuracy.ts"

/** ImageNet-scale submodels run at 160 pixels and more. */
const resolutions = [160, 192, 224]
const randomPerResolution = 2

const submodelsOf = (spec: SupernetSpec): ReadonlyArray<Submodel> => {
  const random = seededRandom(1)
  return resolutions.flatMap((resolution) => [
    maxSubmodel(spec, resolution),
    minSubmodel(spec, resolution),
    ...Array.from({ length: randomPerResolution }, () => ({ ...sampleSubmodel(spec, random), resolution })),
  ])
}

const untouched: Treatment = { grid: "1x1", cut: "all", bits: 32 }
const treatments = [
  ["1x2", { ...untouched, grid: "1x2" }],
  ["2x1", { ...untouched, grid: "2x1" }],
  ["2x2", { ...untouched, grid: "2x2" }],
  ["16", { ...untouched, bits: 16 }],
  ["8", { ...untouched, bits: 8 }],
] as const satisfies ReadonlyArray<readonly [string, Treatment]>

const main = async (limit: number) => {
  const data = imagenetteRoot()
  if (data === undefined) throw new RangeError("no Imagenette: set MURMURATION_DATA")
  const { spec, weights } = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const reference = new Reference(spec, weights, { threads: cpus().length })
  const images = new HeldOutImages(data, limit)
  const submodels = submodelsOf(spec)
  const accuracy = (submodel: Submodel, treatment: Treatment) =>
    strategyAccuracy(reference, treatedStrategy(spec, submodel, treatment), images)
  const losses = new Map<string, number>(treatments.map(([name]) => [name, 0]))
  for (const [i, submodel] of submodels.entries()) {
    const whole = await accuracy(submodel, untouched)
    const line = [`${i + 1}/${submodels.length}  ${submodel.resolution} px  ${(100 * whole).toFixed(1)} %`]
    for (const [name, treatment] of treatments) {
      const loss = whole - (await accuracy(submodel, treatment))
      losses.set(name, (losses.get(name) ?? 0) + loss / submodels.length)
      line.push(`${name} ${(-100 * loss).toFixed(1)}`)
    }
    process.stdout.write(`${line.join("  ")}\n`)
  }
  const cost = (name: string) => Math.max(0, Number((losses.get(name) ?? 0).toFixed(4)))
  const penalty: PartitionPenalty = {
    measured: true,
    how: `mean loss over ${submodels.length} submodels of ${spec.name} ${spec.version} at ${resolutions.join(", ")} px, ${images.count} held-out images of Imagenette, every block treated`,
    grid: { "1x2": cost("1x2"), "2x1": cost("2x1"), "2x2": cost("2x2") },
    bits: { "16": cost("16"), "8": cost("8") },
  }
  writeFileSync(new URL("partition-penalty.json", import.meta.url), `${JSON.stringify(penalty, null, 2)}\n`)
  process.stdout.write(`${JSON.stringify(penalty, null, 2)}\n`)
}

await main(Number(process.argv[2] ?? Number.POSITIVE_INFINITY))
