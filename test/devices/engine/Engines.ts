/** Engines of the tiny supernet on device `a`, and strategies for them. */
import { Effect } from "effect"
import { type EngineOptions, engineOver, startHost } from "../../../devices/engine/Engine.ts"
import { imagePiece } from "../../../devices/engine/Pieces.ts"
import { Reference } from "../../../supernet/Reference.ts"
import { localStrategy, type Strategy } from "../../../supernet/Strategy.ts"
import { maxSubmodel } from "../../../supernet/Submodel.ts"
import { image, livelyWeights, tinySpec } from "../../supernet/Tiny.ts"

export const weights = livelyWeights(tinySpec, 5)
export const reference = new Reference(tinySpec, weights)
export const wholeImage = { y0: 0, y1: 64, x0: 0, x1: 64 }
export const local = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), "a")
/** Stem to the last block but one on `a`, the rest on `b` and back: two tasks on `a` with one on `b` between. */
export const there: Strategy = {
  ...local,
  devices: ["a", "b"],
  blocks: local.blocks.map((plan, i) => ({ ...plan, placement: [i > 4 && i < 8 ? 1 : 0] })),
}

export const start = Effect.fnUntraced(function* (options: Partial<EngineOptions> = {}) {
  const all: EngineOptions = { deviceId: "a", spec: tinySpec, weights, ...options }
  const host = yield* Effect.acquireRelease(startHost(all), (h) => Effect.promise(() => h.stop()))
  return { host, engine: engineOver(host, all) }
})

export const imageTask = (strategyId: string, requestId: string, seed = 1, priority = 0) => ({
  requestId,
  strategyId,
  task: 0,
  pieces: [imagePiece(0, image(64, seed), 64, wholeImage)],
  priority,
})
