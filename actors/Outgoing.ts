/** Pieces on their way to the devices that need them: which tile a piece becomes, and to whom its edge leads. */
import { Effect } from "effect"
import type { Piece } from "../devices/engine/Pieces.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ErrorBody } from "../subjects/ErrorReply.ts"
import type { Tile } from "../subjects/TileCodec.ts"
import { discard } from "../supernet/onnx/Runtime.ts"
import { regionHeight, regionWidth } from "../supernet/Partition.ts"
import type { Edge } from "../supernet/TaskGraph.ts"
import { budgetLeftMs, type Running } from "./Running.ts"
import { sendError } from "./TileChecks.ts"
import type { TilesShape } from "./Tiles.ts"

const tileOf = (r: Running, edge: Edge, piece: Piece): Tile => ({
  requestId: r.requestId,
  attempt: r.attempt,
  strategyId: r.prepared.strategyId,
  edge: piece.edge,
  shape: [edge.channels, regionHeight(edge.region), regionWidth(edge.region)],
  bits: piece.bits,
  scale: piece.scale,
  zeroPoint: piece.zeroPoint,
  budgetMs: Math.max(1, budgetLeftMs(r)),
  bytes: new Uint8Array(piece.data),
})

/**
 * All pieces at once: each peer has its own window, so a slow link holds up nobody else. The first that does not get away
 * ends the others, which nobody needs without it; then `failed` is run. Their memory is given back when they are sent (what is under way are copies): until the next collection of
 * garbage it would lie between the engine's sessions, which come and go in the same heap.
 */
export const sendPieces = (
  tiles: Pick<TilesShape, "send">,
  r: Running,
  pieces: ReadonlyArray<Piece>,
  failed: (error: ErrorBody, peer: DeviceId) => Effect.Effect<void>,
): Effect.Effect<void> =>
  Effect.forEach(
    pieces,
    (piece) => {
      const edge = r.prepared.graph.edges[piece.edge]
      const to = edge === undefined ? undefined : r.prepared.strategy.devices[edge.toDevice]
      if (edge === undefined || to === undefined) return Effect.void
      const peer = to as DeviceId
      const tile = tileOf(r, edge, piece)
      return tiles.send(peer, tile).pipe(
        Effect.ensuring(Effect.sync(() => discard(tile.bytes))),
        Effect.mapError((e) => ({ error: sendError(e, peer), peer })),
      )
    },
    { concurrency: "unbounded", discard: true },
  ).pipe(Effect.catch(({ error, peer }) => failed(error, peer)))
