import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { withDevices } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

describe("a suspect", () => {
  it.live("that gives any sign of life is told to be back, so that its link is known again", () =>
    withDevices(2, ({ devices: [one, two] }) =>
      Effect.gen(function* () {
        assert(one !== undefined && two !== undefined)
        const told: Array<string> = []
        yield* one.membership.events.pipe(
          Stream.runForEach((e) => Effect.sync(() => void told.push(`${e._tag} ${e.device}`))),
          Effect.forkScoped({ startImmediately: true }),
        )
        yield* one.membership.suspect(two.id)
        assert.isFalse(one.membership.isPresent(two.id))
        one.membership.heard(two.id)
        assert.isTrue(one.membership.isPresent(two.id))
        yield* waitUntil("the news", () => told.includes("DeviceReturned pi-2"), 3000)
      }),
    ),
  )
})
