/** The public network traces, for benches that are nothing without them. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { readTraces } from "../devices/links/TraceFiles.ts"
import type { Trace } from "../devices/links/Traces.ts"
import { dataRoot } from "../supernet/Data.ts"

/** Throws where they are not there, so that no result without measurements takes the place of a good one. */
export const realTraces = (): ReadonlyArray<Trace> => {
  const folder = join(dataRoot() ?? ".", "traces")
  const traces = existsSync(folder) ? readTraces(folder) : []
  if (traces.length === 0)
    throw new Error(
      "the traces are not there: set MURMURATION_DATA to the folder that holds traces/ (docs/data.md)",
    )
  return traces
}
