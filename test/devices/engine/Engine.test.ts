import { assert, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import {
  Engine,
  type EngineOptions,
  type EngineShape,
  engineOver,
  startHost,
} from "../../../devices/engine/Engine.ts"
import { walk } from "../../../devices/engine/Walk.ts"
import { below, seededRandom } from "../../../supernet/Random.ts"
import { Reference } from "../../../supernet/Reference.ts"
import { localStrategy, sampleStrategy, strategyId } from "../../../supernet/Strategy.ts"
import { maxSubmodel } from "../../../supernet/Submodel.ts"
import { livelyWeights, tinySpec } from "../../supernet/Tiny.ts"

const weights = livelyWeights(tinySpec, 5)
const devices = ["a", "b", "c", "d"]
const image = (size: number, seed: number): Uint8Array => {
  const random = seededRandom(seed)
  return Uint8Array.from({ length: size * size * 3 }, () => below(random, 256))
}
const largestDifference = (a: Float32Array, b: Float32Array): number =>
  Math.max(...a.map((v, i) => Math.abs(v - (b[i] ?? Number.NaN)))) / Math.max(...b.map(Math.abs))

const swarm = (options: Partial<EngineOptions> = {}) =>
  Effect.map(
    Effect.forEach(devices, (deviceId) => started({ deviceId, ...options }), { concurrency: "unbounded" }),
    (engines) => new Map(engines.map(({ engine }) => [engine.deviceId, engine])),
  )

const started = Effect.fnUntraced(function* (
  options: Partial<EngineOptions> & { readonly deviceId: string },
) {
  const all: EngineOptions = { spec: tinySpec, weights, ...options }
  const host = yield* Effect.acquireRelease(startHost(all), (h) => Effect.promise(() => h.stop()))
  return { host, engine: engineOver(host, all) }
})

it.live(
  "engines that share a strategy answer as one session does: float32 to 1e-5, 8 and 16 bits alike",
  () =>
    Effect.gen(function* () {
      const reference = new Reference(tinySpec, weights)
      const engines = yield* swarm()
      const random = seededRandom(11)
      for (let i = 0; i < 40; i++) {
        const strategy = sampleStrategy(tinySpec, devices, random)
        const size = strategy.submodel.resolution
        const pixels = image(size, i)
        const { logits } = yield* walk(engines, `r${i}`, strategy, pixels)
        const expected = yield* Effect.promise(() => reference.evaluate(strategy, { count: 1, size, pixels }))
        assert.isBelow(largestDifference(logits, expected), 1e-5, JSON.stringify(strategy.blocks))
      }
      for (const engine of engines.values()) assert.strictEqual((yield* engine.stats).waitingBytes, 0)
    }),
)
