/** What a device prints about itself. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { describe, vi } from "vitest"
import { deviceLog } from "../../cli/Up.ts"

/** The lines of a command that logs as a device does. */
const logged = (...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const print = vi.spyOn(console, "log").mockImplementation((line) => void lines.push(String(line)))
    const says = Effect.andThen(Effect.logDebug("a detail"), Effect.logInfo("an event"))
    const command = Command.make("up", {}, () => Effect.provide(says, deviceLog))
    yield* Command.runWith(command, { version: "1" })(args).pipe(Effect.provide(NodeServices.layer))
    print.mockRestore()
    return lines.join("\n")
  })

describe("a device's log", () => {
  it.live("says what --log-level asks for; by default events without details", () =>
    Effect.gen(function* () {
      const byDefault = yield* logged()
      assert.include(byDefault, "an event")
      assert.notInclude(byDefault, "a detail")
      assert.include(yield* logged("--log-level", "debug"), "a detail")
      assert.strictEqual(yield* logged("--log-level", "error"), "")
    }),
  )
})
