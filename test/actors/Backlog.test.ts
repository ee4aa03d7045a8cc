import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { Backlog } from "../../actors/Backlog.ts"
import { Self } from "../../actors/Self.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import { localStrategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { spec } from "./BusySwarm.ts"

const [here, there] = [DeviceId.make("a"), DeviceId.make("b")]
const profile = shippedProfile("raspberry-pi-4")
const wholeThere = localStrategy(spec, maxSubmodel(spec), there)

const backlog = Effect.gen(function* () {
  const self = { device: here, spec, profile } as unknown as Self["Service"]
  const profiles = { get: (name: string) => (name === profile.name ? profile : undefined) }
  const layer = Backlog.layer({ profiles }).pipe(Layer.provide(Layer.succeed(Self, self)))
  return Context.get(yield* Layer.build(layer), Backlog)
})

describe("the books about a device", () => {
  it.effect("are closed when it is no longer listed, and not before what it was given is done", () =>
    Effect.gen(function* () {
      const books = yield* backlog
      books.heard(there, profile.name, { c: 500 })
      books.book("r", wholeThere)
      assert.isAbove(books.ms(there), 500)
      const totalMs = books.workOf(wholeThere).get(there) ?? 0
      books.keep(new Set())
      assert.strictEqual(books.workOf(wholeThere).get(there), totalMs)
      books.close("r")
      books.keep(new Set([there]))
      assert.isAbove(books.ms(there), 400)
      books.keep(new Set())
      assert.strictEqual(books.ms(there), 0)
      assert.strictEqual(books.workOf(wholeThere).get(there), 0)
    }),
  )
})
