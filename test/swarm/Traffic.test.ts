import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { connect, type Msg } from "nats"
import { describe } from "vitest"
import { doubledOf } from "../../bench/chaos/Replies.ts"
import { Client } from "../../bench/chaos/Traffic.ts"
import { bareServer } from "../../deploy/LocalServer.ts"
import { Bus } from "../../subjects/Bus.ts"
import { inferReply, inferRequest } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferRequest } from "../../subjects/InferMessages.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { someReply } from "../support/Replies.ts"
import { connectAs } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

const device = DeviceId.make("pi-1")

const answer = (latencyMs: number): Uint8Array => inferReply.encode({ ...someReply, latencyMs })

type Heard = (message: Msg, request: InferRequest, nth: number) => void

/** One client of a server at which somebody hears all requests, who replies as a device may not. */
const asking = (heard: Heard, deadlineMs = 2500) =>
  Effect.gen(function* () {
    const server = yield* bareServer
    const listener = yield* Effect.acquireRelease(
      Effect.promise(() => connect({ servers: server.url })),
      (nc) => Effect.promise(() => nc.close()),
    )
    const requests: Array<InferRequest> = []
    listener.subscribe(Subjects.infer, {
      callback: (_, message) => {
        const request = inferRequest.decode(message.subject, message.data)
        if (Result.isSuccess(request)) heard(message, request.success, requests.push(request.success))
      },
    })
    yield* Effect.promise(() => listener.flush())
    const client = new Client(device, yield* connectAs(Bus.layer({ servers: server.url })))
    const image = new Uint8Array([255, 216, 255, 224])
    const wish = { image, picture: 0, slo: { latencyMs: 140 }, deadlineMs }
    const outcome = yield* client.ask(wish)
    return { outcome, client, requests }
  })

const repliesOf = (client: Client) => client.calls.reduce((sum, { replies }) => sum + replies.length, 0)

describe("the clients of bench chaos", () => {
  it.live("get one answer to one message, of a key", () =>
    Effect.gen(function* () {
      const { outcome, client, requests } = yield* asking((message) => void message.respond(answer(1)))
      assert.strictEqual(outcome.end.kind, "answer")
      assert.strictEqual(outcome.tries, 1)
      assert.isDefined(requests[0]?.key)
      assert.deepStrictEqual(doubledOf(client.calls), { twice: 0, differing: 0, alike: 0 })
    }).pipe(Effect.scoped),
  )

  it.live("see a message that is replied to twice", () =>
    Effect.gen(function* () {
      const { client } = yield* asking((message) => {
        message.respond(answer(1))
        message.respond(answer(1))
      })
      yield* waitUntil("both replies are there", () => repliesOf(client) === 2)
      assert.deepStrictEqual(doubledOf(client.calls), { twice: 1, differing: 0, alike: 0 })
    }).pipe(Effect.scoped),
  )

  it.live("ask again beside a silent message, with its key, and tell whether both got the same answer", () =>
    Effect.gen(function* () {
      for (const first of [2, 1]) {
        let silent: Msg | undefined
        const { outcome, client, requests } = yield* asking((message, _, nth) => {
          if (nth === 1) return void (silent = message)
          message.respond(answer(1))
          silent?.respond(answer(first))
        })
        assert.strictEqual(outcome.end.kind, "answer")
        assert.strictEqual(outcome.tries, 2)
        assert.strictEqual(requests[0]?.key, requests[1]?.key)
        assert.strictEqual(requests[0]?.deadlineMs, 2500)
        assert.isBelow(requests[1]?.deadlineMs ?? Infinity, 1500)
        yield* waitUntil("both replies are there", () => repliesOf(client) === 2)
        const [differing, alike] = first === 1 ? [0, 1] : [1, 0]
        assert.deepStrictEqual(doubledOf(client.calls), { twice: 0, differing, alike })
      }
    }).pipe(Effect.scoped),
  )

  it.live("end in silence where nobody replies in time, and know of a reply after that", () =>
    Effect.gen(function* () {
      const held: Array<Msg> = []
      const { outcome, client } = yield* asking((message) => void held.push(message), 300)
      const { end } = outcome
      assert.strictEqual(end.kind, "silence")
      const wasAnswered = () => end.kind === "silence" && end.wasAnswered()
      assert.isFalse(wasAnswered())
      held[0]?.respond(answer(1))
      yield* waitUntil("the reply is there", () => repliesOf(client) === 1)
      assert.isTrue(wasAnswered())
    }).pipe(Effect.scoped),
  )

  it.live("give up with the client's own error after four tries, about a third of a second", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      const bus = yield* connectAs(Bus.layer({ servers: server.url }))
      const client = new Client(device, bus)
      const wish = { image: new Uint8Array([1]), picture: 0, slo: { latencyMs: 140 }, deadlineMs: 10_000 }
      for (const tag of ["NobodyListens", "BusDown"]) {
        const { end, tries, sentMs, doneMs } = yield* client.ask(wish)
        assert.strictEqual(end.kind === "error" ? end.tag : end.kind, tag)
        assert.strictEqual(tries, 4)
        assert.isAtLeast(doneMs - sentMs, 170)
        yield* server.kill
        yield* waitUntil("the client knows that its leaf is down", () => !bus.isUp())
      }
    }).pipe(Effect.scoped),
  )
})
