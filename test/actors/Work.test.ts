import { assert, describe, it } from "vitest"
import { makeWorkOf } from "../../actors/Work.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { localStrategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { spec } from "./BusySwarm.ts"

describe("work of a strategy", () => {
  it("follows a device's profile: another device may come with the same id", () => {
    const [slow, fast] = [shippedProfile("raspberry-pi-zero-2-w"), shippedProfile("raspberry-pi-5")]
    let now: typeof slow | undefined
    const workOf = makeWorkOf(spec, () => now)
    const strategy = localStrategy(spec, maxSubmodel(spec), "a")
    assert.strictEqual(workOf(strategy).totalMs, 0)
    now = slow
    const before = workOf(strategy)
    assert.strictEqual(workOf(strategy), before)
    now = fast
    assert.isBelow(workOf(strategy).totalMs, before.totalMs / 2)
  })
})
