/**
 * `murmuration demo`: a whole swarm on this machine for half a minute. Real processes, real servers, real inference; links
 * are shaped and device speeds emulated, and it says so.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { Console, Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import { type BoxDeviceHandle, type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import type { Slo } from "../subjects/InferMessages.ts"
import { answerRow, type DemoAnswer, findersLine, overrunLine, summaryTable } from "./DemoReport.ts"
import { type DemoImage, demoImages } from "./DemoImages.ts"
import { type DemoPhase, demoPhases, demoSlos } from "./DemoScript.ts"
import { bold, dim, warm } from "./Text.ts"

const flags = {
  devices: Flag.Int("devices").pipe(
    Flag.withDescription("Devices in the swarm, the serving one included"),
    Flag.withDefault(3),
  ),
  seconds: Flag.Finite("seconds").pipe(
    Flag.withDescription("How long to stream images"),
    Flag.withDefault(30),
  ),
  images: Flag.String("images").pipe(
    Flag.withDescription(
      "Image file or folder; default: the test images where they are, else drawn pictures",
    ),
    Flag.withDefault(""),
  ),
  profile: Flag.String("profile").pipe(
    Flag.withDescription("Device types that are emulated, in turn; the first one serves"),
    Flag.withDefault("raspberry-pi-zero-2-w,raspberry-pi-4,raspberry-pi-5"),
  ),
  clients: Flag.Int("clients").pipe(
    Flag.withDescription("Clients that ask at the same time"),
    Flag.withDefault(1),
  ),
  supernet: Flag.String("supernet").pipe(
    Flag.withDescription("Artifact directory of the supernet"),
    Flag.withDefault(""),
  ),
  seed: Flag.Int("seed").pipe(Flag.withDescription("Order of the images"), Flag.withDefault(1)),
  keep: Flag.Boolean("keep").pipe(
    Flag.withDescription("Afterwards keep the swarm up until Ctrl-C, to try other commands on it"),
    Flag.withDefault(false),
  ),
  json: Flag.Boolean("json").pipe(
    Flag.withDescription("One JSON object per answer"),
    Flag.withDefault(false),
  ),
}

interface DemoOptions {
  readonly devices: number
  readonly seconds: number
  readonly profile: string
  readonly clients: number
  readonly supernet: string
  readonly json: boolean
}

/** Type of each device. */
const profilesOf = ({
  devices,
  profile,
}: Pick<DemoOptions, "devices" | "profile">): ReadonlyArray<string> => {
  const types = profile.split(",").map((p) => p.trim())
  return Array.from({ length: Math.max(1, devices) }, (_, i) => types[i % types.length] ?? "")
}

const startBox = (o: DemoOptions) =>
  swarmBox({
    devices: profilesOf(o).map((profile, i) => ({
      id: DeviceId.make(`pi-${i + 1}`),
      profile,
      ...(i === 0 || demoPhases[0] === undefined ? {} : { link: demoPhases[0].link }),
    })),
    ...(o.supernet === "" ? {} : { supernet: o.supernet }),
  })

const enterPhase = (phase: DemoPhase, [, ...remotes]: ReadonlyArray<BoxDeviceHandle>) =>
  Effect.gen(function* () {
    yield* Effect.forEach(remotes, (d) => d.setLink(phase.link), { discard: true })
    const last = remotes.at(-1)
    if (last === undefined || phase.last === undefined) return
    if (phase.last === "returns") yield* Effect.forkChild(Effect.ignore(last.start))
    else last.signal("SIGTERM")
  })

/** One client: asks, waits for the answer, asks again, until the phase is over. */
const ask = (
  phase: DemoPhase,
  endMs: number,
  next: () => { readonly image: DemoImage; readonly index: number },
  show: (answer: DemoAnswer) => Effect.Effect<void>,
) =>
  Effect.gen(function* () {
    while (performance.now() < endMs) {
      const { image, index } = next()
      const slo = sloAt(index)
      const reply = yield* infer({ image: image.bytes, slo, deadlineMs: 5000, include: ["timeline"] }).pipe(
        Effect.catch((e) => Effect.succeed(e.message)),
      )
      yield* show({ phase: phase.title, image, slo, reply })
    }
  })

const sloAt = (index: number): Slo => demoSlos[index % demoSlos.length] ?? { latencyMs: 100 }

/** At most so long for links to be measured and sessions to be built before the clock starts. */
const warmUpMs = 8000

/** Asks until answers take what the device expects of them, each objective twice in a row. */
const warmUp = (images: ReadonlyArray<DemoImage>) =>
  Effect.gen(function* () {
    const endMs = performance.now() + warmUpMs
    let steady = 0
    for (let i = 0; steady < 2 * demoSlos.length && performance.now() < endMs; i++) {
      const image = images[i % images.length]?.bytes ?? new Uint8Array()
      const asExpected = yield* infer({ image, slo: sloAt(i), deadlineMs: 5000 }).pipe(
        Effect.map((reply) => reply.latencyMs <= 1.3 * reply.predicted.latencyMs),
        Effect.orElseSucceed(() => false),
      )
      steady = asExpected ? steady + 1 : 0
    }
  })

const stream = (box: SwarmBox, images: ReadonlyArray<DemoImage>, o: DemoOptions) =>
  Effect.gen(function* () {
    const answers: Array<DemoAnswer> = []
    let index = 0
    const next = () => {
      const image = images[index % images.length]
      if (image === undefined) throw new RangeError("no images")
      return { image, index: index++ }
    }
    const show = (answer: DemoAnswer) => {
      answers.push(answer)
      if (!o.json) return Console.log(`  ${answerRow(answer).join("  ")}`)
      const { image, ...rest } = answer
      return Console.log(JSON.stringify({ image: image.name, label: image.label, ...rest }))
    }
    yield* warmUp(images)
    for (const phase of demoPhases) {
      if (!o.json) yield* Console.log(`\n${bold(phase.title)}`)
      yield* enterPhase(phase, box.devices)
      const endMs = performance.now() + (o.seconds * 1000) / demoPhases.length
      const clients = Array.from({ length: o.clients }, () => ask(phase, endMs, next, show))
      yield* Effect.all(clients, { concurrency: "unbounded", discard: true })
    }
    return answers
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
    const { description, images } = yield* demoImages(given.images, 200, given.seed)
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
    const answers = yield* stream(box, images, given).pipe(
      Effect.provide(Layer.fresh(Bus.layer(box.devices[0]?.client ?? box.operator))),
    )
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
