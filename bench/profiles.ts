/**
 * How well the shipped device profiles reproduce the published times that they were made from.
 * `--write` makes the profiles' JSON files again from the evidence in `devices/profiles/Published.ts`.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { calibrationErrors } from "../devices/profiles/Calibrate.ts"
import { calibrations } from "../devices/profiles/Calibrations.ts"
import { shippedProfile, type ShippedProfileName } from "../devices/profiles/Shipped.ts"
import { type BenchModule, type BenchResult, median, projectRoot, quantile } from "./Bench.ts"
import * as Flags from "./Flags.ts"

/** The networks built of the supernet's own operators; the others only bound the dense rates. */
const mobile = new Set(["mobilenet_v2", "mobilenet_v3", "mnasnet", "proxylessnasnet", "efficientnet_b0"])

const run = async (write: boolean): Promise<BenchResult> => {
  if (write) {
    for (const c of calibrations) {
      const path = join(projectRoot, "devices", "profiles", `${c.name}.json`)
      writeFileSync(path, `${JSON.stringify(c.make(), null, 2)}\n`)
    }
  }
  const rows = calibrations.flatMap((c) => {
    const profile = shippedProfile(c.name as ShippedProfileName)
    // The desktop's figures are per image of a batch: launch cost and weight reads are shared there.
    const seen =
      c.name === "gtx-1080-desktop" ? { ...profile, layerMs: 0, weightGBs: profile.weightGBs * 16 } : profile
    return calibrationErrors(seen, c.times).map((e) => ({
      profile: c.name,
      network: e.network,
      published_ms: e.publishedMs,
      model_ms: e.modelMs,
      relative_error: e.relativeError,
    }))
  })
  const errors = rows.filter((r) => mobile.has(r.network)).map((r) => Math.abs(r.relative_error))
  return {
    kind: "modelled",
    checks: [
      { name: "mobile_median_abs_rel_err", value: median(errors), op: "<=", bound: 0.08 },
      { name: "mobile_worst_abs_rel_err", value: quantile(errors, 1), op: "<=", bound: 0.25 },
    ],
    rows,
    notes: [
      "Published: benchncnn (CPU boards, Jetson Nano) and cnn-benchmarks (GTX 1080); nothing here was measured by this project.",
      "Five mobile networks count threefold in the fit; dense ones only need to be about right.",
    ],
  }
}

export const bench: BenchModule = {
  name: "profiles",
  proves: "the shipped device profiles reproduce published times of whole networks",
  takes: "1 s",
  unseeded: true,
  flags: { write: Flags.toggle("write the fitted profiles into devices/profiles") },
  run: (options) => run(options.arguments.get("write") !== undefined),
}
