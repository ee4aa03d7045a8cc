import { assert, it } from "@effect/vitest"
import { Effect, Fiber, type Scope, SubscriptionRef } from "effect"
import { type Msg } from "nats"
import { describe } from "vitest"
import { Bus } from "../../subjects/Bus.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { errorBodyOf, refusal } from "../../subjects/ErrorReply.ts"
import type { ChunkTransfer } from "../../subjects/Outbox.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { encodeTaken } from "../../subjects/TileAck.ts"
import { decodeTileChunk, type Tile } from "../../subjects/TileCodec.ts"
import { makeTileReceiver } from "../../subjects/TileReceiver.ts"
import { makeTileSender } from "../../subjects/TileSender.ts"
import { bareServer, type LocalServer } from "../../deploy/LocalServer.ts"
import { pingTicks } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

const [me, peer] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const timeoutMs = 5000

/** A uint8 region of `bytes` values that differ. */
const tileOf = (bytes: number, edge = 0): Tile => ({
  requestId: RequestId.make("r-1"),
  attempt: 0,
  strategyId: "0123456789abcdef",
  edge,
  shape: [bytes / 100, 10, 10],
  bits: 8,
  scale: 0.5,
  zeroPoint: 3,
  budgetMs: 0,
  bytes: Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + edge) % 251),
})

const onBus = <A, E>(test: (server: LocalServer) => Effect.Effect<A, E, Bus | Scope.Scope>) =>
  Effect.gen(function* () {
    const server = yield* bareServer
    return yield* Effect.provide(test(server), Bus.layer({ servers: server.url, firstConnectMs: 5000 }))
  }).pipe(Effect.scoped)

/** A receiver that acknowledges nothing until it is told to. */
const holdingReceiver = Effect.gen(function* () {
  const bus = yield* Bus
  const held: Array<Msg> = []
  const subscription = bus.nats.subscribe(Subjects.tile(peer, "*"), { callback: (_, m) => void held.push(m) })
  yield* Effect.addFinalizer(() => Effect.sync(() => subscription.unsubscribe()))
  yield* Effect.promise(() => bus.nats.flush())
  return held
})

