/**
 * Who is in the swarm, as one device sees it: a pure table fed with hello, beat and farewell messages, and with any other
 * sign of life. Suspicion comes before removal: a suspect gets no new work, and nobody waits for what it holds any more, but
 * any sign of life brings it back; a device that is gone stays listed for a while, with its age, so that a person can see what
 * happened.
 */
import type { DeviceId } from "../subjects/DeviceId.ts"
import {
  type DeviceIdentity,
  type DeviceStatus,
  protocolVersion,
  type SwarmMessage,
} from "../subjects/SwarmMessages.ts"

export interface MembershipTimes {
  readonly beatEveryMs: number
  /** Silence after which a device is out of new plans, and a try that still needs it is given up for another one. */
  readonly suspectMs: number
  /** Silence after which only a beat of its own brings it back. */
  readonly goneMs: number
  /** How long a device that is gone stays listed. */
  readonly forgetMs: number
}

/**
 * Three missed beats, not two: a beat waits behind at most a window of tile chunks, and every acknowledged chunk counts as
 * a sign of life itself.
 */
export const defaultTimes: MembershipTimes = {
  beatEveryMs: 250,
  suspectMs: 900,
  goneMs: 3000,
  forgetMs: 600_000,
}

/** `left`: it said farewell. `gone`: it fell silent. `incompatible`: it speaks another protocol; it is seen, not used. */
export type MemberState = "present" | "suspect" | "gone" | "left" | "incompatible"

export interface Member {
  readonly identity: DeviceIdentity
  readonly status: DeviceStatus
  readonly seq: number
  readonly state: MemberState
  /** Monotonic clock of the device that keeps the table. */
  readonly lastSeenMs: number
  readonly joinedMs: number
  /** Why it left, or what is wrong with it; empty otherwise. */
  readonly note: string
  /** When it was found that nobody listens there: what was said before does not speak for it. */
  readonly suspectedMs?: number
  /** After a farewell: until then it finishes what it holds. Absent once it does not any more. */
  readonly drainsUntilMs?: number
}

export type MemberTable = ReadonlyMap<DeviceId, Member>

/** What happened to the table, in the past tense; the first two change what can be planned. */
export type MemberEvent =
  | { readonly _tag: "DeviceJoined"; readonly device: DeviceId; readonly restarted: boolean }
  | {
      readonly _tag: "DeviceLeft"
      readonly device: DeviceId
      readonly state: "left" | "gone"
      readonly note: string
    }
  /** It had said farewell and finished what it held; now its process is over, whatever it still holds. */
  | { readonly _tag: "DeviceStopped"; readonly device: DeviceId }
  | { readonly _tag: "DeviceSuspected"; readonly device: DeviceId; readonly silentMs: number }
  | { readonly _tag: "DeviceReturned"; readonly device: DeviceId }
  /** It came, and cannot be worked with. */
  | { readonly _tag: "DeviceIncompatible"; readonly device: DeviceId; readonly note: string }
  | { readonly _tag: "DuplicateIdSeen"; readonly device: DeviceId; readonly hosts: readonly [string, string] }

export interface Change {
  readonly table: MemberTable
  readonly events: ReadonlyArray<MemberEvent>
}

const unchanged = (table: MemberTable): Change => ({ table, events: [] })
const withMember = (table: MemberTable, member: Member): MemberTable =>
  new Map(table).set(member.identity.device, member)

/** Another host beats under the same id while the known one is still heard: a copied configuration. */
const isDuplicate = (
  known: Member,
  identity: DeviceIdentity,
  nowMs: number,
  times: MembershipTimes,
): boolean =>
  known.identity.nonce !== identity.nonce &&
  (known.state === "present" || known.state === "suspect") &&
  nowMs - known.lastSeenMs < times.suspectMs &&
  (known.identity.hostname !== identity.hostname || known.identity.pid !== identity.pid)

/** Said before the device was found missing, read after it. */
const isFromBefore = ({ state, suspectedMs = 0 }: Member, arrivedMs: number): boolean =>
  state === "suspect" && arrivedMs < suspectedMs

const described = (
  table: MemberTable,
  message: { readonly seq: number; readonly identity: DeviceIdentity; readonly status: DeviceStatus },
  nowMs: number,
  protocol: number,
): Change => {
  const { identity, status, seq } = message
  const known = table.get(identity.device)
  const sameSession = known?.identity.nonce === identity.nonce
  // Beats of one session may overtake each other on reconnects; and after its farewell a device is not called back by a late beat.
  if (known !== undefined && sameSession && (seq <= known.seq || known.state === "left"))
    return unchanged(table)
  if (sameSession && isFromBefore(known, nowMs)) return unchanged(table)
  const compatible = identity.protocol === protocol
  const member: Member = {
    identity,
    status,
    seq,
    state: compatible ? "present" : "incompatible",
    lastSeenMs: nowMs,
    joinedMs: sameSession ? known.joinedMs : nowMs,
    note: compatible ? "" : incompatibility(identity, protocol),
  }
  const events: Array<MemberEvent> = []
  if (!sameSession && !compatible)
    events.push({ _tag: "DeviceIncompatible", device: identity.device, note: member.note })
  else if (!sameSession)
    events.push({ _tag: "DeviceJoined", device: identity.device, restarted: known !== undefined })
  else if (known.state === "suspect" || known.state === "gone")
    events.push({ _tag: "DeviceReturned", device: identity.device })
  return { table: withMember(table, member), events }
}

