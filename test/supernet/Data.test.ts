import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import sharp from "sharp"
import { decodeImage as decodeOnDevice } from "../../actors/Image.ts"
import { decodeImage } from "../../supernet/Data.ts"

const side = 32

/** Three times as wide as high: red, white, red. */
const wide = Effect.promise(() =>
  sharp({ create: { width: 3 * side, height: side, channels: 3, background: "#f00" } })
    .composite([
      {
        input: { create: { width: side, height: side, channels: 3, background: "#fff" } },
        left: side,
        top: 0,
      },
    ])
    .png()
    .toBuffer(),
)

describe("decodeImage", () => {
  it.live("sees of a picture that is no square what a device sees of it: the middle", () =>
    Effect.gen(function* () {
      const picture = yield* wide
      const trained = yield* Effect.promise(() => decodeImage(picture, side))
      assert.isTrue(trained.every((value) => value === 255))
      assert.deepStrictEqual([...trained], [...(yield* decodeOnDevice(picture, side))])
    }),
  )

  it.live("sees of a photo that lies on its side and has to be scaled what a device sees of it", () =>
    Effect.gen(function* () {
      const noise = { type: "gaussian" as const, mean: 128, sigma: 60 }
      const photo = yield* Effect.promise(() =>
        sharp({ create: { width: 300, height: 200, channels: 3, background: "#587", noise } })
          .jpeg()
          .withMetadata({ orientation: 6 })
          .toBuffer(),
      )
      const trained = yield* Effect.promise(() => decodeImage(photo, side))
      assert.deepStrictEqual([...trained], [...(yield* decodeOnDevice(photo, side))])
      const upright = yield* Effect.promise(() => sharp(photo).rotate().png().toBuffer())
      const seen = yield* decodeOnDevice(upright, side)
      const difference = trained.reduce((sum, v, i) => sum + Math.abs(v - (seen[i] ?? 0)), 0) / trained.length
      // Turned before or after scaling; lying on its side it is 10 away.
      assert.isBelow(difference, 3)
    }),
  )
})
