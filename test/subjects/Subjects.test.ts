import { assert, describe, it } from "vitest"
import { DeviceId, isDeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"

const [a, b] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]

describe("subjects", () => {
  it("have the forms that the guide documents", () => {
    assert.strictEqual(Subjects.inferAt(a), "infer.pi-1.request")
    assert.strictEqual(Subjects.plan(a), "plan.pi-1")
    assert.strictEqual(Subjects.reconfig(a), "reconfig.pi-1")
    assert.strictEqual(Subjects.tile(a, b), "tile.pi-1.pi-2")
    assert.strictEqual(Subjects.tile("*", b), "tile.*.pi-2")
    assert.strictEqual(Subjects.result(a, b), "result.pi-1.pi-2")
    assert.strictEqual(Subjects.probe(a), "probe.pi-1")
    assert.strictEqual(Subjects.link("*"), "link.*")
    assert.strictEqual(Subjects.forecast(a), "forecast.pi-1")
    assert.strictEqual(Subjects.swarm("*"), "swarm.*")
    assert.strictEqual(Subjects.rolloutJob("a1"), "rollout.a1.job")
    assert.strictEqual(Subjects.rolloutSetup("a1"), "rollout.a1.setup")
    assert.strictEqual(Subjects.rolloutWeights("a1"), "rollout.a1.weights")
    assert.strictEqual(Subjects.trainingOf(Subjects.rolloutJob("a1")), "a1")
  })

  it.each(["", "PI", "pi.1", "*", ">", "pi 1", "-pi", "a".repeat(33), "pi\n"])(
    "refuse %j as a device id, so that no id can name other subjects",
    (id) => {
      assert.isFalse(isDeviceId(id))
      assert.throws(() => DeviceId.make(id))
    },
  )
})
