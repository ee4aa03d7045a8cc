/** Numbers that a command cannot work with are refused before it begins. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Option } from "effect"
import type { Flag } from "effect/cli"
import { trainFlags as policyFlags } from "../../cli/Policy.ts"
import { wantedResolutions } from "../../cli/Supernet.ts"
import { imagesFlag } from "../../cli/SupernetFlags.ts"
import { calibrationFlags, trainFlags } from "../../cli/SupernetTrain.ts"
import { upFlags } from "../../cli/Up.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import { tinySpec } from "../supernet/Tiny.ts"
import { tinySpace } from "../policies/TinyWorld.ts"

const parsed = (flag: Flag.Flag<unknown>, name: string, value: string) =>
  flag.parse({ arguments: [], flags: { [name]: [value] } }).pipe(Effect.provide(NodeServices.layer))

const cases: ReadonlyArray<readonly [string, Flag.Flag<unknown>, ReadonlyArray<string>, string]> = [
  ["hidden", policyFlags.hidden, ["0", "-8", "12"], "16"],
  ["batch", policyFlags.batch, ["0", "-1"], "1"],
  ["iterations", policyFlags.iterations, ["-1"], "0"],
  ["rate", policyFlags.rate, ["0", "-0.1"], "0.01"],
  ["workers", policyFlags.workers, ["0"], "1"],
  ["mutations", policyFlags.mutations, ["-1"], "0"],
  ["images", imagesFlag, ["0", "-1"], "1"],
  ["minutes", trainFlags.minutes, ["0", "-1"], "0.5"],
  ["width", trainFlags.width, ["0", "-1"], "0.25"],
  ["workers", trainFlags.workers, ["0"], "1"],
  ["slow", upFlags.slow, ["0", "-1"], "0.5"],
  ["threads", upFlags.threads, ["0"], "1"],
  ["memory-mb", upFlags.memoryMb, ["0", "-1"], "64"],
  ["concurrency", upFlags.concurrency, ["0"], "4"],
  ["submodels", calibrationFlags.submodels, ["0", "-1"], "9"],
]

describe("a number out of bounds", () => {
  for (const [name, flag, wrong, right] of cases) {
    it.effect(`is refused by its name: --${name} ${wrong.join(", ")}`, () =>
      Effect.gen(function* () {
        for (const value of wrong) {
          const error = yield* Effect.flip(parsed(flag, name, value))
          assert.match(error.message, new RegExp(`--${name}: "${value}".*Expected: a `))
        }
        yield* parsed(flag, name, right)
      }),
    )
  }

  it.effect("is refused where it is no resolution of the supernet", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* wantedResolutions(tinySpec, Option.none()), [64, 96])
      assert.deepStrictEqual(yield* wantedResolutions(tinySpec, Option.some(96)), [96])
      const error = yield* Effect.flip(wantedResolutions(tinySpec, Option.some(100)))
      assert.include(error.message, "no resolution of 100 pixels")
      assert.include(error.hint, "64, 96")
    }),
  )

  it("makes no policy network that the kernels cannot compute", () => {
    for (const hidden of [0, -8, 12, Number.NaN])
      assert.throws(() => policyShape(tinySpace, 2, hidden), /multiple of 8/)
  })
})
