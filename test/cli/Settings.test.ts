/** Settings of a service: from its environment, unless the command line says otherwise. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import { Command } from "effect/cli"
import { describe } from "vitest"
import { intSetting, listSetting, textSetting } from "../../cli/Settings.ts"

const flags = {
  supernet: textSetting("supernet", { says: "", otherwise: "shipped", variable: "MURMURATION_SUPERNET" }),
  memoryMb: intSetting("memory-mb", {
    says: "",
    least: 1,
    otherwise: 512,
    variable: "MURMURATION_MEMORY_MB",
  }),
  providers: listSetting("provider", { says: "", otherwise: ["cpu"], variable: "MURMURATION_PROVIDER" }),
}
type Given = Command.Command.Config.Infer<typeof flags>

const parsed = (environment: Record<string, string>, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    let given: Given | undefined
    const command = Command.make("up", flags, (g) => Effect.sync(() => void (given = g)))
    yield* Command.runWith(command, { version: "1" })(args).pipe(
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(environment)),
      Effect.provide(NodeServices.layer),
    )
    return given
  })

describe("a setting", () => {
  it.effect("comes from the command line, else from the environment, else it has its default", () =>
    Effect.gen(function* () {
      const environment = { MURMURATION_MEMORY_MB: "128", MURMURATION_PROVIDER: "cuda,cpu" }
      assert.deepStrictEqual(yield* parsed({}), { supernet: "shipped", memoryMb: 512, providers: ["cpu"] })
      assert.deepStrictEqual(yield* parsed(environment), {
        supernet: "shipped",
        memoryMb: 128,
        providers: ["cuda", "cpu"],
      })
      assert.deepStrictEqual(
        yield* parsed(environment, "--memory-mb", "64", "--provider", "a", "--provider", "b"),
        { supernet: "shipped", memoryMb: 64, providers: ["a", "b"] },
      )
    }),
  )

  it.effect("out of bounds is refused, wherever it comes from", () =>
    Effect.gen(function* () {
      const memory = (environment: Record<string, string>, ...given: ReadonlyArray<string>) =>
        flags.memoryMb
          .parse({ arguments: [], flags: given.length === 0 ? {} : { "memory-mb": given } })
          .pipe(
            Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(environment)),
            Effect.provide(NodeServices.layer),
          )
      const wanted = /--memory-mb: "(0|-5)".*a whole number of 1 or more/
      assert.match((yield* Effect.flip(memory({}, "0"))).message, wanted)
      assert.match((yield* Effect.flip(memory({ MURMURATION_MEMORY_MB: "-5" }))).message, wanted)
      assert.strictEqual((yield* memory({ MURMURATION_MEMORY_MB: "5" }))[1], 5)
    }),
  )
})
