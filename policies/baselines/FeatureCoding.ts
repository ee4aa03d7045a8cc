/**
 * How ADCNN (Zhang et al., ICPP 2020) shrinks what its nodes send back: a clipped ReLU makes most values zero and bounds
 * the others, four bits hold what is left, run lengths hold the zeros. The bounds and bits are part of its retraining.
 *
 * Coded form, nibble by nibble: 0 n = a run of n + 1 zeros (n up to 15), 1 .. 15 = a value in steps of (upper - lower) / 15.
 */

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
