/**
 * Curves of trainings, kept in `.cache/policies`, so that an interrupted bench goes on with the seed at which it was. With each
 * lies the commit at which it was trained and a digest of the code that trained it: where that code has changed, it is
 * trained anew.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { settingsOf } from "../policies/Algorithms.ts"
import type { Setting } from "../policies/Setting.ts"
import type { TrainOptions } from "../policies/Train.ts"
import { commitNow, projectRoot } from "./Bench.ts"
import { codeDigest } from "./CodeDigest.ts"
import { type Curve, trainAll, type TrainingJob } from "./TrainingPool.ts"

export interface StoredCurve {
  readonly curve: Curve
  /** At which it was trained; undefined where it was stored without one. */
  readonly commit?: string
}

interface CurveFile {
  readonly curve: Curve
  readonly commit: string
  readonly code: string
}

const cacheFile = (setting: Setting, options: TrainOptions): string => {
  // With every default written out, so that a changed default is a changed key.
  const key = JSON.stringify([setting.scenario, setting.models, options, settingsOf(options)])
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 16)
  return join(projectRoot, ".cache", "policies", `curve-${hash}.json`)
}

/** Everything that a training runs. */
const trainingCode = (): string => {
  const assembly = join(projectRoot, "policies", "kernels", "assembly")
  const kernels = readdirSync(assembly).filter((name) => name.endsWith(".ts"))
  return codeDigest([
    join(projectRoot, "bench", "TrainingPool.ts"),
    ...kernels.map((name) => join(assembly, name)),
  ])
}

/** Curves were once stored alone: those count, and say that they do not know. */
const isAlone = (found: Curve | CurveFile): found is Curve => Array.isArray(found)

/** What lies in a file; undefined where that is of other code, or nothing. */
export const readCurve = (file: string, code: string): StoredCurve | undefined => {
  if (!existsSync(file)) return undefined
  const found = JSON.parse(readFileSync(file, "utf8")) as Curve | CurveFile
  if (isAlone(found)) return { curve: found }
  return found.code === code ? { curve: found.curve, commit: found.commit } : undefined
}

/** A curve per job, in order: those known from an earlier run, and the others trained now; with `anew` all of them. */
export const curvesOf = async (
  setting: Setting,
  jobs: ReadonlyArray<TrainingJob>,
  { workers, anew }: { readonly workers: number; readonly anew: boolean },
): Promise<ReadonlyArray<StoredCurve>> => {
  const [commit, code] = [commitNow(), trainingCode()]
  const filed = jobs.map((job) => ({ ...job, file: cacheFile(setting, job.options) }))
  const curves = new Map<string, StoredCurve>()
  for (const { file } of filed) {
    const known = anew ? undefined : readCurve(file, code)
    if (known !== undefined) curves.set(file, known)
  }
  const unknown = filed.filter(({ file }) => !curves.has(file))
  await trainAll(unknown, workers, ({ file }, curve) => {
    curves.set(file, { curve, commit })
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, JSON.stringify({ commit, code, curve } satisfies CurveFile))
  })
  return filed.flatMap(({ file }) => curves.get(file) ?? [])
}

const whereTrained = ({ commit }: StoredCurve): string => commit ?? "an earlier commit, unknown"

/** The commits at which these were trained, as a row names them. */
export const commitsOf = (curves: ReadonlyArray<StoredCurve>): string =>
  [...new Set(curves.map(whereTrained))].join("; ")

/** The same in words, for a result's notes. */
export const commitsText = (curves: ReadonlyArray<StoredCurve>): string => {
  const counted = [...Map.groupBy(curves, whereTrained)].map(([commit, of]) => `${of.length} at ${commit}`)
  const doubt = curves.some((c) => c.commit === undefined)
    ? "; unknown ones may be of other code (--anew trains all again)"
    : ", by the very code of this run"
  return `The curves of ${curves.length} trainings: ${counted.join(", ")}${doubt}.`
}
