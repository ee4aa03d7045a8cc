/**
 * A checkpoint that PyTorch wrote, through the importer and our ONNX graphs, against the logits that PyTorch computed.
 * The fixture is a tiny once-for-all network with random weights: test/supernet/import/make_fixture.py says how it was made.
 */
import { Effect } from "effect"
import { importOfa } from "../supernet/import/OfaImport.ts"
import { readTorchCheckpoint } from "../supernet/import/TorchCheckpoint.ts"
import { Reference } from "../supernet/Reference.ts"
import type { Submodel } from "../supernet/Submodel.ts"
import { checkpoint, image, logits } from "../test/supernet/import/Fixture.ts"
import type { BenchModule, Row } from "./Bench.ts"

/** Largest absolute difference between our logits and PyTorch's, for one form of checkpoint and each submodel. */
export const compareWithTorch = async (form: "legacy" | "zip"): Promise<ReadonlyArray<Row>> => {
  const resolutions = [...new Set(logits.runs.map((r) => r.submodel.resolution))]
  const options = { name: "tiny", version: "1", classes: logits.classes, resolutions }
  const started = performance.now()
  const { spec, weights } = await Effect.runPromise(
    readTorchCheckpoint(checkpoint(form)).pipe(Effect.flatMap((state) => importOfa(state, options))),
  )
  const importMs = performance.now() - started
  const reference = new Reference(spec, weights)
  const rows: Array<Row> = []
  for (const { submodel, logits: wanted } of logits.runs) {
    const evaluator = await reference.submodel(submodel)
    const size = submodel.resolution
    const found = await evaluator.logits({ count: 1, size, pixels: image(size) })
    await evaluator.release()
    const difference = wanted.map((v, i) => Math.abs(v - (found[i] ?? Number.NaN)))
    rows.push({
      checkpoint: form,
      resolution: size,
      submodel: summary(submodel),
      largestLogit: Math.max(...wanted.map(Math.abs)),
      maxAbsDiff: Math.max(...difference),
      importMs,
    })
  }
  return rows
}

const summary = (s: Submodel): string => {
  const active = s.kernels.flatMap((k, i) => (k === 0 ? [] : [`${k}${s.expands[i]}`]))
  return `d${s.depths.join("")} ke ${active.join(" ")}`
}

export const bench: BenchModule = {
  name: "import",
  proves: "an imported PyTorch checkpoint computes what PyTorch computes, for any submodel",
  takes: "5 seconds",
  unseeded: true,
  run: async () => {
    const rows = [...(await compareWithTorch("legacy")), ...(await compareWithTorch("zip"))]
    const worst = Math.max(...rows.map((r) => Number(r["maxAbsDiff"])))
    return {
      kind: "measured",
      checks: [
        { name: "max_abs_diff", value: worst, op: "<=", bound: 1e-4 },
        { name: "submodels", value: logits.runs.length, op: ">=", bound: 5 },
      ],
      rows,
      notes: [
        `checkpoints and logits ${logits.about}; tiny widths, random weights, disturbed batch norm and kernel transforms`,
        "the published OFA weight files could not be had, so none of them was tried",
      ],
    }
  },
}
