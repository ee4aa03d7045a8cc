/**
 * `murmuration demo`: a whole swarm on this machine for half a minute. Real processes, real servers, real inference; links
 * are shaped and device speeds emulated, and it says so.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import type { SwarmBox } from "../deploy/SwarmBox.ts"
import { demoImages } from "./DemoImages.ts"
import { answerRow, findersLine, overrunLine, summaryTable } from "./DemoReport.ts"
import { demoDefaults, demoImageCount, type DemoListener, profilesOf, startBox, stream } from "./DemoRun.ts"
import { withShownDefault } from "./Settings.ts"
import { bold, dim, warm } from "./Text.ts"

const flags = {
  devices: withShownDefault(
    Flag.Int("devices"),
    "Devices in the swarm, the serving one included",
    demoDefaults.devices,
  ),
  seconds: withShownDefault(Flag.Finite("seconds"), "How long to stream images", demoDefaults.seconds),
  images: Flag.String("images").pipe(
    Flag.withDescription(
      "Image file or folder (default: the test images of Imagenette where they are, else drawn pictures)",
    ),
    Flag.withDefault(""),
  ),
  profile: withShownDefault(
    Flag.String("profile"),
    "Device types that are emulated, in turn; the first one serves",
    demoDefaults.profile,
  ),
  clients: withShownDefault(Flag.Int("clients"), "Clients that ask at the same time", demoDefaults.clients),
  supernet: Flag.String("supernet").pipe(
    Flag.withDescription("Artifact directory of the supernet (default: the one that comes with the project)"),
    Flag.withDefault(demoDefaults.supernet),
  ),
  seed: withShownDefault(Flag.Int("seed"), "Order of the images", 1),
  keep: Flag.Boolean("keep").pipe(
    Flag.withDescription("Afterwards keep the swarm up until Ctrl-C, to try other commands on it"),
    Flag.withDefault(false),
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("One JSON object per answer"),
    Flag.withDefault(false),
  ),
}

/** Prints each answer as it comes: a line for people, or an object a line. */
const printing = (json: boolean): DemoListener => ({
  phase: (phase) => (json ? Effect.void : Console.log(`\n${bold(phase.title)}`)),
  answer: (answer) => {
    if (!json) return Console.log(`  ${answerRow(answer).join("  ")}`)
    const { image, ...rest } = answer
    return Console.log(JSON.stringify({ image: image.name, label: image.label, ...rest }))
  },
})

/** Files for trying other commands on the swarm of the demo. */
const writeCredentials = (box: SwarmBox, directory: string) => {
  const path = join(directory, "demo-client.json")
  const { servers, user, password } = box.devices[0]?.client ?? box.operator
  writeFileSync(path, JSON.stringify({ servers, user, password }), { mode: 0o600 })
  return path
}

const keepUp = (box: SwarmBox) =>
  Effect.gen(function* () {
    const path = writeCredentials(box, process.cwd())
    yield* Console.log(
      `\nThe swarm stays up until Ctrl-C. In another terminal:\n` +
        `  npm run murmuration -- swarm --watch --credentials ${path}\n` +
        `  npm run murmuration -- infer IMAGE --latency 100 --credentials ${path}`,
    )
    return yield* Effect.never
  })

export const demoCommand = Command.make("demo", flags, (given) =>
  Effect.gen(function* () {
    const { description, images } = yield* demoImages(given.images, demoImageCount, given.seed)
    const say = (text: string) => (given.json ? Effect.void : Console.log(text))
    yield* say(
      `Starting a hub, ${given.devices} leaf nodes, ${given.devices - 1} shaped links and ${given.devices} devices ...`,
    )
    const box = yield* startBox(given)
    yield* say(
      `Up. Devices are emulated (${profilesOf(given).join(", ")}: real inference, results held to their speed), links are shaped, ${description}.\n` +
        dim(
          "Each line: what the client asked for, latency at the serving device, the answer, who found the strategy, what ran where.\n" +
            "First a few seconds for measuring links and building sessions ...",
        ),
    )
    const answers = yield* stream(box, images, given, printing(given.json))
    yield* say(`\n${summaryTable(answers)}\n\n${findersLine(answers)}`)
    const overrun = overrunLine(answers)
    if (overrun !== undefined) yield* say(warm(`\n${overrun}`))
    const trained = answers.some((a) => typeof a.reply !== "string" && a.reply.trained)
    if (!trained)
      yield* say(
        warm(
          "\nUntrained weights: the classes mean nothing, and accuracies are stand-ins. Latencies are real.",
        ),
      )
    if (given.keep) return yield* keepUp(box)
  }).pipe(Effect.scoped),
).pipe(Command.withDescription("Run a whole swarm on this machine for half a minute"))
