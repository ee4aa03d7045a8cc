/** The `murmuration` command. */
import "effect/schema/SchemaJITCompiler/enable"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, type Runtime } from "effect"
import { Command } from "effect/cli"
import { versions } from "../actors/Self.ts"
import { demoCommand } from "./Demo.ts"
import { deployCommand } from "./DeployInit.ts"
import { doctorCommand } from "./Doctor.ts"
import { importCommand } from "./Import.ts"
import { asTyped } from "./Next.ts"
import { inferCommand } from "./Infer.ts"
import { planCommand } from "./Plan.ts"
import { policyTrainingCommands } from "./Policy.ts"
import { policyBucketCommands } from "./PolicyBucket.ts"
import { profileCommand } from "./Profile.ts"
import { supernetCommands } from "./Supernet.ts"
import { swarmCommand } from "./SwarmView.ts"
import { upCommand } from "./Up.ts"

const supernet = Command.make("supernet").pipe(
  Command.withDescription("Train, measure and import supernets"),
  Command.withSubcommands([...supernetCommands, importCommand]),
)

const policy = Command.make("policy").pipe(
  Command.withDescription("Train policies, and say which ones the swarm decides with"),
  Command.withSubcommands([...policyTrainingCommands, ...policyBucketCommands]),
)

const murmuration = Command.make("murmuration").pipe(
  Command.withDescription("Neural networks that answer in time, on a swarm of small devices"),
  Command.withSubcommands([
    demoCommand,
    upCommand,
    inferCommand,
    planCommand,
    profileCommand,
    swarmCommand,
    doctorCommand,
    supernet,
    policy,
    deployCommand,
  ]),
)

/** A stop by signal is a clean end; every other failure has been printed and exits 1. */
const teardown: Runtime.Teardown = (exit, onExit) =>
  onExit(exit._tag === "Success" || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)

/** One line that says what went wrong, one that says what to do. Defects keep their stack: they are ours to mend. */
const explain = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return String(error)
  if (Cause.hasDies(cause)) return error.stack ?? error.message
  const hint =
    "hint" in error && typeof error.hint === "string" && !error.message.includes(error.hint) ? error.hint : ""
  return hint === "" ? error.message : `${error.message}\n${hint}`
}

/** A stop by signal, and wrong usage, which the command line parser has explained already. */
const isSilent = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.squash(cause)
  return (
    Cause.hasInterruptsOnly(cause) || (error instanceof Error && "_tag" in error && error._tag === "ShowHelp")
  )
}

const program = murmuration.pipe(
  Command.run({ version: versions.murmuration }),
  Effect.tapCause((cause) =>
    isSilent(cause) ? Effect.void : Console.error(asTyped(`murmuration: ${explain(cause)}`)),
  ),
  Effect.provide(NodeServices.layer),
)

NodeRuntime.runMain(program, { teardown, disableErrorReporting: true })
