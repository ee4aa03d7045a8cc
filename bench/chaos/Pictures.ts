/** What clients of a swarm under test send: a few pictures, and objectives from "only together" to "anyone can". */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import sharp from "sharp"
import type { Slo } from "../../subjects/InferMessages.ts"
import { imagenetteRoot } from "../../supernet/Data.ts"
import { pick, type Random } from "../../supernet/Random.ts"
import type { Wish } from "./Traffic.ts"

const count = 6

/** A few pictures of Imagenette's val, else noise that is always the same. */
export const picturesOf = async (random: Random): Promise<ReadonlyArray<Uint8Array>> => {
  const root = imagenetteRoot()
  if (root !== undefined) {
    const folders = readdirSync(join(root, "val")).toSorted()
    return folders.slice(0, count).map((folder) => {
      const [first = ""] = readdirSync(join(root, "val", folder)).toSorted()
      return new Uint8Array(readFileSync(join(root, "val", folder, first)))
    })
  }
  const noise = () => Buffer.from(Array.from({ length: 32 * 32 * 3 }, () => Math.floor(random.next() * 256)))
  const png = () =>
    sharp(noise(), { raw: { width: 32, height: 32, channels: 3 } })
      .resize(224, 224)
      .png()
      .toBuffer()
  return Promise.all(Array.from({ length: count }, async () => new Uint8Array(await png())))
}

export const picturesFrom = (): string =>
  imagenetteRoot() === undefined ? "synthetic pictures" : "pictures of Imagenette's val"

/** From what a slow device reaches only with help to what any device reaches alone. */
export const slosOf = (slow: number): ReadonlyArray<Slo> => [
  { latencyMs: 45 * slow },
  { latencyMs: 70 * slow },
  { latencyMs: 140 * slow },
  { accuracy: 0.855 },
]

/** Random pictures with random objectives, the same for the same seed. */
export const wishes = (
  pictures: ReadonlyArray<Uint8Array>,
  slow: number,
  deadlineMs: number,
  random: Random,
): (() => Wish) => {
  const slos = slosOf(slow)
  return () => {
    const picture = Math.floor(random.next() * pictures.length)
    const image = pictures[picture] ?? new Uint8Array()
    return { image, picture, slo: pick(random, slos), deadlineMs }
  }
}
