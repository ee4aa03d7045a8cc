import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makePlanBusy } from "../../actors/PlanBusy.ts"
import type { Portfolio } from "../../actors/Portfolio.ts"
import type { Thoughts } from "../../actors/Thoughts.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { conditionAt } from "./BusySwarm.ts"

const named = (letter: string) => Array.from({ length: 12 }, (_, i) => `${letter}-${i + 10}`)

describe("planning over a large busy swarm", () => {
  it.effect("knows whole networks on twelve other devices at most, whoever comes and goes", () =>
    Effect.gen(function* () {
      const pinned = new Set<string>()
      const known = {
        addHandOvers: (_: string, device: string) => void pinned.add(device),
        unpin: (device: string) => void pinned.delete(device),
        bestUnderLoad: () => ({ best: undefined, better: undefined }),
      } as unknown as Portfolio
      const load = () => ({ prices: [], workOf: () => new Map(), isReady: () => true })
      const plan = makePlanBusy(DeviceId.make("a-1"), known, {} as Thoughts, load)
      const among = (ids: ReadonlyArray<string>) =>
        plan(
          conditionAt(["a-1", ...ids], () => 50),
          { kind: "latency", latencyMs: 100 },
        )
      yield* among(named("m"))
      assert.deepStrictEqual([...pinned], named("m"))
      // All are still there, but others come first now.
      yield* among([...named("c"), ...named("m")])
      assert.deepStrictEqual([...pinned], named("c"))
      yield* among(named("m").slice(0, 3))
      assert.deepStrictEqual([...pinned], named("m").slice(0, 3))
    }),
  )
})
