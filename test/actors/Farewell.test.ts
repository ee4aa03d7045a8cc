import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { vi } from "vitest"
import { type Farewells, makeFarewells } from "../../actors/Farewell.ts"
import type { Self } from "../../actors/Self.ts"
import { localSwarm } from "../../deploy/LocalSwarm.ts"
import type { BusShape } from "../../subjects/Bus.ts"
import { swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { connectAs } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

vi.setConfig({ testTimeout: 60_000 })

const [staying, leaving] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const [beatEveryMs, drainMs] = [100, 40_000]

/** A device's part in farewells: whose work it waits for, and who may wait for it, as the test says. */
const party = (bus: BusShape, device: DeviceId, inUse: Set<DeviceId>, waiting: Set<DeviceId>) =>
  makeFarewells({
    bus,
    self: { device, identity: { nonce: `of ${device}` } as Self["Service"]["identity"] },
    backlog: { inUse: () => [...inUse] },
    waiting: () => [...waiting],
    beatEveryMs,
  })

/** Hears farewells from now on; gives how many. */
const listening = (bus: BusShape, farewells: Farewells) => {
  const heard = { farewells: 0 }
  bus.nats.subscribe(Subjects.swarm(Subjects.anyDevice), {
    callback: (_, m) => {
      const message = swarmMessage.decode(m.subject, m.data)
      if (Result.isFailure(message) || message.success._tag !== "Farewell") return
      heard.farewells++
      Effect.runFork(farewells.letGo(message.success.device, message.success.drainMs, m.reply ?? ""))
    },
  })
  return heard
}

/** Resolves when what `to` subscribed to so far is known at the leaf of `from`: servers pass it on in order, in their time. */
const known = Effect.fnUntraced(function* (from: BusShape, to: BusShape) {
  let heard = false
  to.nats.subscribe("_INBOX.known", { callback: () => void (heard = true) })
  yield* waitUntil("subscriptions to be known", () => {
    if (!heard) from.nats.publish("_INBOX.known")
    return heard
  })
})

const both = Effect.gen(function* () {
  const servers = yield* localSwarm([staying, leaving])
  const [a, b] = [yield* connectAs(servers.deviceBus(staying)), yield* connectAs(servers.deviceBus(leaving))]
  const [inUse, waiting] = [new Set([leaving]), new Set([staying])]
  const stays = yield* party(a, staying, inUse, new Set())
  const leaves = yield* party(b, leaving, new Set(), waiting)
  return { a, b, stays, leaves, inUse, waiting }
})

describe("a device that leaves", () => {
  it.live("takes work until one that missed its first farewell has let it go too", () =>
    Effect.gen(function* () {
      const { a, b, stays, leaves, inUse } = yield* both
      yield* leaves.leave("a test", drainMs)
      yield* Effect.promise(() => b.nats.flush())
      // As if its link had been down: the first one is past.
      const heard = listening(a, stays)
      const gone = yield* Effect.forkChild(leaves.released)
      yield* waitUntil("the farewell is said again, and again", () => heard.farewells > 2)
      assert.isTrue(leaves.takesWork())
      inUse.delete(leaving)
      yield* Fiber.join(gone)
      assert.isFalse(leaves.takesWork())
    }).pipe(Effect.scoped),
  )

  it.live("is answered once for all farewells said while its work is waited for", () =>
    Effect.gen(function* () {
      const { a, b, stays, inUse } = yield* both
      let answers = 0
      b.nats.subscribe("_INBOX.test", { callback: () => void answers++ })
      yield* known(a, b)
      for (let i = 0; i < 3; i++) yield* stays.letGo(leaving, drainMs, "_INBOX.test")
      inUse.delete(leaving)
      yield* waitUntil("it is let go", () => answers > 0)
      // The next one is a new question, and its answer comes last.
      yield* stays.letGo(leaving, drainMs, "_INBOX.test")
      yield* waitUntil("it is told again", () => answers > 1)
      yield* Effect.promise(() => a.nats.flush())
      assert.strictEqual(answers, 2)
    }).pipe(Effect.scoped),
  )

  it.live("does not wait for one where nobody is any more", () =>
    Effect.gen(function* () {
      const { leaves, waiting } = yield* both
      yield* leaves.leave("a test", drainMs)
      const gone = yield* Effect.forkChild(leaves.released)
      waiting.delete(staying)
      yield* Fiber.join(gone)
      assert.isFalse(leaves.takesWork())
    }).pipe(Effect.scoped),
  )
})
