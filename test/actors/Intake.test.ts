import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { makeIntake } from "../../actors/Intake.ts"
import { Membership } from "../../actors/Membership.ts"
import { memoryShares } from "../../actors/MemoryShares.ts"
import { type Running, takeIn, takeOut } from "../../actors/Running.ts"
import { Self } from "../../actors/Self.ts"
import { Underway } from "../../actors/Underway.ts"
import { bareServer } from "../../deploy/LocalServer.ts"
import { Engine } from "../../devices/engine/Engine.ts"
import { Bus } from "../../subjects/Bus.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import type { Tile } from "../../subjects/TileCodec.ts"
import { makeTileSender } from "../../subjects/TileSender.ts"
import { regionHeight, regionWidth } from "../../supernet/Partition.ts"
import { localStrategy, normalizeStrategy, strategyId } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { taskGraph } from "../../supernet/TaskGraph.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const [origin, here] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const local = localStrategy(tinySpec, maxSubmodel(tinySpec, 64), origin)
/** The middle of the network here: one tile comes. */
const strategy = normalizeStrategy(tinySpec, {
  ...local,
  devices: [origin, here],
  blocks: local.blocks.map((b, i) => ({ ...b, placement: [i > 2 && i < 6 ? 1 : 0] })),
})
const graph = taskGraph(tinySpec, strategy)
const id = strategyId(tinySpec, strategy)
const prepared = { strategyId: id, strategy, graph, device: 1, timings: { built: 0, elapsedMs: 0 } }
const edge = graph.edges.find((e) => e.crosses && e.toDevice === 1)
assert(edge !== undefined)
const [height, width] = [regionHeight(edge.region), regionWidth(edge.region)]
const tileBytes = (edge.channels * height * width * edge.bits) / 8

const tileOf = (request: string): Tile => ({
  requestId: RequestId.make(request),
  attempt: 0,
  strategyId: id,
  edge: edge.index,
  shape: [edge.channels, height, width],
  bits: edge.bits,
  scale: 1,
  zeroPoint: 0,
  budgetMs: 10_000,
  bytes: new Uint8Array(tileBytes),
})

/** A device that takes tiles and computes nothing, with room for so many of them, and a sender. */
const intake = Effect.fnUntraced(function* (mostTiles: number) {
  const taken: Array<Running> = []
  const engine = { prepared: () => prepared, drop: () => Effect.void }
  const books = { host: () => undefined, hostDone: () => undefined, hostClose: () => undefined }
  const underway = new Underway(here, engine, books, mostTiles * tileBytes)
  const take = (r: Running, piece: Parameters<typeof takeIn>[1]) => {
    takeIn(r, piece)
    taken.push(r)
  }
  const self = { device: here, counters: { dropped: 0 }, memory: memoryShares() }
  const fakes = Layer.mergeAll(
    Layer.succeed(Self, self as unknown as Self["Service"]),
    Layer.succeed(Engine, engine as unknown as Engine["Service"]),
    Layer.succeed(Membership, { takesWork: () => true } as unknown as Membership["Service"]),
  )
  yield* Effect.provide(makeIntake(underway, { take }), fakes)
  const sender = yield* makeTileSender({ device: origin })
  const send = (request: string) => Effect.result(sender.send(here, tileOf(request), { timeoutMs: 5000 }))
  const outcome = (request: string) =>
    Effect.map(send(request), (r) =>
      r._tag === "Success" ? "taken" : r.failure._tag === "Refused" ? r.failure.tag : r.failure._tag,
    )
  return { underway, taken, outcome }
})

describe("tiles that wait", () => {
  it.live("are taken in as far as there is memory for them, and again when those before have run", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      yield* Effect.gen(function* () {
        const { underway, taken, outcome } = yield* intake(4)
        const outcomes = yield* Effect.forEach(["a", "b", "c", "d"], outcome)
        assert.deepStrictEqual(outcomes, ["taken", "taken", "taken", "Overloaded"])
        assert.strictEqual(underway.heldBytes, 3 * tileBytes)
        // What is left goes to those that are under way.
        assert.isTrue(underway.hasRoom(RequestId.make("a"), 0, tileBytes))
        assert.isFalse(underway.hasRoom(RequestId.make("a"), 0, tileBytes + 1))
        const [first] = taken
        assert(first !== undefined)
        // It is computed, and done.
        takeOut(first, edge.to)
        assert.strictEqual(yield* outcome("d"), "Overloaded")
        underway.over(first)
        assert.strictEqual(yield* outcome("d"), "taken")
      }).pipe(Effect.provide(Bus.layer({ servers: server.url, firstConnectMs: 5000 })))
    }).pipe(Effect.scoped),
  )

  it.live("are taken in one by one where memory is only for less than one", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      yield* Effect.gen(function* () {
        const { outcome } = yield* intake(0.1)
        assert.deepStrictEqual(yield* Effect.forEach(["a", "b"], outcome), ["taken", "Overloaded"])
      }).pipe(Effect.provide(Bus.layer({ servers: server.url, firstConnectMs: 5000 })))
    }).pipe(Effect.scoped),
  )
})
