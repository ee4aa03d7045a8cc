/** Several connections in one test, each kept until the test's scope closes. */
import { Context, Effect, Layer, type Scope } from "effect"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import type { CannotConnect } from "../../subjects/BusErrors.ts"

export const connectAs = (
  layer: Layer.Layer<Bus, CannotConnect>,
): Effect.Effect<BusShape, CannotConnect, Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, Bus))

/** What the client library says at each ping, of which there is one in three seconds, three times now. */
export const pingTicks = (bus: BusShape): Effect.Effect<void> =>
  Effect.sync(() => {
    const { protocol } = bus.nats as unknown as { protocol: { dispatchStatus: (status: object) => void } }
    for (let i = 0; i < 3; i++) protocol.dispatchStatus({ type: "pingTimer", data: "1" })
  })

/** Runs an effect that needs the bus on this one. */
export const on = (bus: BusShape) => Effect.provideService(Bus, bus)
