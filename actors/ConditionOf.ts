/**
 * The condition of the moment: who can be planned with, how their links are, and how much each has to do already; and the
 * one that a forecast leads to expect.
 */
import { maxDevices } from "../devices/latency/FastGraph.ts"
import type { ProfileBook } from "../devices/profiles/ProfileBook.ts"
import { type Condition, idealBandwidthMbps } from "../policies/Condition.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { LinkForecast } from "../subjects/LinkMessages.ts"
import type { BacklogShape } from "./Backlog.ts"
import { atRest } from "./Congestion.ts"
import type { LinkTableShape } from "./LinkTable.ts"
import type { Member } from "./MemberTable.ts"
import type { MembershipShape } from "./Membership.ts"
import type { SelfShape } from "./Self.ts"
import type { TilesShape } from "./Tiles.ts"

export interface Known {
  readonly self: SelfShape
  readonly membership: MembershipShape
  readonly links: LinkTableShape
  readonly backlog: BacklogShape
  readonly tiles: Pick<TilesShape, "queuedMs" | "lateMs">
}

type Remote = Condition["devices"][number]

/** What is typical of a piece of a feature map: for telling which of too many links are the best. */
const typicalBits = 8 * 50_000
const pathMs = (d: Remote): number => d.delayMs + typicalBits / (d.bandwidthMbps * 1000)

/** The latency model has room for so many devices: of more, those with the best links. */
const nearest = (remotes: ReadonlyArray<Remote>): ReadonlyArray<Remote> =>
  remotes.length < maxDevices
    ? remotes
    : remotes.toSorted((a, b) => pathMs(a) - pathMs(b)).slice(0, maxDevices - 1)

/**
 * Devices that `profiles` does not describe are left out: nothing is known about their speed. So are those with the worst
 * links where there are more than a plan can have (`maxDevices`).
 */
export const conditionOf =
  ({ self, membership, links, backlog, tiles }: Known, profiles: Pick<ProfileBook, "describes">) =>
  (exclude: ReadonlyArray<DeviceId>): Condition => {
    const begins = (backlogMs: number) => (backlogMs > 0 ? { backlogMs } : {})
    /** A device can begin when it has done what it has to do, and what goes to it first has left the link. */
    const waiting = (
      device: DeviceId,
      link: { readonly bandwidthMbps: number; readonly delayMs: number },
    ) => {
      const onLinkMs = Math.max(tiles.queuedMs(device, link.bandwidthMbps), tiles.lateMs(device, link))
      return begins(Math.max(backlog.ms(device), onLinkMs))
    }
    const remote = (m: Member) => {
      const { device, profile } = m.identity
      const link = links.get(device)
      if (device === self.device || exclude.includes(device)) return []
      if (link === undefined || !profiles.describes(device, profile)) return []
      // A plan for a link that may just have got worse is made for the worse one: it costs less where the fear is unfounded.
      const { delayMs, bandwidthMbps } = link.feared ?? link
      return [{ id: device, type: profile, bandwidthMbps, delayMs, ...waiting(device, link) }]
    }
    const type = self.profile.name
    const local = { id: self.device, type, bandwidthMbps: idealBandwidthMbps, delayMs: 0 }
    const remotes = nearest(membership.usable().flatMap(remote))
    return { devices: [{ ...local, ...begins(backlog.ms(self.device)) }, ...remotes] }
  }

/** What is there now, idle, with the links that are expected. */
export const expectedCondition = (now: Condition, links: ReadonlyArray<LinkForecast>): Condition => ({
  devices: atRest(now).devices.map((d) => {
    const link = links.find((l) => l.peer === d.id)
    return link === undefined
      ? d
      : { ...d, bandwidthMbps: Math.max(0.01, link.bandwidthMbps), delayMs: link.delayMs }
  }),
})
