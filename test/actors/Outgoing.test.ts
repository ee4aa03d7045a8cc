import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { sendPieces } from "../../actors/Outgoing.ts"
import { startRunning } from "../../actors/Running.ts"
import { imagePiece, ownBuffer } from "../../devices/engine/Pieces.ts"
import type { SendReceipt } from "../../subjects/TileSender.ts"
import { NobodyListens } from "../../subjects/BusErrors.ts"
import { type DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { localStrategy, normalizeStrategy, strategyId } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { imageSource, taskGraph } from "../../supernet/TaskGraph.ts"
import { image, tinySpec } from "../supernet/Tiny.ts"

const local = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), "pi-1")
/** All of it on another device, which gets the whole image. */
const strategy = {
  ...local,
  devices: ["pi-1", "pi-2"],
  blocks: local.blocks.map((b) => ({ ...b, placement: [1] })),
}
const graph = taskGraph(tinySpec, strategy)
const prepared = {
  strategyId: strategyId(tinySpec, strategy),
  strategy,
  graph,
  device: 0,
  timings: { built: 0, elapsedMs: 0 },
}
const edge = graph.edges.find((e) => e.from === imageSource && e.crosses)

describe("pieces on their way to other devices", () => {
  it.effect("keep their memory until they are sent or given up, and not longer", () =>
    Effect.gen(function* () {
      assert(edge !== undefined)
      const running = startRunning(RequestId.make("r"), 0, prepared, 1000)
      const receipt: SendReceipt = { chunks: 1, bytes: 0, elapsedMs: 0 }
      for (const isGivenUp of [false, true]) {
        const piece = imagePiece(edge.index, image(64, 1), 64, edge.region)
        const bytes = piece.data.byteLength
        const seen: Array<number> = []
        const send = () =>
          Effect.suspend(() => {
            seen.push(piece.data.byteLength)
            return isGivenUp ? Effect.never : Effect.succeed(receipt)
          })
        const sending = yield* Effect.forkChild(
          sendPieces({ send }, running, [piece], () => Effect.void),
          { startImmediately: true },
        )
        yield* isGivenUp ? Fiber.interrupt(sending) : Fiber.join(sending)
        assert.deepStrictEqual([...seen, piece.data.byteLength], [bytes, 0])
      }
    }),
  )

  it.effect("end with the first of them that does not get away, which is told once", () =>
    Effect.gen(function* () {
      const halves = normalizeStrategy(tinySpec, {
        ...local,
        devices: ["pi-1", "pi-2", "pi-3"],
        blocks: local.blocks.map((b, i) => (i === 0 ? { ...b, grid: "1x2", placement: [1, 2] } : b)),
      })
      const split = taskGraph(tinySpec, halves)
      const two = { ...prepared, strategyId: strategyId(tinySpec, halves), strategy: halves, graph: split }
      const running = startRunning(RequestId.make("r"), 0, two, 1000)
      const pieces = split.edges.flatMap((e) =>
        e.from === imageSource && e.crosses ? [imagePiece(e.index, image(64, 1), 64, e.region)] : [],
      )
      const said: Array<string> = []
      const send = (to: DeviceId) =>
        to === "pi-3"
          ? Effect.fail(new NobodyListens({ subject: "tile.pi-3.pi-1" }))
          : Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => void said.push(`${to} ended`))))
      const failed = (_: unknown, peer: DeviceId) => Effect.sync(() => void said.push(`${peer} failed`))
      yield* sendPieces({ send }, running, pieces, failed)
      assert.strictEqual(pieces.length, 2)
      assert.deepStrictEqual(said, ["pi-2 ended", "pi-3 failed"])
    }),
  )

  it("are copied when they arrive only where they are part of a larger message", () => {
    const whole = new Uint8Array(12)
    assert.strictEqual(ownBuffer(whole), whole.buffer)
    const part = ownBuffer(whole.subarray(4))
    assert.strictEqual(part.byteLength, 8)
    assert.notStrictEqual(part, whole.buffer)
  })
})
