/** What the doctor's examinations consist of: findings, each with what to do about it. */

export type Status = "ok" | "warning" | "failed" | "skipped"

export interface Finding {
  readonly area: "install" | "bus" | "peers"
  readonly name: string
  readonly status: Status
  /** What was found. */
  readonly detail: string
  /** What to do; empty where there is nothing to do. */
  readonly advice: string
}

/** Findings of one area. */
export const findings = (area: Finding["area"]) => ({
  ok: (name: string, detail: string): Finding => ({ area, name, status: "ok", detail, advice: "" }),
  warning: (name: string, detail: string, advice: string): Finding => ({
    area,
    name,
    status: "warning",
    detail,
    advice,
  }),
  failed: (name: string, detail: string, advice: string): Finding => ({
    area,
    name,
    status: "failed",
    detail,
    advice,
  }),
  skipped: (name: string, detail: string): Finding => ({ area, name, status: "skipped", detail, advice: "" }),
})

export const isHealthy = (found: ReadonlyArray<Finding>): boolean => !found.some((f) => f.status === "failed")

/** Whether a version is at least another, by its numbers. */
export const atLeast = (version: string, wanted: string): boolean => {
  const numbers = (text: string) => text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0)
  const [have, need] = [numbers(version), numbers(wanted)]
  for (const [i, n] of need.entries()) if ((have[i] ?? 0) !== n) return (have[i] ?? 0) > n
  return true
}
