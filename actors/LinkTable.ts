/**
 * What one device currently knows about its paths to others: the latest state per peer. Written by its Monitor, which
 * also hears what other devices report; shared by the actors of a device. A snapshot is what a plan is made from.
 */
import { Context, Layer } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { LinkState } from "../subjects/LinkMessages.ts"

export interface LinkTableShape {
  readonly get: (peer: DeviceId) => LinkState | undefined
  readonly set: (state: LinkState) => void
  readonly remove: (peer: DeviceId) => void
  readonly all: () => ReadonlyArray<LinkState>
}

export class LinkTable extends Context.Service<LinkTable, LinkTableShape>()("actors/LinkTable") {
  static readonly layer = Layer.sync(LinkTable, () => {
    const states = new Map<DeviceId, LinkState>()
    return LinkTable.of({
      get: (peer) => states.get(peer),
      set: (state) => void states.set(state.peer, state),
      remove: (peer) => void states.delete(peer),
      all: () => [...states.values()],
    })
  })
}
