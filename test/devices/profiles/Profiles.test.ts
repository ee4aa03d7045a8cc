import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { blockMs, taskMs, taskTime } from "../../../devices/profiles/BlockTime.ts"
import { calibrationErrors } from "../../../devices/profiles/Calibrate.ts"
import { calibrations } from "../../../devices/profiles/Calibrations.ts"
import { dilated } from "../../../devices/profiles/DeviceProfile.ts"
import { nonNegativeLeastSquares } from "../../../devices/profiles/LeastSquares.ts"
import { profileNamed, shippedProfile, shippedProfileNames } from "../../../devices/profiles/Shipped.ts"
import { ofaMobileNetV3 } from "../../../supernet/Spec.ts"
import { localStrategy } from "../../../supernet/Strategy.ts"
import { activeBlocks, maxSubmodel, minSubmodel } from "../../../supernet/Submodel.ts"
import { taskGraph } from "../../../supernet/TaskGraph.ts"

const spec = ofaMobileNetV3({
  name: "ofa",
  version: "1",
  widthMultiplier: 1,
  classes: Array.from({ length: 1000 }, (_, i) => `${i}`),
})
const wholeMs = (name: (typeof shippedProfileNames)[number], submodel = maxSubmodel(spec, 224)) => {
  const graph = taskGraph(spec, localStrategy(spec, submodel, "local"))
  return graph.tasks.reduce((sum, t) => sum + taskMs(taskTime(shippedProfile(name), spec, graph, t)), 0)
}

describe("shipped profiles", () => {
  it.each(calibrations.map((c) => [c.name, c] as const))("%s is what its evidence gives", (name, c) => {
    assert.deepStrictEqual(Result.getOrThrow(profileNamed(name)), c.make())
  })

  it("reproduce the published times of mobile networks within 25 %", () => {
    for (const c of calibrations.filter((c) => c.name !== "gtx-1080-desktop")) {
      for (const e of calibrationErrors(c.make(), c.times)) {
        if (/mobilenet_v|mnasnet|proxyless|efficientnet/.test(e.network)) {
          assert.isBelow(Math.abs(e.relativeError), 0.25, `${e.network} on ${c.name}`)
        }
      }
    }
  })

  it("order the boards as everyone who owns them would", () => {
    const times = (
      [
        "raspberry-pi-zero-2-w",
        "raspberry-pi-3",
        "raspberry-pi-4",
        "jetson-nano",
        "raspberry-pi-5",
        "gtx-1080-desktop",
      ] as const
    ).map((name) => wholeMs(name))
    assert.deepStrictEqual(
      times,
      [...times].sort((a, b) => b - a),
    )
  })

  it("name what is known when a profile is unknown", () => {
    const error = Result.getOrThrow(Result.flip(profileNamed("toaster")))
    assert.include(error.message, "raspberry-pi-4")
  })
})

describe("block times", () => {
  const pi = shippedProfile("raspberry-pi-4")

  it("grow with kernel, expand and region for every dynamic block", () => {
    const [small, large] = [
      activeBlocks(spec, minSubmodel(spec, 224)),
      activeBlocks(spec, maxSubmodel(spec, 224)),
    ]
    for (const block of small.filter((b) => b.kind === "dynamic")) {
      const larger = large.find((b) => b.index === block.index)
      if (larger === undefined) throw new Error("missing block")
      assert.isBelow(blockMs(pi, spec, block, 28, 28), blockMs(pi, spec, larger, 28, 28))
      assert.isBelow(blockMs(pi, spec, block, 14, 28), blockMs(pi, spec, block, 28, 28))
    }
  })

  it("of four quarter tiles sum to more than the whole, since every tile reads the weights", () => {
    const block = activeBlocks(spec, maxSubmodel(spec, 224))[20]
    if (block === undefined) throw new Error("missing block")
    assert.isAbove(4 * blockMs(pi, spec, block, 8, 8), blockMs(pi, spec, block, 16, 16))
  })

  it("are all multiplied in slow motion", () => {
    const slow = dilated(pi, 3)
    for (const block of activeBlocks(spec, maxSubmodel(spec, 224))) {
      assert.approximately(blockMs(slow, spec, block, 32, 32), 3 * blockMs(pi, spec, block, 32, 32), 1e-9)
    }
  })
})

describe("non-negative least squares", () => {
  it("finds an exact non-negative solution and clamps a negative one to zero", () => {
    const rows = [
      [1, 2, 0],
      [0, 1, 3],
      [2, 0, 1],
      [1, 1, 1],
    ]
    const exact = nonNegativeLeastSquares(
      rows,
      rows.map(([a = 0, b = 0, c = 0]) => 2 * a + 3 * b + 0.5 * c),
    )
    for (const [i, value] of [2, 3, 0.5].entries()) assert.approximately(exact[i] ?? 0, value, 1e-9)
    const clamped = nonNegativeLeastSquares(
      [
        [1, 1],
        [1, 2],
      ],
      [2, 1],
    )
    assert.strictEqual(clamped[1], 0)
  })
})
