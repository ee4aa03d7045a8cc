/**
 * The demo's swarm, and the way through its script: starts the devices, waits until links are measured and sessions are built, then
 * asks phase by phase. `murmuration demo` shows what comes back; `bench demo` counts it.
 */
import { Effect, Layer } from "effect"
import { type BoxDeviceHandle, type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import type { Slo } from "../subjects/InferMessages.ts"
import type { DemoImage } from "./DemoImages.ts"
import type { DemoAnswer } from "./DemoMeasures.ts"
import { type DemoPhase, demoPhases, demoSlos } from "./DemoScript.ts"

export interface DemoOptions {
  readonly devices: number
  /** Of all phases together, without starting and warming up. */
  readonly seconds: number
  /** Types that are emulated, with commas, in turn; the first one serves. */
  readonly profile: string
  /** Clients that ask at the same time. */
  readonly clients: number
  /** Artifact directory; empty: the project's. */
  readonly supernet: string
}

export const demoDefaults: DemoOptions = {
  devices: 3,
  seconds: 30,
  profile: "raspberry-pi-zero-2-w,raspberry-pi-4,raspberry-pi-5",
  clients: 1,
  supernet: "",
}

/** At most so many pictures are asked about, in turn. */
export const demoImageCount = 200

/** Type of each device. */
export const profilesOf = ({
  devices,
  profile,
}: Pick<DemoOptions, "devices" | "profile">): ReadonlyArray<string> => {
  const types = profile.split(",").map((p) => p.trim())
  return Array.from({ length: Math.max(1, devices) }, (_, i) => types[i % types.length] ?? "")
}

/** Resolves when every device is up; all of it ends with its scope. */
export const startBox = (o: DemoOptions) =>
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

const sloAt = (index: number): Slo => demoSlos[index % demoSlos.length] ?? { latencyMs: 100 }

/** One client: asks, waits for the answer, asks again, until the phase is over. */
const ask = (
  phase: DemoPhase,
  endMs: number,
  next: () => { readonly image: DemoImage; readonly index: number },
  show: (answer: Omit<DemoAnswer, "atMs">) => Effect.Effect<void>,
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

/** What is told while the script runs. */
export interface DemoListener {
  readonly phase: (phase: DemoPhase) => Effect.Effect<void>
  readonly answer: (answer: DemoAnswer) => Effect.Effect<void>
}

/** Warms up, then runs all phases; the answers in the order in which they came. Clients are at the first device's leaf. */
export const stream = (
  box: SwarmBox,
  images: ReadonlyArray<DemoImage>,
  o: DemoOptions,
  listener: DemoListener,
) =>
  Effect.gen(function* () {
    const answers: Array<DemoAnswer> = []
    let index = 0
    const next = () => {
      const image = images[index % images.length]
      if (image === undefined) throw new RangeError("no images")
      return { image, index: index++ }
    }
    let startMs = 0
    const show = (came: Omit<DemoAnswer, "atMs">) => {
      const answer: DemoAnswer = { ...came, atMs: performance.now() - startMs }
      answers.push(answer)
      return listener.answer(answer)
    }
    yield* warmUp(images)
    startMs = performance.now()
    for (const phase of demoPhases) {
      yield* listener.phase(phase)
      yield* enterPhase(phase, box.devices)
      const endMs = performance.now() + (o.seconds * 1000) / demoPhases.length
      const clients = Array.from({ length: o.clients }, () => ask(phase, endMs, next, show))
      yield* Effect.all(clients, { concurrency: "unbounded", discard: true })
    }
    return answers
  }).pipe(Effect.provide(Layer.fresh(Bus.layer(box.devices[0]?.client ?? box.operator))))
