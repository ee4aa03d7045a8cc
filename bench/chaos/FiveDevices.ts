/**
 * Five emulated devices on shaped links, as real processes, a client at each leaf, and what the devices say about each other.
 * Three are slow and two are fast: the slow ones have reason to let others work for them, so that faults hit work under way.
 */
import { Effect, Layer, Result, Schedule } from "effect"
import { type SwarmBox, swarmBox } from "../../deploy/SwarmBox.ts"
import type { Link } from "../../devices/latency/Condition.ts"
import { Bus, type BusOptions } from "../../subjects/Bus.ts"
import { swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import type { DeviceStatus } from "../../subjects/SwarmMessages.ts"
import type { Mark } from "./Measures.ts"
import { Client } from "./Traffic.ts"

const team: ReadonlyArray<readonly [name: string, profile: string]> = [
  ["zero-1", "raspberry-pi-zero-2-w"],
  ["zero-2", "raspberry-pi-zero-2-w"],
  ["zero-3", "raspberry-pi-zero-2-w"],
  ["pi4-1", "raspberry-pi-4"],
  ["pi5-1", "raspberry-pi-5"],
]
export const teamText = "three Raspberry Pi Zero 2 W, a Pi 4 and a Pi 5"
export const deviceCount = team.length
/** The fast ones, which compute for the others. */
export const helpers: ReadonlyArray<number> = [3, 4]
export const usualLink: Link = { upMbps: 200, downMbps: 200, delayMs: 2 }

const connect = (options: BusOptions) =>
  Effect.flatMap(Layer.build(Layer.fresh(Bus.layer({ ...options, name: "bench" }))), (context) =>
    Effect.provide(Bus, context),
  )

/** When devices came and left, and what each said last, as an operator at the hub hears it. */
const listening = Effect.fnUntraced(function* (box: SwarmBox) {
  const bus = yield* connect(box.operator)
  const [hellos, farewells]: [Array<Mark>, Array<Mark>] = [[], []]
  /** A farewell is said again until everybody has let go. */
  const leaving = new Set<string>()
  let greet: (mark: Mark) => void = () => undefined
  const onHello = (listener: (mark: Mark) => void) => void (greet = listener)
  const last = new Map<DeviceId, { readonly atMs: number; readonly status: DeviceStatus }>()
  bus.nats.subscribe(Subjects.swarm(Subjects.anyDevice), {
    callback: (_, m) => {
      const message = swarmMessage.decode(m.subject, m.data)
      if (Result.isFailure(message)) return
      const atMs = performance.now()
      const said = message.success
      if (said._tag === "Farewell") {
        if (!leaving.has(said.nonce)) farewells.push({ device: said.device, atMs })
        leaving.add(said.nonce)
      } else {
        const { device } = said.identity
        last.set(device, { atMs, status: said.status })
        if (said._tag !== "Hello" || said.reply) return
        hellos.push({ device, atMs })
        greet({ device, atMs })
      }
    },
  })
  /** All devices speak, and each of them sees all others. */
  const agree = () => {
    const fresh = [...last.values()].filter((v) => performance.now() - v.atMs < 1000)
    return fresh.length === deviceCount && fresh.every((v) => v.status.peers.length === deviceCount - 1)
  }
  /** Completes when another device sends a tile to this one, or after the limit. */
  const work = (device: DeviceId, limitMs: number) =>
    Effect.callback<void>((resume) => {
      const subject = Subjects.tile(device, Subjects.anyDevice)
      const callback = () => resume(Effect.void)
      const subscription = bus.nats.subscribe(subject, { max: 1, callback })
      return Effect.sync(() => subscription.unsubscribe())
    }).pipe(Effect.timeoutOption(limitMs), Effect.asVoid)
  return { hellos, farewells, last, agree, onHello, work }
})

/** Resolves when the condition holds, or after the limit. */
export const until = (condition: () => boolean, limitMs: number) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (ok: boolean) => ok }),
    Effect.timeoutOption(limitMs),
    Effect.asVoid,
  )

/** Starts everything; resolves when all devices see each other. */
export const fiveDevices = Effect.fnUntraced(function* (slow: number, flags: ReadonlyArray<string> = []) {
  const devices = team.map(([name, profile]) => {
    return { id: DeviceId.make(name), profile, slow, link: usualLink, flags }
  })
  const box = yield* swarmBox({ devices })
  const heard = yield* listening(box)
  const clients = yield* Effect.forEach(box.devices, (handle) =>
    Effect.map(connect(handle.client), (bus) => new Client(handle.id, bus)),
  )
  yield* until(heard.agree, 30_000)
  return { box, heard, clients }
})
export type FiveDevices = Effect.Success<ReturnType<typeof fiveDevices>>
