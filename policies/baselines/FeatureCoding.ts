/**
 * How ADCNN (Zhang et al., ICPP 2020) shrinks what its nodes send back: a clipped ReLU makes most values zero and bounds
 * the others, four bits hold what is left, run lengths hold the zeros. The bounds and bits are part of its retraining.
 *
 * Coded form, nibble by nibble: 0 n = a run of n + 1 zeros (n up to 15), 1 .. 15 = a value in steps of (upper - lower) / 15.
 */

export interface CodingOptions {
  /** Clipped ReLU: 0 up to `lower`, x - lower up to `upper`, constant above. */
  readonly lower: number
  readonly upper: number
}

const levels = 15

export const clippedRelu = ({ lower, upper }: CodingOptions, x: number): number =>
  x <= lower ? 0 : Math.min(x, upper) - lower

/** Level 0..15 of a value; small values that the ReLU leaves keep at least the first level. */
const level = (options: CodingOptions, x: number): number => {
  const y = clippedRelu(options, x)
  return y === 0 ? 0 : Math.max(1, Math.round((y / (options.upper - options.lower)) * levels))
}

export const encodeFeatures = (values: Float32Array, options: CodingOptions): Uint8Array => {
  const nibbles: Array<number> = []
  let zeros = 0
  const flush = () => {
    for (; zeros > 0; zeros -= Math.min(zeros, 16)) nibbles.push(0, Math.min(zeros, 16) - 1)
  }
  for (const x of values) {
    const step = level(options, x)
    if (step === 0) zeros++
    else {
      flush()
      nibbles.push(step)
    }
  }
  flush()
  const bytes = new Uint8Array(Math.ceil(nibbles.length / 2))
  for (const [i, nibble] of nibbles.entries())
    bytes[i >> 1] = (bytes[i >> 1] ?? 0) | (nibble << (i % 2 === 0 ? 4 : 0))
  return bytes
}

export const decodeFeatures = (bytes: Uint8Array, count: number, options: CodingOptions): Float32Array => {
  const values = new Float32Array(count)
  const nibble = (i: number) => ((bytes[i >> 1] ?? 0) >> (i % 2 === 0 ? 4 : 0)) & 15
  let at = 0
  for (let i = 0; at < count; i++) {
    const step = nibble(i)
    if (step === 0) at += nibble(++i) + 1
    else values[at++] = (step / levels) * (options.upper - options.lower)
  }
  return values
}

/**
 * Coded bits per value for independent values of which a share is zero: 4 for each other value, 8 for each run of at most
 * 16 zeros. Real maps have longer runs and do better; see `adcnn`'s `sparsity`.
 */
export const bitsPerValue = (sparsity: number): number => {
  const kept = 1 - sparsity
  if (kept === 0) return 8 / 16
  // A run starts at a zero behind a value; runs of more than 16 are cut, so each has 1 + q^16 + q^32 ... codes.
  const runs = sparsity * kept * (1 / (1 - sparsity ** 16))
  return 4 * kept + 8 * runs
}
