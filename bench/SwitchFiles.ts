/**
 * The alternative to a resident supernet, for `bench switch` and the paper's figure 19: every network its own ONNX file, read
 * from the disk cache and built when it is wanted.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Supernet } from "../supernet/Artifact.ts"
import { type Random } from "../supernet/Random.ts"
import { activeBlocks, sampleSubmodel } from "../supernet/Submodel.ts"
import { createSession } from "../supernet/onnx/Runtime.ts"
import { SegmentBuilder } from "../supernet/onnx/Segment.ts"
import type { Network } from "../supernet/zoo/LayerGraph.ts"
import { onnxFile } from "../supernet/zoo/OnnxFile.ts"
import { median, quantile, type Row } from "./Bench.ts"

const inFolder = async <A>(use: (file: string) => Promise<A>): Promise<A> => {
  const folder = await mkdtemp(join(tmpdir(), "murmuration-switch-"))
  try {
    return await use(join(folder, "network.onnx"))
  } finally {
    await rm(folder, { recursive: true })
  }
}

const loadMs = async (file: string): Promise<number> => {
  const start = performance.now()
  const session = await createSession(await readFile(file))
  const ms = performance.now() - start
  await session.release()
  return ms
}

const rowOf = (name: string, times: ReadonlyArray<number>): Row => ({
  case: name,
  switches: times.length,
  "switch p50 ms": median(times),
  "p10 ms": quantile(times, 0.1),
  "p90 ms": quantile(times, 0.9),
})

/** Submodels of the same supernet as files of their own. */
export const submodelFiles = ({ spec, weights }: Supernet, count: number, random: Random): Promise<Row> =>
  inFolder(async (file) => {
    const builder = new SegmentBuilder(spec, weights)
    const times: Array<number> = []
    for (let i = 0; i < count; i++) {
      const submodel = sampleSubmodel(spec, random)
      await writeFile(file, builder.build(activeBlocks(spec, submodel), submodel.resolution))
      times.push(await loadMs(file))
    }
    return rowOf("each network its own file, in the disk cache", times)
  })

/** A network of the zoo, again and again. */
export const zooFile = (network: Network, count: number): Promise<Row> =>
  inFolder(async (file) => {
    await writeFile(file, onnxFile(network))
    const times: Array<number> = []
    for (let i = 0; i < count; i++) times.push(await loadMs(file))
    return rowOf(network.name, times)
  })
