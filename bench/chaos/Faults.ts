/**
 * Faults by a seeded script: what happens to which device, when, and for how long. The script is plain data; `applyFault`
 * does it to the processes and links of a swarm in a box and undoes it.
 */
import { Effect } from "effect"
import type { BoxDeviceHandle, SwarmBox } from "../../deploy/SwarmBox.ts"
import type { Link } from "../../devices/latency/Condition.ts"
import { pick, type Random } from "../../supernet/Random.ts"

/**
 * kill: process, -9, started again. leave: SIGTERM, started again. freeze: SIGSTOP, then SIGCONT. slow: stopped for two
 * thirds of every 90 ms. thin: its link at 2 Mbps and 60 ms. cut: its link refuses and drops everything.
 * leaf, hub: that nats-server, -9, started again.
 */
export const faultKinds = ["kill", "leave", "freeze", "slow", "thin", "cut", "leaf", "hub"] as const
export type FaultKind = (typeof faultKinds)[number]

export interface Fault {
  readonly kind: FaultKind
  /** Index of the device; -1 for the hub. */
  readonly device: number
  /** Since the script began. */
  readonly atMs: number
  readonly forMs: number
}

/** How long each lasts, from and to, ms. Processes that start again take their own time on top. */
const lasts: Readonly<Record<FaultKind, readonly [number, number]>> = {
  kill: [1000, 4000],
  leave: [1000, 4000],
  freeze: [500, 4000],
  slow: [2000, 5000],
  thin: [2000, 6000],
  cut: [500, 5000],
  leaf: [500, 3000],
  hub: [500, 4000],
}

/** For the process that starts again, before something else happens to its device. */
const settleMs = 5000

/**
 * A fault every `everyMs` on average, all kinds in random order, never at more than two devices at once. Killed are `helpers`,
 * the devices that compute for others, where one of them is free.
 */
export const faultScript = (
  devices: number,
  helpers: ReadonlyArray<number>,
  forMs: number,
  everyMs: number,
  random: Random,
): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const freeAt = Array.from({ length: devices }, () => 0)
  let kinds: Array<FaultKind> = []
  let atMs = everyMs
  while (atMs < forMs) {
    if (kinds.length === 0) kinds = [...faultKinds]
    // The first is the one that is measured most.
    const kind = faults.length === 0 ? "kill" : pick(random, kinds)
    const [from, to] = lasts[kind]
    const lastsMs = Math.round(from + random.next() * (to - from))
    const free = freeAt.flatMap((t, i) => (t <= atMs ? [i] : []))
    const freeHelpers = free.filter((i) => helpers.includes(i))
    const candidates = kind === "kill" && freeHelpers.length > 0 ? freeHelpers : free
    const device = kind === "hub" ? -1 : pick(random, candidates)
    if (kind === "hub" || free.length > devices - 2) {
      faults.push({ kind, device, atMs: Math.round(atMs), forMs: lastsMs })
      kinds = kinds.filter((k) => k !== kind)
      if (device >= 0) freeAt[device] = atMs + lastsMs + settleMs
    }
    atMs += everyMs * (0.5 + random.next())
  }
  return faults
}

/** A signal to a process that may just be starting again, or is gone: then nothing happens. */
const signal = (handle: BoxDeviceHandle, name: NodeJS.Signals) => Effect.sync(() => handle.signal(name))

/** On a busy machine a process may not be up in time: a device that stays away would be another fault, without an end. */
const again = (handle: BoxDeviceHandle) => Effect.ignore(Effect.retry(handle.start, { times: 3 }))

/** Stopped two thirds of the time: a process that gets its turn, late. */
const inFits = (handle: BoxDeviceHandle, forMs: number) =>
  Effect.gen(function* () {
    yield* signal(handle, "SIGSTOP")
    yield* Effect.sleep(60)
    yield* signal(handle, "SIGCONT")
    yield* Effect.sleep(30)
  }).pipe(Effect.repeat({ times: Math.round(forMs / 90) }))

const promised = (act: (() => Promise<void>) | undefined) =>
  Effect.ignore(Effect.tryPromise(async () => act?.()))

/** Does it, waits, and puts things right again; resolves when the device is up again. */
export const applyFault = (box: SwarmBox, fault: Fault, usual: Link): Effect.Effect<void> => {
  const { forMs } = fault
  const hold = Effect.sleep(forMs)
  if (fault.kind === "hub") {
    const kill = Effect.sync(() => box.hub().signal("SIGKILL"))
    const revive = Effect.ignore(box.startHub)
    return Effect.andThen(Effect.andThen(kill, box.hub().exited), Effect.andThen(hold, revive))
  }
  const handle = box.devices[fault.device]
  if (handle === undefined) return Effect.void
  switch (fault.kind) {
    case "kill":
    case "leave": {
      const end = signal(handle, fault.kind === "kill" ? "SIGKILL" : "SIGTERM")
      return Effect.andThen(Effect.andThen(end, handle.exited), Effect.andThen(hold, again(handle)))
    }
    case "freeze":
      return Effect.andThen(Effect.andThen(signal(handle, "SIGSTOP"), hold), signal(handle, "SIGCONT"))
    case "slow":
      return Effect.asVoid(inFits(handle, forMs))
    case "thin": {
      const thin = handle.setLink({ upMbps: 2, downMbps: 2, delayMs: 60 })
      return Effect.andThen(Effect.andThen(thin, hold), handle.setLink(usual))
    }
    case "cut": {
      const { link } = handle
      const back = promised(link && (() => link.restore()))
      return Effect.andThen(Effect.andThen(promised(link && (() => link.cut())), hold), back)
    }
    case "leaf": {
      const kill = Effect.sync(() => handle.leaf().signal("SIGKILL"))
      const gone = Effect.andThen(kill, handle.leaf().exited)
      return Effect.andThen(Effect.andThen(gone, hold), Effect.ignore(handle.startLeaf))
    }
  }
}
