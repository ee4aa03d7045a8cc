/**
 * Room for pictures while they are decoded, in bytes of what they decode to: a picture of 50 megapixels takes 150 MB for a moment,
 * and several at once are more than a small device has. Small ones pass at once.
 */
import { Effect, Fiber, Semaphore } from "effect"

/** Decodes when there is room for so many bytes. */
export type DecodingRoom = (
  bytes: number,
) => <A, E, R>(decode: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * An eighth of the room is small: at most four are decoded at once, on libuv's threads, and take half of it. The other half is for
 * large ones, of which one that is larger than that gets all of it and is alone. A large one may be overtaken by smaller ones.
 */
const smallShare = 1 / 8

/** Nobody waits. */
export const endlessRoom: DecodingRoom = () => (decode) => decode

export const decodingRoom = (bytes: number): DecodingRoom => {
  const forLarge = Math.floor(bytes / 2)
  const room = Semaphore.makeUnsafe(forLarge)
  return (needed) => (decode) => {
    if (needed <= smallShare * bytes) return decode
    // Decoding cannot be stopped: who gives up leaves it behind, with its room, until it is over.
    const decoding = room.withPermits(Math.min(forLarge, needed))(Effect.uninterruptible(decode))
    return Effect.flatMap(Effect.forkDetach(decoding), (fiber) =>
      Effect.onInterrupt(Fiber.join(fiber), () => Effect.sync(() => fiber.interruptUnsafe())),
    )
  }
}
