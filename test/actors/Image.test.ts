import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import sharp from "sharp"
import { whitePng } from "../../bench/BadInputRun.ts"
import type { DecodingRoom } from "../../actors/DecodingRoom.ts"
import { decodeImage, scaleImage } from "../../actors/Image.ts"

/** A picture whose left half is red and whose right half is blue, twice as wide as high. */
const redBlue = (width: number, height: number) => {
  const data = new Uint8Array(width * height * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data[(y * width + x) * 3 + (x < width / 2 ? 0 : 2)] = 255
  }
  return { width, height, data }
}
const encoded = (format: "jpeg" | "png" | "webp" | "gif" | "tiff", width = 64, height = 32) =>
  Effect.promise(() =>
    sharp(redBlue(width, height).data, { raw: { width, height, channels: 3 } })
      .toFormat(format)
      .toBuffer(),
  )

describe("decodeImage", () => {
  it.live.each(["jpeg", "png", "webp"] as const)(
    "scales a %s to the resolution and keeps its colours",
    (format) =>
      Effect.gen(function* () {
        const pixels = yield* decodeImage(yield* encoded(format), 96)
        assert.strictEqual(pixels.length, 96 * 96 * 3)
        const at = (x: number, y: number) => [...pixels.subarray((y * 96 + x) * 3, (y * 96 + x) * 3 + 3)]
        const [left, right] = [at(5, 48), at(90, 48)]
        assert.isAbove(left[0] ?? 0, 240)
        assert.isBelow(left[2] ?? 255, 15)
        assert.isAbove(right[2] ?? 0, 240)
      }),
  )

  it.live("turns a grey PNG with transparency into RGB", () =>
    Effect.gen(function* () {
      const grey = yield* Effect.promise(() =>
        sharp({
          create: { width: 40, height: 40, channels: 4, background: { r: 80, g: 80, b: 80, alpha: 0.5 } },
        })
          .toColourspace("b-w")
          .png()
          .toBuffer(),
      )
      assert.strictEqual((yield* decodeImage(grey, 96)).length, 96 * 96 * 3)
    }),
  )

  it.live("refuses a truncated file", () =>
    Effect.gen(function* () {
      const whole = yield* encoded("jpeg", 640, 480)
      const error = yield* decodeImage(whole.subarray(0, Math.floor(whole.length / 2)), 96).pipe(Effect.flip)
      assert.strictEqual(error._tag, "BadImage")
    }),
  )

  it.live("refuses bytes that are no image, an empty file, and formats it does not know", () =>
    Effect.gen(function* () {
      for (const bytes of [
        new TextEncoder().encode("not an image"),
        new Uint8Array(0),
        yield* encoded("gif"),
      ]) {
        assert.strictEqual((yield* decodeImage(bytes, 96).pipe(Effect.flip))._tag, "BadImage")
      }
    }),
  )

  it.live("refuses a 100-megapixel image before decoding it", () =>
    Effect.gen(function* () {
      const bomb = whitePng(10_000)
      const error = yield* decodeImage(bomb, 96).pipe(Effect.flip)
      assert.strictEqual(error._tag, "ImageTooLarge")
      assert.include(error.message, "10000 x 10000")
    }),
  )
})

describe("decoding", () => {
  it.live("asks for room for what the image decodes to", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const room: DecodingRoom = (bytes) => (decode) => {
        asked.push(bytes)
        return decode
      }
      yield* decodeImage(yield* encoded("jpeg", 640, 480), 96, room)
      assert.deepStrictEqual(asked, [640 * 480 * 3])
    }),
  )
})

describe("scaleImage", () => {
  it.live("passes pixels of the right size through untouched", () =>
    Effect.gen(function* () {
      const image = redBlue(96, 96)
      assert.strictEqual(yield* scaleImage(image, 96), image.data)
    }),
  )

  it.live("refuses bytes that do not fit width and height", () =>
    Effect.gen(function* () {
      const error = yield* scaleImage({ width: 10, height: 10, data: new Uint8Array(299) }, 96).pipe(
        Effect.flip,
      )
      assert.strictEqual(error._tag, "BadImage")
      assert.include(error.message, "300 wanted")
    }),
  )
})
