/**
 * Training images: random resized and turned crop, mirror, brightness, contrast, saturation and hue, written as normalised RGB.
 * The crop is read from the cached size nearest to it (a two-level pyramid), so that shrinking does not alias. In a batch, part
 * of an image may come from another (CutMix). Pure: same random source, same image.
 */
import type { ImageSet } from "../Data.ts"
import type { Random } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"

export interface AugmentOptions {
  /** Smallest share of the image's area that a crop keeps. */
  readonly minScale: number
  /** Brightness and contrast change by up to this share. */
  readonly jitter: number
  /** Saturation changes by up to this share. */
  readonly saturation: number
  /** Hues turn by up to this angle, in degrees. */
  readonly hue: number
  /** The crop turns by up to this angle, in degrees. */
  readonly turn: number
  /** Chance that part of an image comes from another image of the batch. */
  readonly cutMix: number
}

export interface Crop {
  /** Position and size as shares of the image's side. */
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly mirror: boolean
  /** Turned around its middle by this angle, in radians. */
  readonly angle: number
  /** Row-major 3x3: RGB of 0..255 are multiplied by it, then `offset` is added. */
  readonly colour: ReadonlyArray<number>
  readonly offset: number
}

export const wholeImage: Crop = {
  x: 0,
  y: 0,
  width: 1,
  height: 1,
  mirror: false,
  angle: 0,
  colour: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  offset: 0,
}

const uniform = (random: Random, low: number, high: number): number => low + (high - low) * random.next()

const radians = (degrees: number): number => (degrees * Math.PI) / 180

