/**
 * This device's outgoing tiles: one sender with a credit window per peer, shared by everyone who sends, and the timings of
 * its acknowledged chunks, from which the Monitor learns about links for free.
 */
import { Context, Effect, Layer } from "effect"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { Tile } from "../subjects/TileCodec.ts"
import {
  makeTileSender,
  type SendReceipt,
  type TileSender,
  type TileSendError,
  type Transfer,
} from "../subjects/TileSender.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"

export interface TilesShape {
  /** Resolves when the receiver has the whole tile; gives up when the tile's budget is over. */
  readonly send: (to: DeviceId, tile: Tile) => Effect.Effect<SendReceipt, TileSendError>
  /** What a peer has not acknowledged yet, and when the newest of it was sent. */
  readonly outstanding: TileSender["outstanding"]
  /** Called for every acknowledged chunk, in the network callback. */
  readonly onTransfer: (listener: (transfer: Transfer) => void) => void
}

/** For tiles without a budget. */
const defaultTimeoutMs = 10_000

const make = Effect.gen(function* () {
  const self = yield* Self
  const membership = yield* Membership
  const listeners: Array<(transfer: Transfer) => void> = []
  const sender = yield* makeTileSender({
    device: self.device,
    onTransfer: (transfer) => {
      membership.heard(transfer.peer)
      for (const listener of listeners) listener(transfer)
    },
  })
  return Tiles.of({
    send: (to, tile) =>
      sender
        .send(to, tile, { timeoutMs: tile.budgetMs > 0 ? tile.budgetMs : defaultTimeoutMs })
        .pipe(Effect.tapError((e) => (e._tag === "NobodyListens" ? membership.suspect(to) : Effect.void))),
    outstanding: sender.outstanding,
    onTransfer: (listener) => void listeners.push(listener),
  })
})

export class Tiles extends Context.Service<Tiles, TilesShape>()("actors/Tiles") {
  static readonly layer = Layer.effect(Tiles, make)
}
