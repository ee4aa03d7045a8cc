/**
 * Training images: random resized crop, mirror, brightness and contrast, written as normalised RGB. The crop is read from
 * the cached size nearest to it (a two-level pyramid), so that shrinking does not alias. Pure: same random source, same image.
 */
import type { ImageSet } from "../Data.ts"
import type { Random } from "../Random.ts"
import type { SupernetSpec } from "../Spec.ts"

export interface AugmentOptions {
  /** Smallest share of the image's area that a crop keeps. */
  readonly minScale: number
  /** Brightness and contrast change by up to this share. */
  readonly jitter: number
}

export interface Crop {
  /** Position and size as shares of the image's side. */
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly mirror: boolean
  readonly gain: number
  readonly offset: number
}

export const wholeImage: Crop = { x: 0, y: 0, width: 1, height: 1, mirror: false, gain: 1, offset: 0 }

const uniform = (random: Random, low: number, high: number): number => low + (high - low) * random.next()

export const sampleCrop = (random: Random, options: AugmentOptions): Crop => {
  const area = uniform(random, options.minScale, 1)
  const ratio = Math.exp(uniform(random, Math.log(3 / 4), Math.log(4 / 3)))
  const width = Math.min(1, Math.sqrt(area * ratio))
  const height = Math.min(1, Math.sqrt(area / ratio))
  const gain = uniform(random, 1 - options.jitter, 1 + options.jitter)
  const brightness = uniform(random, -options.jitter, options.jitter)
  return {
    x: uniform(random, 0, 1 - width),
    y: uniform(random, 0, 1 - height),
    width,
    height,
    mirror: random.next() < 0.5,
    gain,
    offset: brightness * 128 + (1 - gain) * 128,
  }
}

/** The coarsest of the cached sizes that still has about as many pixels under the crop as the output wants. */
const levelFor = (levels: ReadonlyArray<ImageSet>, crop: Crop, resolution: number): ImageSet => {
  const sorted = levels.toSorted((a, b) => a.size - b.size)
  const wanted = (resolution * 0.8) / Math.max(crop.width, crop.height)
  return sorted.find((l) => l.size >= wanted) ?? sorted.at(-1)
}

/** Writes one cropped, bilinearly resized, normalised image to `out` at `offset`. */
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
  const [left, top] = [crop.x * size, crop.y * size]
  const [stepX, stepY] = [(crop.width * size) / resolution, (crop.height * size) / resolution]
  const a = [0, 1, 2].map((c) => crop.gain / spec.std[c]!)
  const b = [0, 1, 2].map((c) => (crop.offset - spec.mean[c]!) / spec.std[c]!)
  const [a0, a1, a2] = a as [number, number, number]
  const [b0, b1, b2] = b as [number, number, number]
  const last = size - 1
  for (let y = 0; y < resolution; y++) {
    const sy = Math.min(last, Math.max(0, top + (y + 0.5) * stepY - 0.5))
    const y0 = Math.floor(sy)
    const fy = sy - y0
    const row0 = base + y0 * size * 3
    const row1 = y0 < last ? row0 + size * 3 : row0
    for (let x = 0; x < resolution; x++) {
      const sx = Math.min(last, Math.max(0, left + (x + 0.5) * stepX - 0.5))
      const x0 = Math.floor(sx)
      const fx = sx - x0
      const p = x0 * 3
      const q = x0 < last ? p + 3 : p
      const w00 = (1 - fy) * (1 - fx)
      const w01 = (1 - fy) * fx
      const w10 = fy * (1 - fx)
      const w11 = fy * fx
      const o = offset + (y * resolution + (crop.mirror ? resolution - 1 - x : x)) * 3
      const sample = (c: number) =>
        w00 * pixels[row0 + p + c]! +
        w01 * pixels[row0 + q + c]! +
        w10 * pixels[row1 + p + c]! +
        w11 * pixels[row1 + q + c]!
      out[o] = sample(0) * a0 + b0
      out[o + 1] = sample(1) * a1 + b1
      out[o + 2] = sample(2) * a2 + b2
    }
  }
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
