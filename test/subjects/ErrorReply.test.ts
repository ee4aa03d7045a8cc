import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { bareServer } from "../../deploy/LocalServer.ts"
import { Bus } from "../../subjects/Bus.ts"
import { codec } from "../../subjects/Codec.ts"
import { refusal } from "../../subjects/ErrorReply.ts"
import { serve } from "../../subjects/Serve.ts"
import { connectAs, on } from "../support/Buses.ts"

const Number_ = codec(Schema.Struct({ n: Schema.Finite }))
const timeoutMs = 2000

describe("an error of any length", () => {
  it.live("is told, and the next request is answered", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      const bus = yield* connectAs(Bus.layer({ servers: server.url, firstConnectMs: 5000 }))
      const long = "x".repeat(2 * bus.payloadLimitBytes())
      yield* serve({
        subject: "wordy",
        input: Number_,
        output: Number_,
        handle: (m) => (m.n === 1 ? Effect.fail(refusal("NoStrategy", long)) : Effect.succeed(m)),
      }).pipe(on(bus))
      const refused = yield* Effect.flip(bus.request("wordy", Number_.encode({ n: 1 }), { timeoutMs }))
      assert.strictEqual(refused._tag === "Refused" && refused.tag, "NoStrategy")
      yield* bus.request("wordy", Number_.encode({ n: 5 }), { timeoutMs })
    }).pipe(Effect.scoped),
  )
})
