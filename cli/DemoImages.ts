/** Pictures for the demo: the user's folder or file, else real test images where they are, else drawn ones, and it says which. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { basename, dirname, extname, join, relative, sep } from "node:path"
import { Effect, Schema } from "effect"
import sharp from "sharp"
import { below, type Random, seededRandom, shuffled } from "../supernet/Random.ts"
import { classNames, imagenetteRoot } from "../supernet/Data.ts"

export interface DemoImage {
  readonly name: string
  readonly bytes: Uint8Array
  /** The right answer, where the picture's folder tells it. */
  readonly label: string | undefined
}

export interface DemoImages {
  readonly description: string
  readonly images: ReadonlyArray<DemoImage>
}

export class NoImages extends Schema.TaggedError<NoImages>()("NoImages", { path: Schema.String }) {
  readonly hint = "give an image file, or a folder with JPEG, PNG or WebP files in it or in its subfolders"
  override get message() {
    return `${this.path}: no images found`
  }
}

const extensions = new Set([".jpg", ".jpeg", ".png", ".webp"])
const isImage = (path: string) => extensions.has(extname(path).toLowerCase())

const filesBelow = (path: string): ReadonlyArray<string> => {
  if (!existsSync(path)) return []
  if (statSync(path).isFile()) return isImage(path) ? [path] : []
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter(isImage)
    .sort()
    .map((name) => join(path, name))
}

/** A folder per class, as for training: its name is the class. What lies in `root` itself is of no class that we know. */
const labelOf = (root: string, path: string): string | undefined => {
  const folder = basename(dirname(path))
  return classNames[folder] ?? (relative(root, path).includes(sep) ? folder : undefined)
}

/** Some of the images at or below `root`. */
const fromFiles = (root: string, count: number, random: Random): ReadonlyArray<DemoImage> =>
  shuffled(random, filesBelow(root))
    .slice(0, count)
    .map((path) => ({ name: basename(path), bytes: readFileSync(path), label: labelOf(root, path) }))

/** A camera frame of nothing: coloured discs on a gradient. It has a realistic size, and no right answer. */
const drawn = (random: Random, index: number): Effect.Effect<DemoImage> => {
  const colour = () => `rgb(${below(random, 256)},${below(random, 256)},${below(random, 256)})`
  const discs = Array.from(
    { length: 12 },
    () =>
      `<circle cx="${below(random, 640)}" cy="${below(random, 480)}" r="${20 + below(random, 90)}" fill="${colour()}"/>`,
  )
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"><defs><linearGradient id="g"><stop stop-color="${colour()}"/><stop offset="1" stop-color="${colour()}"/></linearGradient></defs><rect width="640" height="480" fill="url(#g)"/>${discs.join("")}</svg>`
  return Effect.promise(() => sharp(Buffer.from(svg)).jpeg({ quality: 85 }).toBuffer()).pipe(
    Effect.map((bytes) => ({ name: `drawn-${index}.jpg`, bytes, label: undefined })),
  )
}

/** `path`: a file or folder of the user's; empty: whatever is there. */
export const demoImages = (path: string, count: number, seed: number): Effect.Effect<DemoImages, NoImages> =>
  Effect.gen(function* () {
    const random = seededRandom(seed)
    if (path !== "") {
      const images = fromFiles(path, count, random)
      if (images.length === 0) return yield* new NoImages({ path })
      return { description: `images of ${path}`, images }
    }
    const root = imagenetteRoot()
    const found = root === undefined ? [] : fromFiles(join(root, "val"), count, random)
    if (found.length > 0) return { description: "Imagenette test images", images: found }
    const images = yield* Effect.forEach(Array.from({ length: Math.min(count, 8) }), (_, i) =>
      drawn(random, i),
    )
    return {
      description: "drawn pictures (synthetic: they have no right answer; name your own with --images)",
      images,
    }
  })
