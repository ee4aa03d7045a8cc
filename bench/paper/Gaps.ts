/** How far runs on the emulated swarm are from the model, per figure: of `docs/results/paper-swarm.json`, for the figures. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { median, projectRoot, type Row } from "../Bench.ts"

export interface Gap {
  readonly points: number
  /** |as run / by the model - 1|, its median over the points. */
  readonly medianAbsRel: number
}

export const gapOf = (rows: ReadonlyArray<Row>, figure: string): Gap | undefined => {
  const gaps = rows
    .filter((r) => r["figure"] === figure)
    .map((r) => Math.abs(Number(r["measuredMs"]) / Number(r["predictedMs"]) - 1))
  return gaps.length === 0 ? undefined : { points: gaps.length, medianAbsRel: median(gaps) }
}

export const gapText = ({ points, medianAbsRel }: Gap): string =>
  `${points} points run on the emulated swarm, median gap ${(100 * medianAbsRel).toFixed(1)} %`

/** For the subtitle of a figure; nothing where its points were not run. */
export const recordedGap = (figure: string): string => {
  const file = join(projectRoot, "docs", "results", "paper-swarm.json")
  if (!existsSync(file)) return ""
  const { rows } = JSON.parse(readFileSync(file, "utf8")) as { readonly rows: ReadonlyArray<Row> }
  const gap = gapOf(rows, figure)
  return gap === undefined ? "" : `; ${gapText(gap)}`
}
