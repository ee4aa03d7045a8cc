/** `murmuration policy worker`: rolls out for trainings on other machines until it is stopped. */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { rolloutWorker } from "../policies/BusWorker.ts"
import { decodeScenario } from "../policies/ScenarioFiles.ts"
import { connectedBus, connectionFlags } from "./Connection.ts"
import { nextCommand } from "./Next.ts"

const work = Effect.gen(function* () {
  yield* rolloutWorker((training, { scenario, kind }) =>
    Console.log(`training ${training}: ${decodeScenario(JSON.parse(scenario)).name}, ${kind} SLO`),
  )
  yield* Console.log(`Waiting for trainings: ${nextCommand("policy train ... --nats URL")}`)
  return yield* Effect.never
}).pipe(Effect.scoped)

export const policyWorkerCommand = Command.make("worker", connectionFlags, (choice) =>
  Effect.provide(work, connectedBus(choice)),
).pipe(
  Command.withDescription(
    "Roll out for trainings on other machines; come and go at any time. A deployed swarm wants the operator's credentials",
  ),
)
