/**
 * Image folders in ImageNet's layout (`<split>/<wnid>/*.JPEG|png|webp`), decoded once by sharp, off the main thread, into a
 * cache file of plain bytes that every later run maps straight into shared memory.
 */
import { createHash } from "node:crypto"
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  closeSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import sharp from "sharp"
import { middleSquare, pixelsVersion } from "./Pixels.ts"

const projectRoot = dirname(dirname(fileURLToPath(import.meta.url)))

/** Where the data is: `MURMURATION_DATA`, else `../shared/data` beside the project; undefined when neither exists. */
export const dataRoot = (): string | undefined => {
  const candidates = [process.env["MURMURATION_DATA"], resolve(projectRoot, "..", "shared", "data")]
  return candidates.find((c) => c !== undefined && existsSync(c))
}

/** The Imagenette folder with `train/` and `val/`, if the data is there. */
export const imagenetteRoot = (): string | undefined => {
  const root = dataRoot()
  const folder = root === undefined ? undefined : join(root, "imagenette-224")
  return folder !== undefined && existsSync(folder) ? folder : undefined
}

/** Plain names of the classes that this project trains on; other folders keep their own name. */
export const classNames: Readonly<Record<string, string>> = {
  n01440764: "tench",
  n02102040: "English springer",
  n02979186: "cassette player",
  n03000684: "chain saw",
  n03028079: "church",
  n03394916: "French horn",
  n03417042: "garbage truck",
  n03425413: "gas pump",
  n03445777: "golf ball",
  n03888257: "parachute",
}

export interface ImageFile {
  readonly path: string
  readonly label: number
}

export interface ImageFolder {
  readonly folder: string
  /** Class folder names in sorted order: the label is the index. */
  readonly classes: ReadonlyArray<string>
  readonly files: ReadonlyArray<ImageFile>
}

const isImage = (name: string): boolean => /\.(jpe?g|png|webp)$/i.test(name)

/** All images of one split, sorted, so that indices mean the same on every machine. */
export const imageFolder = (folder: string): ImageFolder => {
  const classes = readdirSync(folder, { withFileTypes: true })
    .filter((d) => d.isDirectory())
    .map((d) => d.name)
    .toSorted()
  const files = classes.flatMap((name, label) =>
    readdirSync(join(folder, name))
      .filter(isImage)
      .toSorted()
      .map((file): ImageFile => ({ path: join(folder, name, file), label })),
  )
  return { folder, classes, files }
}

/** Decoded RGB images of one square size: image i starts at byte i * size * size * 3. Shared memory: workers use it as it is. */
export interface ImageSet {
  readonly size: number
  readonly count: number
  readonly pixels: Uint8Array<SharedArrayBuffer>
  readonly labels: ReadonlyArray<number>
  readonly classes: ReadonlyArray<string>
}

/** Decoded images are kept in `MURMURATION_CACHE`, else in the project's `.cache/`. */
const cacheFolder = (): string => process.env["MURMURATION_CACHE"] ?? join(projectRoot, ".cache")

/** An image that was replaced is another image, also under the same name. */
const cacheFile = (source: ImageFolder, size: number): string => {
  const images = source.files.map(({ path }) => {
    const { size: bytes, mtimeMs } = statSync(path)
    return [path.slice(source.folder.length), bytes, mtimeMs]
  })
  const hash = createHash("sha256")
    .update(JSON.stringify([source.folder, size, images, pixelsVersion]))
    .digest("hex")
  return join(cacheFolder(), `images-${size}-${hash.slice(0, 16)}.rgb`)
}

/** RGB bytes of an image at `size` x `size`, as a device sees it. */
export const decodeImage = async (file: string | Uint8Array, size: number): Promise<Uint8Array> =>
  await middleSquare(sharp(file), size).toBuffer()

/** Decodes in batches (libvips has its own threads) and writes the cache; renamed into place only when whole. */
const buildCache = async (
  source: ImageFolder,
  size: number,
  file: string,
  report: (done: number) => void,
): Promise<void> => {
  mkdirSync(dirname(file), { recursive: true })
  const partial = `${file}.${process.pid}`
  const out = openSync(partial, "w")
  const batch = 32
  try {
    for (let i = 0; i < source.files.length; i += batch) {
      const decoded = await Promise.all(
        source.files.slice(i, i + batch).map((f) => decodeImage(f.path, size)),
      )
      for (const pixels of decoded) writeSync(out, pixels)
      report(Math.min(source.files.length, i + batch))
    }
    renameSync(partial, file)
  } finally {
    closeSync(out)
    rmSync(partial, { force: true })
  }
}

/** A folder's images at one size, from the cache or decoded now (about 1 ms an image and core). */
export const loadImages = async (
  source: ImageFolder,
  size: number,
  report: (done: number) => void = () => {},
): Promise<ImageSet> => {
  const file = cacheFile(source, size)
  if (!existsSync(file)) await buildCache(source, size, file, report)
  const bytes = source.files.length * size * size * 3
  if (statSync(file).size !== bytes)
    throw new RangeError(`${file} has ${statSync(file).size} bytes, not ${bytes}: delete it`)
  const pixels = new Uint8Array(new SharedArrayBuffer(bytes))
  const input = openSync(file, "r")
  const chunk = 1 << 26
  for (let at = 0; at < bytes;) at += readSync(input, pixels, at, Math.min(chunk, bytes - at), at)
  closeSync(input)
  return {
    size,
    count: source.files.length,
    pixels,
    labels: source.files.map((f) => f.label),
    classes: source.classes,
  }
}
