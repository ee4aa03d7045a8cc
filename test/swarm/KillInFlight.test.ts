import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Result, Scope } from "effect"
import { afterAll, beforeAll, describe, vi } from "vitest"
import { picturesOf } from "../../bench/chaos/Pictures.ts"
import { verify } from "../../bench/chaos/Verdict.ts"
import { type SwarmBox, swarmBox } from "../../deploy/SwarmBox.ts"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import { swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { defaultArtifact, readArtifact } from "../../supernet/Artifact.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { connectAs } from "../support/Buses.ts"
import { ask } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 })

const ids = ["pi-1", "pi-2", "pi-3"].map((id) => DeviceId.make(id))
const first = DeviceId.make("pi-1")
/** So slow that a request takes seconds and a beat of a device that works for it comes well before its end. */
const slow = 40
/** Only together can the devices do it. */
const slo = { latencyMs: 45 * slow }
/** For noticing, planning anew, and a machine that does other things too. */
const generousMs = 5000

/** Completes with the next device that says in a beat that it holds work of the first one. */
const holder = (client: BusShape) =>
  Effect.gen(function* () {
    const found = yield* Deferred.make<DeviceId>()
    client.nats.subscribe(Subjects.swarm(Subjects.anyDevice), {
      callback: (_, m) => {
        const message = swarmMessage.decode(m.subject, m.data)
        if (Result.isFailure(message) || message.success._tag !== "Beat") return
        const { identity, status } = message.success
        // Almost all of what was asked of it: its end is far.
        const heldMs = status.load.backlogMs?.[first] ?? 0
        if (identity.device !== first && heldMs > 5 * slow)
          Deferred.doneUnsafe(found, Effect.succeed(identity.device))
      },
    })
    return found
  })

/** Hears who says what; gives how often a device has said farewell, and whom its last beat named as peers. */
const hearing = (operator: BusShape) => {
  const farewells = new Map<DeviceId, number>()
  const peers = new Map<DeviceId, ReadonlyArray<DeviceId>>()
  operator.nats.subscribe(Subjects.swarm(Subjects.anyDevice), {
    callback: (_, m) => {
      const message = swarmMessage.decode(m.subject, m.data)
      if (Result.isFailure(message)) return
      const said = message.success
      if (said._tag === "Farewell") farewells.set(said.device, (farewells.get(said.device) ?? 0) + 1)
      else peers.set(said.identity.device, said.status.peers)
    },
  })
  return { farewells: (d: DeviceId) => farewells.get(d) ?? 0, peers: (d: DeviceId) => peers.get(d) ?? [] }
}

interface Setting {
  readonly box: SwarmBox
  readonly client: BusShape
  readonly operator: BusShape
}

const setting = Effect.gen(function* () {
  const box = yield* swarmBox({ devices: ids.map((id) => ({ id, profile: "raspberry-pi-4", slow })) })
  const client = yield* connectAs(Bus.layer(box.device(first).client))
  const operator = yield* connectAs(Bus.layer(box.operator))
  return { box, client, operator }
})

const scope = Scope.makeUnsafe()
let shared: Setting | undefined
beforeAll(async () => {
  shared = await Effect.runPromise(Scope.provide(setting, scope))
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
const inBox = <A, E>(test: (s: Setting) => Effect.Effect<A, E>) =>
  Effect.suspend(() => (shared === undefined ? Effect.die(new Error("nothing started")) : test(shared)))

describe("SIGTERM of a device that holds tiles", () => {
  it.live("lets it finish them also for one that is frozen meanwhile and silent", () =>
    inBox(({ box, client, operator }) =>
      Effect.gen(function* () {
        const pictures = yield* Effect.promise(() => picturesOf(seededRandom(1)))
        const request = {
          image: pictures[0] ?? new Uint8Array(),
          slo,
          topK: 1,
          device: first,
          deadlineMs: 60_000,
        }
        const heard = hearing(operator)
        const found = yield* holder(operator)
        let frozen = false
        const asking = Effect.repeat(ask(client, request), { times: 40, until: () => frozen })
        const asked = yield* Effect.forkChild(asking, { startImmediately: true })
        const leaving = yield* Deferred.await(found)
        box.device(first).signal("SIGSTOP")
        frozen = true
        box.device(leaving).signal("SIGTERM")
        const third = ids.find((id) => id !== first && id !== leaving) ?? first
        yield* waitUntil("the frozen one is suspected", () => !heard.peers(third).includes(first), 20_000)
        const said = heard.farewells(leaving)
        yield* waitUntil("who leaves still waits for it", () => heard.farewells(leaving) > said, 20_000)
        box.device(first).signal("SIGCONT")
        const { recovery } = yield* Fiber.join(asked)
        // It may have been given up for being late, which the frozen one was itself; not for being gone.
        const overdue = recovery?.overdue ?? []
        assert.notInclude(recovery?.lost.filter((d) => !overdue.includes(d)) ?? [], leaving)
        yield* box.device(leaving).exited
        yield* box.device(leaving).start
      }),
    ),
  )
})

describe("kill -9 of a device that holds tiles", () => {
  it.live("costs its request some time, and nothing else: the answer comes, and is right", () =>
    inBox(({ box, client, operator }) =>
      Effect.gen(function* () {
        const pictures = yield* Effect.promise(() => picturesOf(seededRandom(1)))
        const image = pictures[0] ?? new Uint8Array()
        const include = ["logits", "strategy"] as const
        const request = { image, slo, include, topK: 1, device: first, deadlineMs: 60_000 }
        const found = yield* holder(operator)
        // Until one is split over devices: paths are measured and strategies made ready beside the first ones.
        let victim: DeviceId | undefined
        const gaveUp = ({ recovery }: InferReply) =>
          victim !== undefined && recovery?.lost.includes(victim) === true
        const asking = Effect.repeat(ask(client, request), { times: 40, until: gaveUp })
        const asked = yield* Effect.forkChild(asking, { startImmediately: true })
        const killed = yield* Deferred.await(found)
        victim = killed
        box.device(killed).signal("SIGKILL")
        const reply = yield* Fiber.join(asked)

        assert.strictEqual(reply.device, first)
        assert.isTrue(gaveUp(reply))
        assert.notInclude(reply.summary.devices, killed)
        // What was done before the kill, once more, and noticing it.
        const expectedMs = (reply.recovery?.predictedMs ?? 0) + reply.predicted.latencyMs
        assert.isBelow(reply.latencyMs, expectedMs + generousMs)

        const supernet = yield* Effect.flatMap(defaultArtifact, readArtifact)
        const wish = { image, picture: 0, slo, deadlineMs: request.deadlineMs }
        const outcome = { wish, sentMs: 0, doneMs: 0, tries: 1, end: { kind: "answer", reply } } as const
        const { checked, wrong } = yield* Effect.promise(() => verify(supernet, pictures, [outcome]))
        assert.strictEqual(checked, 1)
        assert.deepStrictEqual(wrong, [])

        // It is out of plans: the next request does not even try it.
        const next = yield* ask(client, request)
        assert.isFalse(gaveUp(next))
        assert.notInclude(next.summary.devices, killed)
      }),
    ),
  )
})
