/** `murmuration deploy buckets`: creates the key-value buckets at the hub. Harmless to repeat. */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { createBuckets } from "../subjects/Buckets.ts"
import { buckets } from "../subjects/Subjects.ts"
import { connectedBus, connectionFlags } from "./Connection.ts"

export const deployBucketsCommand = Command.make(
  "buckets",
  connectionFlags,
  Effect.fn("deployBuckets")(function* (choice) {
    yield* Effect.provide(createBuckets, connectedBus(choice))
    yield* Console.log(`Buckets are there: ${Object.values(buckets).join(", ")}.`)
  }),
).pipe(Command.withDescription("Create the shared buckets at the hub (needs the operator's credentials)"))
