/** Another process that speaks under this device's id: the one that started later hears of it and gives up (see `up`). */
import { Effect } from "effect"
import type { SwarmMessage } from "../subjects/SwarmMessages.ts"
import type { MemberEvent } from "./MemberTable.ts"
import type { SelfShape } from "./Self.ts"

interface Told {
  readonly self: SelfShape
  /** Says that this device is there. */
  readonly beat: Effect.Effect<void>
  readonly tell: (event: MemberEvent) => Effect.Effect<void>
}

/** Gives the check of each message that comes under this device's own id. */
export const ownIdCheck = ({ self, beat, tell }: Told) => {
  const { device, identity } = self
  let intruder = ""
  return Effect.fnUntraced(function* (message: Exclude<SwarmMessage, { _tag: "Farewell" }>) {
    const { nonce, hostname, pid } = message.identity
    if (nonce === identity.nonce) return
    const other = `${hostname} (pid ${pid})`
    const mine = `${identity.hostname} (pid ${identity.pid})`
    self.noteError("DuplicateId", `${other} also calls itself ${device}`)
    const lead = self.status([], 0, 0, {}).upMs - message.status.upMs
    if (lead < 0 || (lead === 0 && nonce < identity.nonce))
      return yield* tell({ _tag: "DuplicateIdSeen", device, hosts: [mine, other] })
    // It learns of this device from the next beat at the latest; better before it does anything.
    yield* beat
    if (nonce !== intruder)
      yield* Effect.logError(`${other} started as ${device}, which is this device, ${mine}`)
    intruder = nonce
  })
}
