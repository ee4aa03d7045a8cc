import { assert, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { connect } from "nats"
import { describe } from "vitest"
import { Bus } from "../../subjects/Bus.ts"
import { infer, MurmurationClient } from "../../subjects/Client.ts"
import { inferReply, inferRequest } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { refusal } from "../../subjects/ErrorReply.ts"
import { type InferReply, type InferRequest, refuseInfer } from "../../subjects/InferMessages.ts"
import { serve } from "../../subjects/Serve.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { someReply } from "../support/Replies.ts"
import { bareServer, type LocalServer } from "../../deploy/LocalServer.ts"

const device = DeviceId.make("pi-1")
const image = new Uint8Array([255, 216, 255, 224])

/** What a scheduler would answer, saying back what it got. */
const answer = (request: InferRequest): InferReply => ({
  ...someReply,
  id: request.id ?? someReply.id,
  classes: [{ index: 3, name: `${request.image?.length ?? 0} bytes`, probability: 0.75 }],
  slo: request.slo,
})

const withScheduler = <A, E>(test: (server: LocalServer) => Effect.Effect<A, E, Bus | Scope.Scope>) =>
  Effect.gen(function* () {
    const server = yield* bareServer
    const scheduler = serve({
      subject: Subjects.infer,
      queue: Subjects.inferQueue,
      input: inferRequest,
      output: inferReply,
      refuse: refuseInfer,
      handle: (request) =>
        request.topK === 99
          ? Effect.fail(refusal("BadImage", "not an image", "send a JPEG, PNG or WebP"))
          : Effect.succeed(answer(request)),
    })
    return yield* Effect.provide(Effect.andThen(scheduler, test(server)), Bus.layer({ servers: server.url }))
  }).pipe(Effect.scoped)

describe("client", () => {
  it.live("in Effect gets a typed answer, or the swarm's own error", () =>
    withScheduler(() =>
      Effect.gen(function* () {
        const reply = yield* infer({ image, slo: { latencyMs: 140 }, id: "mine" })
        assert.strictEqual(reply.id, "mine")
        assert.deepStrictEqual(reply.slo, { latencyMs: 140 })
        const error = yield* Effect.flip(infer({ image, slo: { accuracy: 0.8 }, topK: 99 }))
        assert.strictEqual(error._tag === "Refused" ? error.tag : error._tag, "BadImage")
        const absent = yield* Effect.flip(infer({ image, slo: { accuracy: 0.8 }, device: "pi-9" }))
        assert.strictEqual(absent._tag, "NobodyListens")
      }),
    ),
  )

  it.live("says what is wrong with an input that cannot be sent, without asking anybody", () =>
    withScheduler(() =>
      Effect.gen(function* () {
        const slo = { latencyMs: 140 }
        const wrong = [
          [{ image, slo: { accuracy: 85 } }, "slo.accuracy"],
          [{ image, slo, id: "with spaces" }, "id"],
          [{ image, slo, device: "infer.>" }, "device"],
        ] as const
        for (const [input, where] of wrong) {
          const error = yield* Effect.flip(infer(input))
          assert.strictEqual(error._tag === "BadMessage" ? error.path.join(".") : error._tag, where)
        }
      }),
    ),
  )

  it.live("waits a moment where nobody listens yet", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      const late = Effect.gen(function* () {
        const asked = yield* Effect.forkChild(infer({ image, slo: { latencyMs: 140 }, attempts: 20 }), {
          startImmediately: true,
        })
        yield* serve({
          subject: Subjects.infer,
          input: inferRequest,
          output: inferReply,
          handle: (request) => Effect.succeed(answer(request)),
        })
        return yield* Fiber.join(asked)
      })
      const reply = yield* Effect.provide(late, Bus.layer({ servers: server.url }))
      assert.strictEqual(reply.device, device)
    }).pipe(Effect.scoped),
  )

  it.live("with promises resolves with the answer and rejects with the tagged error", () =>
    withScheduler((server) =>
      Effect.promise(async () => {
        const client = await MurmurationClient.connect({ servers: server.url })
        const reply = await client.infer({ image, slo: { latencyMs: 140 } })
        assert.strictEqual(reply.classes[0]?.name, "4 bytes")
        const error: unknown = await client
          .infer({ image, slo: { latencyMs: 1 }, topK: 99 })
          .catch((e: unknown) => e)
        assert.propertyVal(error, "tag", "BadImage")
        await client.close()
      }),
    ),
  )

  it.live("as plain JSON, as `nats req` sends it, is answered in JSON, errors too", () =>
    withScheduler((server) =>
      Effect.promise(async () => {
        const nc = await connect({ servers: server.url })
        const ask = async (body: string) =>
          (await nc.request("infer.request", body, { timeout: 2000 })).json<never>()
        const base64 = Buffer.from(image).toString("base64")
        const reply: InferReply = await ask(`{"image":"${base64}","slo":{"latencyMs":140}}`)
        assert.strictEqual(reply.classes[0]?.name, "4 bytes")
        const both: { error: { tag: string } } = await ask(
          `{"image":"${base64}","slo":{"latencyMs":1,"accuracy":1}}`,
        )
        assert.strictEqual(both.error.tag, "UnknownSlo")
        const broken: { error: { tag: string } } = await ask(`{"image":`)
        assert.strictEqual(broken.error.tag, "BadRequest")
        await nc.close()
      }),
    ),
  )
})