const incompatibility = ({ protocol, versions }: DeviceIdentity, own: number): string => {
  const newer = protocol > own ? "upgrade this device" : "upgrade that one"
  return `speaks protocol ${protocol} (murmuration ${versions["murmuration"] ?? "?"}); this device speaks ${own}: ${newer}`
}

/** The table after a message of `swarm.<device>`. */
export const received = (
  table: MemberTable,
  message: SwarmMessage,
  nowMs: number,
  times: MembershipTimes,
  /** What this device speaks. */
  protocol = protocolVersion,
): Change => {
  if (message._tag === "Farewell") {
    const known = table.get(message.device)
    if (known === undefined || known.identity.nonce !== message.nonce || known.state === "left")
      return unchanged(table)
    const { drainMs, reason: note } = message
    const left: Member = {
      ...known,
      state: "left",
      lastSeenMs: nowMs,
      note,
      ...(drainMs > 0 ? { drainsUntilMs: nowMs + drainMs } : {}),
    }
    const event: MemberEvent = {
      _tag: "DeviceLeft",
      device: message.device,
      state: "left",
      note: message.reason,
    }
    const over: ReadonlyArray<MemberEvent> =
      drainMs > 0 ? [] : [{ _tag: "DeviceStopped", device: message.device }]
    return { table: withMember(table, left), events: [event, ...over] }
  }
  const known = table.get(message.identity.device)
  if (known !== undefined && isDuplicate(known, message.identity, nowMs, times) && message._tag === "Beat") {
    const hosts = [known.identity, message.identity].map((i) => `${i.hostname} (pid ${i.pid})`)
    const event: MemberEvent = {
      _tag: "DuplicateIdSeen",
      device: known.identity.device,
      hosts: [hosts[0] ?? "", hosts[1] ?? ""],
    }
    return { table, events: [event] }
  }
  return described(table, message, nowMs, protocol)
}

/** Any sign of life: an acknowledged chunk, a result, a pong. */
export const heard = (table: MemberTable, device: DeviceId, nowMs: number): Change => {
  const known = table.get(device)
  if (known === undefined || (known.state !== "present" && known.state !== "suspect")) return unchanged(table)
  if (isFromBefore(known, nowMs)) return unchanged(table)
  const events: ReadonlyArray<MemberEvent> =
    known.state === "suspect" ? [{ _tag: "DeviceReturned", device }] : []
  return { table: withMember(table, { ...known, state: "present", lastSeenMs: nowMs }), events }
}

/** Nobody listens where this device should: out of new plans at once, not when its silence has lasted long enough. */
export const suspected = (table: MemberTable, device: DeviceId, nowMs: number): Change => {
  const known = table.get(device)
  if (known?.drainsUntilMs !== undefined) return stopped(table, known)
  if (known?.state !== "present") return unchanged(table)
  const event: MemberEvent = { _tag: "DeviceSuspected", device, silentMs: nowMs - known.lastSeenMs }
  return { table: withMember(table, { ...known, state: "suspect", suspectedMs: nowMs }), events: [event] }
}

/** A member whose time to finish is over. */
const drained = (member: Member): Member => {
  const { drainsUntilMs: _, ...rest } = member
  return rest
}

const stopped = (table: MemberTable, member: Member): Change => ({
  table: withMember(table, drained(member)),
  events: [{ _tag: "DeviceStopped", device: member.identity.device }],
})

/** Whether work that a device holds may still be finished by it. */
export const holdsOn = ({ state, drainsUntilMs }: Member): boolean =>
  state === "present" || drainsUntilMs !== undefined

/**
 * Whether a device may wait for another one that leaves: whoever is present, and whoever has only fallen silent (frozen,
 * behind a thin link), for it may come back to what it has handed out. Where nobody was found, nobody waits.
 */
export const mayWait = ({ state, lastSeenMs, suspectedMs = Number.NEGATIVE_INFINITY }: Member): boolean =>
  state === "present" || (state === "suspect" && suspectedMs < lastSeenMs)

/** The table after some time without messages. */
export const aged = (table: MemberTable, nowMs: number, times: MembershipTimes): Change => {
  const events: Array<MemberEvent> = []
  const next = new Map<DeviceId, Member>()
  for (const [device, member] of table) {
    const silentMs = nowMs - member.lastSeenMs
    const active = member.state === "present" || member.state === "suspect"
    if (member.drainsUntilMs !== undefined && nowMs > member.drainsUntilMs) {
      next.set(device, drained(member))
      events.push({ _tag: "DeviceStopped", device })
      continue
    }
    if (!active && silentMs > times.forgetMs) continue
    if (active && silentMs > times.goneMs) {
      const note = `silent for ${Math.round(silentMs)} ms`
      next.set(device, { ...member, state: "gone", note })
      events.push({ _tag: "DeviceLeft", device, state: "gone", note })
    } else if (member.state === "present" && silentMs > times.suspectMs) {
      next.set(device, { ...member, state: "suspect" })
      events.push({ _tag: "DeviceSuspected", device, silentMs })
    } else next.set(device, member)
  }
  return events.length === 0 && next.size === table.size ? unchanged(table) : { table: next, events }
}

/** Devices that new plans may use, by id. */
export const plannable = (table: MemberTable): ReadonlyArray<Member> =>
  [...table.values()]
    .filter((m) => m.state === "present")
    .sort((a, b) => (a.identity.device < b.identity.device ? -1 : 1))
