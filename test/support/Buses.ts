/** Several connections in one test, each kept until the test's scope closes. */
import { Context, Effect, Layer, type Scope } from "effect"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import type { CannotConnect } from "../../subjects/BusErrors.ts"

export const connectAs = (
  layer: Layer.Layer<Bus, CannotConnect>,
): Effect.Effect<BusShape, CannotConnect, Scope.Scope> =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, Bus))

/** Runs an effect that needs the bus on this one. */
export const on = (bus: BusShape) => Effect.provideService(Bus, bus)
