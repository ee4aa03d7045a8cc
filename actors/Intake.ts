/** Tiles of other devices on their way in: taken for the attempt that they belong to, or refused in words. */
import { Effect } from "effect"
import { Engine } from "../devices/engine/Engine.ts"
import { ownBuffer } from "../devices/engine/Pieces.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { type ErrorBody, errorBodyOf, type ErrorTag, refusal } from "../subjects/ErrorReply.ts"
import { defaultAssemblyLimits } from "../subjects/TileAssembly.ts"
import type { Tile } from "../subjects/TileCodec.ts"
import { makeTileReceiver } from "../subjects/TileReceiver.ts"
import { Membership } from "./Membership.ts"
import { Self } from "./Self.ts"
import type { Tasks } from "./Tasks.ts"
import { tileProblem } from "./TileChecks.ts"
import type { Underway } from "./Underway.ts"

export const makeIntake = (underway: Underway, tasks: Pick<Tasks, "take">) =>
  Effect.gen(function* () {
    const engine = yield* Engine
    const membership = yield* Membership
    const { device, counters, memory } = yield* Self

    const refuse = (tag: ErrorTag, detail: string, hint: string, retryable = false) => {
      counters.dropped++
      return errorBodyOf(refusal(tag, detail, hint, retryable))
    }
    /** Taken (undefined), or refused. */
    const accept = (tile: Tile, from: DeviceId): ErrorBody | undefined => {
      if (!membership.takesWork())
        return refuse("Leaving", `${device} is shutting down`, "plan without it", true)
      const prepared = engine.prepared(tile.strategyId)
      if (prepared === undefined) {
        const hint = "send reconfig.<device> with the strategy first"
        return refuse("UnknownStrategy", `strategy ${tile.strategyId} is not known here`, hint, true)
      }
      const problem = tileProblem(prepared, tile, from)
      if (problem !== "") return refuse("BadTile", problem, "both devices must hold the same strategy")
      const { requestId, attempt, edge, bits, scale, zeroPoint } = tile
      if (underway.wasGivenUp(requestId, attempt, prepared)) {
        counters.dropped++
        return undefined
      }
      if (!underway.hasRoom(requestId, attempt, tile.bytes.length)) {
        const held = `${underway.size} requests are under way here, with ${underway.heldBytes} bytes of tiles`
        return refuse("Overloaded", held, "try again later", true)
      }
      const r = underway.open(requestId, attempt, prepared, tile.budgetMs)
      // One that came in a single chunk is a view of the network's buffer; one that was put together has its own.
      tasks.take(r, { edge, bits, scale, zeroPoint, data: ownBuffer(tile.bytes) })
      return undefined
    }
    const maxOpenBytes = Math.min(memory.regionBytes, defaultAssemblyLimits.maxOpenBytes)
    yield* makeTileReceiver({ device, accept, limits: { ...defaultAssemblyLimits, maxOpenBytes } })
  })
