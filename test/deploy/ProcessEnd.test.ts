import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { natsProcess } from "../../deploy/NatsProcess.ts"

describe("a server that ends before it is ready", () => {
  it.live("fails with what it said last", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(natsProcess(["--no-such-flag"], "hub"))
      assert.include(error.log.join("\n"), "no-such-flag")
    }).pipe(Effect.scoped),
  )
})
