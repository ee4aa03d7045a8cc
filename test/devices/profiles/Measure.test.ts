import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { opsMs } from "../../../devices/profiles/DeviceProfile.ts"
import { decodeProfile } from "../../../devices/profiles/ProfileSchema.ts"
import { fitProfile, type MeasuredRun, measureProfile } from "../../../devices/profiles/Measure.ts"
import { shippedProfile } from "../../../devices/profiles/Shipped.ts"
import { addOps, blockOps, noOps } from "../../../supernet/Cost.ts"
import { seededRandom } from "../../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../../supernet/Spec.ts"
import { activeBlocks, sampleSubmodel } from "../../../supernet/Submodel.ts"
import { tinySpec } from "../../supernet/Tiny.ts"

const spec = ofaMobileNetV3({ name: "half", version: "1", widthMultiplier: 0.5, classes: ["a", "b"] })
const truth = { ...shippedProfile("raspberry-pi-4"), blockMs: 0.05, runMs: 0.3 }

/** Runs as a device with exactly the true profile would show them: every block of random submodels, and whole ones. */
const exactRuns = (): ReadonlyArray<MeasuredRun> => {
  const random = seededRandom(3)
  return Array.from({ length: 12 }, () => {
    const submodel = sampleSubmodel(spec, random)
    const blocks = activeBlocks(spec, submodel)
    let [side, total] = [submodel.resolution, noOps]
    const single = blocks.map((block): MeasuredRun => {
      const ops = blockOps(spec, block, side, side)
      total = addOps(total, ops)
      const run = {
        blocks: [block],
        height: side,
        width: side,
        ops,
        ms: opsMs(truth, ops) + truth.blockMs + truth.runMs,
      }
      side /= block.stride
      return run
    })
    const ms = opsMs(truth, total) + blocks.length * truth.blockMs + truth.runMs
    const whole = { blocks, height: submodel.resolution, width: submodel.resolution, ops: total, ms }
    return [...single, whole]
  }).flat()
}

describe("fitting a profile", () => {
  it("finds the times of a device again whose costs really are of this form", () => {
    const fit = fitProfile(exactRuns())
    assert.isBelow(fit.error.medianRelative, 0.01)
    assert.isBelow(fit.error.p95Relative, 0.05)
    assert.approximately(fit.rates.pointwise / truth.rates.pointwise, 1, 0.1)
  })
})

describe("measuring this machine", () => {
  it("gives a valid profile that tells its fit error, with progress on the way", async () => {
    const steps: Array<number> = []
    const { profile, runs } = await measureProfile({
      name: "here",
      spec: tinySpec,
      quick: true,
      seed: 1,
      onProgress: (done, total) => steps.push(done / total),
    })
    assert.isTrue(Result.isSuccess(decodeProfile(JSON.parse(JSON.stringify(profile)))))
    assert.match(profile.name, /^here-[0-9a-f]{8}$/)
    assert.isAbove(runs.length, 50)
    assert.strictEqual(steps.at(-1), 1)
    assert.match(profile.provenance[0]?.source ?? "", /median error/)
  })
})
