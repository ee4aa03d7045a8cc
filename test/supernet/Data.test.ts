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
})
