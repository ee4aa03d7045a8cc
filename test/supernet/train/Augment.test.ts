import { describe, expect, it } from "vitest"
import type { ImageSet } from "../../../supernet/Data.ts"
import { seededRandom } from "../../../supernet/Random.ts"
import { cutMix, sampleCrop, wholeImage, writeCrop, writeWhole } from "../../../supernet/train/Augment.ts"
import { smoothedLabels } from "../../../supernet/train/Loss.ts"
import { largestDifference, tinySpec } from "../Tiny.ts"

const size = 32
const length = size * size * 3

/** Two images: one of random pixels, and one that gets brighter from left to right. */
const images: ImageSet = (() => {
  const random = seededRandom(1)
  const noise = Array.from({ length }, () => Math.floor(random.next() * 256))
  const ramp = Array.from({ length }, (_, i) => 8 * (Math.floor(i / 3) % size))
  const pixels = new Uint8Array(new SharedArrayBuffer(2 * length))
  pixels.set([...noise, ...ramp])
  return {
    size,
    count: 2,
    pixels,
    labels: [0, 1],
    classes: ["noise", "ramp"],
  }
})()

/** Pixels 0..255 of an image under a crop. */
const seen = (index: number, crop: typeof wholeImage): Float32Array => {
  const out = new Float32Array(length)
  writeCrop([images], index, crop, size, tinySpec, out, 0)
  return out.map((v, i) => v * tinySpec.std[i % 3]! + tinySpec.mean[i % 3]!)
}

const strong = { minScale: 0.35, jitter: 0.3, saturation: 0.5, hue: 30, turn: 15, cutMix: 0.5 }
const none = { minScale: 1, jitter: 0, saturation: 0, hue: 0, turn: 0, cutMix: 0 }

describe("a crop", () => {
  it("without a change equals the whole image", () => {
    const [cropped, whole] = [new Float32Array(length), new Float32Array(length)]
    writeCrop([images], 0, wholeImage, size, tinySpec, cropped, 0)
    writeWhole(images, 0, tinySpec, whole, 0)
    expect(largestDifference(cropped, whole)).toBeLessThan(1e-5)
  })

  it("stays inside the image and keeps the wanted area", () => {
    const random = seededRandom(7)
    for (let i = 0; i < 500; i++) {
      const crop = sampleCrop(random, strong)
      expect(crop.x + crop.width).toBeLessThanOrEqual(1 + 1e-9)
      expect(crop.y + crop.height).toBeLessThanOrEqual(1 + 1e-9)
      expect(crop.width * crop.height).toBeGreaterThan(0.3)
    }
  })

  it("mirrors, turns around the middle and repeats the edges", () => {
    const ramp = seen(1, wholeImage)
    const at = (pixels: Float32Array, y: number, x: number) => pixels[(y * size + x) * 3]!
    const mirrored = seen(1, { ...wholeImage, mirror: true })
    const quarter = seen(1, { ...wholeImage, angle: Math.PI / 2 })
    const slanted = seen(1, { ...wholeImage, angle: Math.PI / 4 })
    for (let i = 0; i < size; i++) {
      expect(at(mirrored, 5, i)).toBeCloseTo(at(ramp, 5, size - 1 - i), 3)
      // What grew to the right grows upwards now.
      expect(at(quarter, i, 9)).toBeCloseTo(at(ramp, 0, size - 1 - i), 3)
    }
    // The middle's brightness along the diagonal; beyond the image, at the other two corners, its edges.
    for (const i of [0, 9, size - 1]) expect(at(slanted, i, i)).toBeCloseTo(124, 3)
    expect(at(slanted, size - 1, 0)).toBeCloseTo(0, 3)
    expect(at(slanted, 0, size - 1)).toBeCloseTo(248, 3)
  })

  it("leaves greys grey whatever happens to saturation and hue, and colours differ", () => {
    const random = seededRandom(3)
    for (let i = 0; i < 50; i++) {
      const { colour } = sampleCrop(random, { ...none, saturation: 0.5, hue: 180 })
      const [grey, red] = [seen(1, { ...wholeImage, colour }), colour.filter((_, c) => c % 3 === 0)]
      expect(largestDifference(grey, seen(1, wholeImage))).toBeLessThan(1e-2)
      expect(Math.max(...red) - Math.min(...red)).toBeGreaterThan(0.2)
    }
    expect(sampleCrop(random, none).colour.map((v) => Math.round(v * 1e9) / 1e9 + 0)).toEqual(
      wholeImage.colour,
    )
  })
})

describe("CutMix", () => {
  const batch = 8
  /** Every pixel of image i is i. */
  const numbered = () => Float32Array.from({ length: batch * length }, (_, i) => Math.floor(i / length))

  it("puts a rectangle of the next image into an image, and says how much is left", () => {
    const pixels = numbered()
    const kept = cutMix(seededRandom(2), { ...none, cutMix: 1 }, pixels, batch, size)
    for (const [i, share] of kept.entries()) {
      const own = pixels.subarray(i * length, (i + 1) * length).filter((v) => v === i).length
      expect(own / length).toBeCloseTo(share, 6)
      expect(share).toBeGreaterThan(0.45)
      expect(pixels.subarray(i * length, (i + 1) * length).every((v) => v === i || v === i + 1)).toBe(true)
    }
    expect(Math.min(...kept)).toBeLessThan(0.9)
    expect(kept.at(-1)).toBe(1)
  })

  it("happens as often as it says", () => {
    const random = seededRandom(4)
    const rounds = Array.from({ length: 60 }, () => cutMix(random, strong, numbered(), batch, size)).flat()
    const share = rounds.filter((k) => k < 1).length / rounds.length
    expect(share).toBeGreaterThan(0.3)
    expect(share).toBeLessThan(0.55)
    expect(cutMix(random, none, numbered(), batch, size)).toEqual(Array<number>(batch).fill(1))
  })

  it("gives the next image's label the share that its pixels have", () => {
    const targets = [...smoothedLabels([2, 0], 3, 0.3, [0.6, 1])]
    const expected = [0.1 + 0.7 * 0.4, 0.1, 0.1 + 0.7 * 0.6, 0.8, 0.1, 0.1]
    for (const [i, v] of expected.entries()) expect(targets[i]).toBeCloseTo(v, 6)
  })
})
