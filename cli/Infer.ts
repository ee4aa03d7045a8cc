/** `murmuration infer IMAGE... --latency MS | --accuracy A`: asks the swarm, prints the answer. */
import { Console, Effect, FileSystem, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import type { InferReply, Slo } from "../subjects/InferMessages.ts"
import { connectedBus, connectionFlags } from "./Connection.ts"
import { withShownDefault } from "./Settings.ts"
import { chosenSlo, sloFlags } from "./SloFlags.ts"
import { bold, dim, good, bad, percent } from "./Text.ts"

export class UnreadableImage extends Schema.TaggedError<UnreadableImage>()("UnreadableImage", {
  path: Schema.String,
}) {
  readonly hint = "give the path of a JPEG, PNG or WebP file"
  override get message() {
    return `${this.path} cannot be read`
  }
}

const breakdown = (reply: InferReply): string =>
  Object.entries(reply.breakdown)
    .map(([name, ms]) => `${name.replace("Ms", "")} ${ms.toFixed(1)}`)
    .join(", ")

/** Who found a strategy that was known already. */
const finderOf = ({ origin, foundBy }: InferReply): string =>
  foundBy === undefined || foundBy === origin ? "" : ` (found by: ${foundBy})`

/** The answer for people: what it is, how long it took against what was asked, where it ran. */
export const describeReply = (reply: InferReply): string => {
  const [best, ...rest] = reply.classes
  const { slo, predicted } = reply
  const wanted =
    slo.latencyMs === undefined ? `accuracy >= ${percent(slo.accuracy)}` : `latency <= ${slo.latencyMs} ms`
  const verdict = reply.sloMet ? good("met") : bad("missed")
  return [
    `${bold(best?.name ?? "?")} ${percent(best?.probability ?? 0)}${reply.trained ? "" : bad("  untrained weights: the class means nothing")}`,
    dim(`  then ${rest.map((c) => `${c.name} ${percent(c.probability)}`).join(", ")}`),
    `  ${reply.latencyMs.toFixed(1)} ms on ${reply.device} (${wanted}: ${verdict}; predicted ${predicted.latencyMs.toFixed(1)} ms, ${percent(predicted.accuracy)})`,
    dim(`  ms: ${breakdown(reply)}`),
    `  ${reply.summary.text}`,
    dim(
      `  strategy ${reply.strategyId}, from ${reply.origin}${finderOf(reply)}${reply.replans > 0 ? `, planned anew ${reply.replans} times` : ""}`,
    ),
  ].join("\n")
}

const inferFlags = {
  images: Argument.String("image").pipe(
    Argument.withDescription("JPEG, PNG or WebP file"),
    Argument.atLeast(1),
  ),
  ...sloFlags,
  deadline: withShownDefault(Flag.Finite("deadline"), "Give up after this many ms", 10_000),
  device: Flag.String("device").pipe(
    Flag.withSchema(DeviceId),
    Flag.withDescription("Ask this device, not the nearest one"),
    Flag.optional,
  ),
  top: withShownDefault(Flag.Int("top"), "How many classes to show", 3),
  json: Flag.Boolean("json").pipe(Flag.withDescription("One JSON object a line"), Flag.withDefault(false)),
  ...connectionFlags,
}

type Given = Command.Command.Config.Infer<typeof inferFlags>

/** One image after the other, answers printed as they come. */
const askFor = Effect.fnUntraced(function* (slo: Slo, given: Given) {
  const fs = yield* FileSystem.FileSystem
  const device = Option.getOrUndefined(given.device)
  for (const path of given.images) {
    const image = yield* fs.readFile(path).pipe(Effect.mapError(() => new UnreadableImage({ path })))
    const reply = yield* infer({
      image,
      slo,
      topK: given.top,
      deadlineMs: given.deadline,
      ...(device === undefined ? {} : { device }),
    })
    yield* Console.log(
      given.json ? JSON.stringify({ image: path, ...reply }) : `${path}\n${describeReply(reply)}`,
    )
  }
})

export const inferCommand = Command.make("infer", inferFlags, (given) =>
  Effect.gen(function* () {
    // Before the connection: it takes seconds to find that there is none.
    const slo = yield* chosenSlo(given)
    yield* Effect.provide(askFor(slo, given), connectedBus(given))
  }),
).pipe(Command.withDescription("Classify images under a latency or an accuracy objective"))
