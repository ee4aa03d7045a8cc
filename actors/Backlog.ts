/**
 * How much each device has to do before it can turn to something new. Three sources: what this device itself has handed out
 * and not got back (exact), what others handed to this device (exact, and told to all in beats), and what others handed to
 * each peer (from that peer's last beat or result, which ages: `Hearsay.ts`).
 */
import { Context, Effect, Layer } from "effect"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { Hearsay } from "./Hearsay.ts"
import { Ledger } from "./Ledger.ts"
import { Self } from "./Self.ts"
import { makeWorkOf, sum, type WorkByDevice } from "./Work.ts"

export interface BacklogOptions {
  /** By name; it may grow. */
  readonly profiles: { readonly get: (name: string) => DeviceProfile | undefined }
}

export interface BacklogShape {
  /** Books a strategy that this device serves, until it is closed. */
  readonly book: (key: string, strategy: Strategy) => void
  /** A task of a booked strategy is done. */
  readonly done: (key: string, task: number) => void
  /** A device told with a result how much it has to do for others than this one. */
  readonly said: (device: DeviceId, othersMs: number | undefined) => void
  readonly close: (key: string) => void
  /** Tasks of this device in a request that another one serves. */
  readonly host: (key: string, origin: DeviceId, prepared: PreparedStrategy) => void
  readonly hostDone: (key: string, task: number) => void
  readonly hostClose: (key: string) => void
  /** A peer's beat: who it is, and how much it has to do, by serving device. */
  readonly heard: (device: DeviceId, profile: string, shares: Readonly<Record<string, number>>) => void
  /** It said farewell: what it said of its work counts no more. */
  readonly forget: (device: DeviceId) => void
  /** Only these are in the swarm, or were lately: nothing is kept of others. */
  readonly keep: (devices: { readonly has: (device: DeviceId) => boolean }) => void
  /** Other devices that hold work of requests that this device serves. */
  readonly inUse: () => ReadonlyArray<DeviceId>
  /** When the device can turn to something new, ms from now. */
  readonly ms: (device: DeviceId) => number
  /** What this device has to do, by serving device: for its beats. */
  readonly shares: () => Readonly<Record<string, number>>
  /** Of that, for others than the given device. */
  readonly othersMs: (than: DeviceId) => number
  readonly workOf: (strategy: Strategy) => WorkByDevice
  /** Work of a request that this device serves, usually; 0 before the first one. */
  readonly typicalMs: () => number
}

/** Weight of the newest request in the usual work. */
const newest = 0.1

const make = ({ profiles }: BacklogOptions) =>
  Effect.gen(function* () {
    const self = yield* Self
    const me = self.device
    const mine = new Ledger()
    const hosted = new Ledger()
    const peers = new Hearsay()
    const profileNames = new Map<DeviceId, string>([[me, self.profile.name]])
    const workOf = makeWorkOf(self.spec, (device) => profiles.get(profileNames.get(device as DeviceId) ?? ""))
    let typical = 0

    return Backlog.of({
      book: (key, strategy) => {
        const { items, totalMs } = workOf(strategy)
        typical = typical === 0 ? totalMs : typical + newest * (totalMs - typical)
        mine.book(key, items)
      },
      done: (key, task) => mine.done(key, task),
      said: (device, othersMs) => {
        if (device !== me && othersMs !== undefined) peers.said(device, othersMs)
      },
      close: (key) => mine.close(key),
      host: (key, origin, prepared) => {
        const own = workOf(prepared.strategy).items.filter((i) => i.account === me)
        hosted.book(
          key,
          own.map((i) => ({ ...i, account: origin })),
        )
      },
      hostDone: (key, task) => hosted.done(key, task),
      hostClose: (key) => hosted.close(key),
      heard: (device, profile, shares) => {
        profileNames.set(device, profile)
        peers.beat(device, sum(Object.values(shares)) - (shares[me] ?? 0))
      },
      inUse: () => [...mine.all().keys()].flatMap((d) => (d === me ? [] : [d as DeviceId])),
      forget: (device) => peers.forget(device),
      keep: (devices) => {
        for (const device of profileNames.keys()) {
          // What is booked is reckoned with its profile, until it is closed.
          if (device === me || devices.has(device) || mine.ms(device) > 0) continue
          profileNames.delete(device)
          peers.forget(device)
        }
      },
      ms: (device) =>
        mine.ms(device) + (device === me ? sum(hosted.all().values()) : peers.ms(device, typical)),
      shares: () => ({
        ...Object.fromEntries(hosted.all()),
        ...(mine.ms(me) > 0 ? { [me]: mine.ms(me) } : {}),
      }),
      othersMs: (than) => mine.ms(me) + sum(hosted.all().values()) - hosted.ms(than),
      workOf: (strategy) => workOf(strategy).byDevice,
      typicalMs: () => typical,
    })
  })

export class Backlog extends Context.Service<Backlog, BacklogShape>()("actors/Backlog") {
  static readonly layer = (options: BacklogOptions) => Layer.effect(Backlog, make(options))
}