/** Turns RGB around the grey axis by `hue` (Rodrigues' formula): greys stay as they are, brightness nearly so. */
const turnHue = (hue: number): ReadonlyArray<number> => {
  const [cos, sin] = [Math.cos(hue), Math.sin(hue) / Math.sqrt(3)]
  const [own, next, previous] = [cos + (1 - cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin]
  return [own, next, previous, previous, own, next, next, previous, own]
}

/** Shares of red, green and blue in brightness (ITU-R BT.601). */
const luma = [0.299, 0.587, 0.114]

/** Contrast times (saturated hues plus what saturation takes away, as grey). */
const colourMatrix = (contrast: number, saturation: number, hue: number): ReadonlyArray<number> =>
  turnHue(hue).map((v, i) => contrast * (saturation * v + (1 - saturation) * luma[i % 3]!))

export const sampleCrop = (random: Random, options: AugmentOptions): Crop => {
  const area = uniform(random, options.minScale, 1)
  const ratio = Math.exp(uniform(random, Math.log(3 / 4), Math.log(4 / 3)))
  const width = Math.min(1, Math.sqrt(area * ratio))
  const height = Math.min(1, Math.sqrt(area / ratio))
  const around = (middle: number, spread: number) => uniform(random, middle - spread, middle + spread)
  const contrast = around(1, options.jitter)
  const brightness = around(0, options.jitter)
  return {
    x: uniform(random, 0, 1 - width),
    y: uniform(random, 0, 1 - height),
    width,
    height,
    mirror: random.next() < 0.5,
    angle: around(0, radians(options.turn)),
    colour: colourMatrix(contrast, around(1, options.saturation), around(0, radians(options.hue))),
    offset: (brightness + 1 - contrast) * 128,
  }
}

/** The coarsest of the cached sizes that still has about as many pixels under the crop as the output wants. */
const levelFor = (levels: ReadonlyArray<ImageSet>, crop: Crop, resolution: number): ImageSet => {
  const sorted = levels.toSorted((a, b) => a.size - b.size)
  const wanted = (resolution * 0.8) / Math.max(crop.width, crop.height)
  return sorted.find((l) => l.size >= wanted) ?? sorted.at(-1)
}

/** The crop's colour change and the network's normalisation as one: a row-major 3x4 matrix on (red, green, blue, 1). */
const normalising = (crop: Crop, spec: SupernetSpec): ReadonlyArray<number> =>
  [0, 1, 2].flatMap((c) => [
    ...crop.colour.slice(3 * c, 3 * c + 3).map((v) => v / spec.std[c]!),
    (crop.offset - spec.mean[c]!) / spec.std[c]!,
  ])

/** Writes one cropped, turned, bilinearly resized, normalised image to `out` at `offset`; edges are repeated outwards. */
export const writeCrop = (
  levels: ReadonlyArray<ImageSet>,
  index: number,
  crop: Crop,
  resolution: number,
  spec: SupernetSpec,
  out: Float32Array,
  offset: number,
): void => {
  const { size, pixels } = levelFor(levels, crop, resolution)
  const base = index * size * size * 3
  const last = size - 1
  const m = Float64Array.from(normalising(crop, spec))
  // One step to the right in the output is (rightX, rightY) source pixels, one step down (downX, downY).
  const scale = size / resolution
  const [rightX, rightY] = [
    scale * crop.width * Math.cos(crop.angle),
    scale * crop.height * Math.sin(crop.angle),
  ]
  const [downX, downY] = [
    -scale * crop.width * Math.sin(crop.angle),
    scale * crop.height * Math.cos(crop.angle),
  ]
  const middle = (resolution - 1) / 2
  const firstX = (crop.x + crop.width / 2) * size - 0.5 - middle * (rightX + downX)
  const firstY = (crop.y + crop.height / 2) * size - 0.5 - middle * (rightY + downY)
  for (let y = 0; y < resolution; y++) {
    for (let x = 0; x < resolution; x++) {
      const sx = Math.min(last, Math.max(0, firstX + x * rightX + y * downX))
      const sy = Math.min(last, Math.max(0, firstY + x * rightY + y * downY))
      const x0 = Math.trunc(sx)
      const y0 = Math.trunc(sy)
      const fx = sx - x0
      const fy = sy - y0
      const p = base + (y0 * size + x0) * 3
      const q = x0 < last ? 3 : 0
      const r = y0 < last ? p + size * 3 : p
      const sample = (c: number) => {
        const above = pixels[p + c]! + fx * (pixels[p + q + c]! - pixels[p + c]!)
        const below = pixels[r + c]! + fx * (pixels[r + q + c]! - pixels[r + c]!)
        return above + fy * (below - above)
      }
      const red = sample(0)
      const green = sample(1)
      const blue = sample(2)
      const o = offset + (y * resolution + (crop.mirror ? resolution - 1 - x : x)) * 3
      out[o] = m[0]! * red + m[1]! * green + m[2]! * blue + m[3]!
      out[o + 1] = m[4]! * red + m[5]! * green + m[6]! * blue + m[7]!
      out[o + 2] = m[8]! * red + m[9]! * green + m[10]! * blue + m[11]!
    }
  }
}

/** Largest share of an image that CutMix replaces: the image keeps its own label as the first one. */
const largestPatch = 0.5

/**
 * CutMix (Yun et al., ICCV 2019): with the chance `cutMix`, a random rectangle of an image is overwritten by the same rectangle of the
 * next image of the batch. Changes `pixels` (batch x resolution x resolution x 3) and returns the share that each image kept of
 * itself; the rest is the next one's. The last image is never cut into.
 */
export const cutMix = (
  random: Random,
  options: AugmentOptions,
  pixels: Float32Array,
  batch: number,
  resolution: number,
): ReadonlyArray<number> => {
  const length = resolution * resolution * 3
  return Array.from({ length: batch }, (_, image) => {
    if (image === batch - 1 || random.next() >= options.cutMix) return 1
    const side = Math.sqrt(uniform(random, 0, largestPatch))
    const stretch = Math.exp(uniform(random, -0.5, 0.5))
    const width = Math.round(resolution * Math.min(1, side * stretch))
    const height = Math.round(resolution * Math.min(1, side / stretch))
    const left = Math.floor(uniform(random, 0, resolution - width + 1))
    const top = Math.floor(uniform(random, 0, resolution - height + 1))
    for (let y = top; y < top + height; y++) {
      const from = image * length + (y * resolution + left) * 3
      pixels.copyWithin(from, from + length, from + length + width * 3)
    }
    return 1 - (width * height) / resolution ** 2
  })
}

/** Normalised pixels of whole images decoded at exactly `resolution` (evaluation). */
export const writeWhole = (
  images: ImageSet,
  index: number,
  spec: SupernetSpec,
  out: Float32Array,
  offset: number,
): void => {
  const length = images.size * images.size * 3
  const base = index * length
  for (let i = 0; i < length; i += 3) {
    for (let c = 0; c < 3; c++)
      out[offset + i + c] = (images.pixels[base + i + c]! - spec.mean[c]!) / spec.std[c]!
  }
}
