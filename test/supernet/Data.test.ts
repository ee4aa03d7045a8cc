import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import sharp from "sharp"
import { decodeImage as decodeOnDevice } from "../../actors/Image.ts"
import { decodeImage, imageFolder, loadImages } from "../../supernet/Data.ts"

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

describe("the cache of decoded images", () => {
  it.live("has a replaced image anew, and nothing of a folder that cannot be decoded", () =>
    Effect.promise(async () => {
      const folder = mkdtempSync(join(tmpdir(), "murmuration-images-"))
      const [images, cache] = [join(folder, "images"), join(folder, "cache")]
      const before = process.env["MURMURATION_CACHE"]
      process.env["MURMURATION_CACHE"] = cache
      try {
        mkdirSync(join(images, "a"), { recursive: true })
        const file = join(images, "a", "1.png")
        const put = async (background: string) =>
          await sharp({ create: { width: 8, height: 8, channels: 3, background } })
            .png()
            .toFile(file)
        const firstByte = async () => (await loadImages(imageFolder(images), 8)).pixels[0]
        await put("#f00")
        assert.strictEqual(await firstByte(), 255)
        await put("#123456")
        assert.strictEqual(await firstByte(), 0x12)
        const kept = readdirSync(cache)
        writeFileSync(file, "no image")
        assert.isTrue(
          await firstByte().then(
            () => false,
            () => true,
          ),
        )
        assert.deepStrictEqual(readdirSync(cache), kept)
      } finally {
        if (before === undefined) delete process.env["MURMURATION_CACHE"]
        else process.env["MURMURATION_CACHE"] = before
        rmSync(folder, { recursive: true })
      }
    }),
  )
})