describe("tiles", () => {
  it.live("of any size arrive whole, with their sender, and every chunk is timed", () =>
    onBus(() =>
      Effect.gen(function* () {
        const taken: Array<{ tile: Tile; from: string }> = []
        const transfers: Array<ChunkTransfer> = []
        yield* makeTileReceiver({
          device: peer,
          accept: (tile, from) => {
            taken.push({ tile, from })
            return undefined
          },
        })
        const sender = yield* makeTileSender({ device: me, onTransfer: (t) => transfers.push(t) })
        const tiles = [100, 10_000, 98_000, 300_000, 800_000].map((size, i) => tileOf(size, i))
        const receipts = yield* Effect.forEach(tiles, (tile) => sender.send(peer, tile, { timeoutMs }), {
          concurrency: 5,
        })
        assert.deepStrictEqual(
          receipts.map((r) => r.chunks),
          [1, 1, 1, 4, 9],
        )
        assert.lengthOf(taken, tiles.length)
        for (const { tile, from } of taken) {
          assert.strictEqual(from, me)
          assert.isTrue(Buffer.from(tile.bytes).equals(tiles[tile.edge]?.bytes ?? Buffer.from([])))
        }
        assert.lengthOf(transfers, 16)
        assert.isTrue(transfers.every((t) => t.elapsedMs >= t.processingMs && !t.resent && t.peer === peer))
        const { chunks, bytes } = sender.outstanding(peer)
        assert.deepStrictEqual({ chunks, bytes }, { chunks: 0, bytes: 0 })
      }),
    ),
  )

  it.live("keep at most the window unacknowledged; the rest waits until credit comes back", () =>
    onBus(() =>
      Effect.gen(function* () {
        const held = yield* holdingReceiver
        const sender = yield* makeTileSender({ device: me, window: 3 })
        const sending = yield* Effect.forkChild(
          Effect.forEach([0, 1, 2, 3, 4], (i) => sender.send(peer, tileOf(200_000, i), { timeoutMs }), {
            concurrency: 5,
          }),
        )
        let acknowledged = 0
        while (acknowledged < 15) {
          yield* waitUntil("the window to fill", () => held.length === Math.min(15, acknowledged + 3))
          assert.isAtMost(sender.outstanding(peer).chunks, 3)
          held[acknowledged++]?.respond(encodeTaken(0))
        }
        yield* Fiber.join(sending)
      }),
    ),
  )

  it.live("that are interrupted or late give their credit back", () =>
    onBus(() =>
      Effect.gen(function* () {
        const held = yield* holdingReceiver
        const sender = yield* makeTileSender({ device: me, window: 1 })
        const late = yield* Effect.flip(sender.send(peer, tileOf(1000), { timeoutMs: 50 }))
        assert.strictEqual(late._tag, "Late")
        const interrupted = yield* Effect.forkChild(sender.send(peer, tileOf(1000), { timeoutMs }))
        yield* waitUntil("the second chunk", () => held.length === 2)
        yield* Fiber.interrupt(interrupted)
        const third = yield* Effect.forkChild(sender.send(peer, tileOf(1000), { timeoutMs }))
        yield* waitUntil("the third chunk", () => held.length === 3)
        held[2]?.respond(encodeTaken(0))
        yield* Fiber.join(third)
      }),
    ),
  )

  it.live(
    "that nobody waits for any more still occupy the link, and are timed when they arrive after all",
    () =>
      onBus(() =>
        Effect.gen(function* () {
          const held = yield* holdingReceiver
          const transfers: Array<ChunkTransfer> = []
          const sender = yield* makeTileSender({ device: me, onTransfer: (t) => transfers.push(t) })
          const sending = yield* Effect.forkChild(sender.send(peer, tileOf(1000), { timeoutMs }))
          yield* waitUntil("the chunk", () => held.length === 1)
          yield* Fiber.interrupt(sending)
          const { chunks, bytes, abandonedBytes, firstSentMs } = sender.outstanding(peer)
          assert.strictEqual(chunks, 1)
          assert.isAbove(bytes, 1000)
          assert.strictEqual(abandonedBytes, bytes)
          assert.isDefined(firstSentMs)
          held[0]?.respond(encodeTaken(0))
          yield* waitUntil("its time", () => transfers.length === 1)
          assert.isTrue(transfers[0]?.abandoned)
          const after = sender.outstanding(peer)
          assert.deepStrictEqual([after.chunks, after.bytes, after.abandonedBytes], [0, 0, 0])
          assert.isUndefined(after.firstSentMs)
        }),
      ),
  )

  it.live("that the receiver refuses fail at once with its reason, and may be sent again", () =>
    onBus(() =>
      Effect.gen(function* () {
        let configured = false
        const receiver = yield* makeTileReceiver({
          device: peer,
          accept: () =>
            configured ? undefined : errorBodyOf(refusal("UnknownStrategy", "never heard of it")),
        })
        const sender = yield* makeTileSender({ device: me })
        const error = yield* Effect.flip(sender.send(peer, tileOf(300_000), { timeoutMs }))
        assert.strictEqual(error._tag === "Refused" ? error.tag : error._tag, "UnknownStrategy")
        configured = true
        yield* sender.send(peer, tileOf(300_000), { timeoutMs })
        assert.strictEqual(receiver.stats.errors, 1)
      }),
    ),
  )

  it.live("to nobody fail as NobodyListens, well before the timeout", () =>
    onBus(() =>
      Effect.gen(function* () {
        const sender = yield* makeTileSender({ device: me })
        const error = yield* Effect.flip(sender.send(peer, tileOf(1000), { timeoutMs: 60_000 }))
        assert.strictEqual(error._tag, "NobodyListens")
      }),
    ),
  )

  it.live("go through although garbage comes in between and a handler throws", () =>
    onBus(() =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const receiver = yield* makeTileReceiver({
          device: peer,
          accept: (tile) => {
            if (tile.edge === 13) throw new Error("bug")
            return undefined
          },
        })
        const sender = yield* makeTileSender({ device: me })
        for (const bytes of [
          new Uint8Array(),
          new Uint8Array([0xff]),
          Buffer.from("[]"),
          new Uint8Array(5000),
        ]) {
          const reply = yield* Effect.promise(() =>
            bus.nats.request(Subjects.tile(peer, me), bytes, { timeout: timeoutMs }),
          )
          assert.include(new TextDecoder().decode(reply.data), "BadTile")
        }
        const error = yield* Effect.flip(sender.send(peer, tileOf(1000, 13), { timeoutMs }))
        assert.strictEqual(error._tag === "Refused" ? error.tag : error._tag, "Internal")
        yield* sender.send(peer, tileOf(1000, 1), { timeoutMs })
        assert.strictEqual(receiver.stats.bad, 4)
      }),
    ),
  )

  it.live("under way when the server dies are sent again after it is back, and taken once", () =>
    onBus((server) =>
      Effect.gen(function* () {
        const bus = yield* Bus
        const held = yield* holdingReceiver
        const sender = yield* makeTileSender({ device: me })
        const sending = yield* Effect.forkChild(sender.send(peer, tileOf(300_000), { timeoutMs: 20_000 }))
        yield* waitUntil("all chunks", () => held.length === 4)
        yield* server.kill
        yield* waitUntil("down", () => !bus.isUp())
        const queued = yield* Effect.forkChild(sender.send(peer, tileOf(1000, 1), { timeoutMs: 20_000 }))
        const lost = yield* Effect.flip(sender.send(peer, tileOf(1000, 2), { timeoutMs: 20 }))
        assert.match(
          lost.message,
          /not connected to nats:\S+ for \d+ ms; part of the tile may have been sent/,
        )
        yield* server.restart
        yield* waitUntil("the chunks again, and the new one", () => held.length === 9)
        // Once: neither the ticks of the pings nor the same state, said again, are another reconnection.
        yield* pingTicks(bus)
        yield* SubscriptionRef.update(bus.state, (state) => state)
        yield* Effect.repeat(
          Effect.promise(() => bus.nats.flush()),
          { times: 3 },
        )
        assert.lengthOf(held, 9)
        const again = held.slice(4).map((m) => (m.respond(encodeTaken(0)), decodeTileChunk(m.data)._tag))
        assert.deepStrictEqual(
          again,
          Array.from({ length: 5 }, () => "Success"),
        )
        yield* Fiber.join(sending)
        yield* Fiber.join(queued)
      }),
    ),
  )

  it.live(
    "with a receiver that blocks lose nothing: the window keeps it from being cut off as a slow consumer",
    () =>
      onBus(() =>
        Effect.gen(function* () {
          let taken = 0
          yield* makeTileReceiver({
            device: peer,
            accept: () => {
              taken++
              // Blocks the event loop, as an inference on the wrong thread would.
              if (taken % 20 === 0) for (const end = performance.now() + 40; performance.now() < end;);
              return undefined
            },
          })
          const sender = yield* makeTileSender({ device: me })
          yield* Effect.forEach(
            Array.from({ length: 200 }, (_, i) => i),
            (i) => sender.send(peer, tileOf(90_000, i), { timeoutMs: 20_000 }),
            { concurrency: "unbounded" },
          )
          assert.strictEqual(taken, 200)
        }),
      ),
  )
})
