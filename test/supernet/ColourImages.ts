/** A data folder that colour tells apart: 24 red and 24 blue noisy images per split, in ImageNet's layout. */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import sharp from "sharp"
import { seededRandom } from "../../supernet/Random.ts"

export const makeColourImages = async (folder: string): Promise<void> => {
  const random = seededRandom(1)
  for (const split of ["train", "val"]) {
    for (const [name, channel] of [
      ["blue", 2],
      ["red", 0],
    ] as const) {
      mkdirSync(join(folder, split, name), { recursive: true })
      for (let i = 0; i < 24; i++) {
        const pixels = Uint8Array.from({ length: 48 * 48 * 3 }, (_, p) =>
          Math.floor(random.next() * (p % 3 === channel ? 255 : 90)),
        )
        const image = sharp(pixels, { raw: { width: 48, height: 48, channels: 3 } })
        await image.png().toFile(join(folder, split, name, `${i}.png`))
      }
    }
  }
}
