/** The actors of this device in the NATS services API: `nats micro ls`, `nats micro stats scheduler`. */
import { Effect, Layer } from "effect"
import { Bus } from "../subjects/Bus.ts"
import { registerService } from "../subjects/Services.ts"
import { Self, versions } from "./Self.ts"

/** Each actor with the endpoints that it serves or listens to, by their names. */
const actors: ReadonlyArray<{ name: string; description: string; endpoints: ReadonlyArray<string> }> = [
  { name: "monitor", description: "measures links to peers, answers probes", endpoints: ["probe"] },
  { name: "predictor", description: "forecasts links", endpoints: [] },
  { name: "planner", description: "chooses strategies", endpoints: ["plan", "forecast"] },
  { name: "reconfig", description: "makes strategies ready on executors", endpoints: ["reconfig"] },
  {
    name: "scheduler",
    description: "serves clients, cuts images into tiles",
    endpoints: ["infer", "infer-here", "result"],
  },
  { name: "executor", description: "runs tiles", endpoints: ["tile"] },
  { name: "membership", description: "knows who is there", endpoints: ["swarm"] },
]

export const servicesLayer = Layer.effectDiscard(
  Effect.gen(function* () {
    const bus = yield* Bus
    const { device, identity, emulated } = yield* Self
    const metadata = {
      device,
      host: identity.hostname,
      profile: identity.profile,
      emulated: String(emulated),
    }
    for (const { name, description, endpoints } of actors) {
      const own = () => [...bus.endpoints].filter((e) => endpoints.includes(e.name))
      yield* registerService({ name, version: versions.murmuration, description, metadata, endpoints: own })
    }
  }),
)
