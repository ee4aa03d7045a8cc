/** Softmax cross entropy against soft targets: smoothed labels, a teacher's probabilities, or a mix of both. */

export const softmax = (logits: Float32Array, classes: number): Float32Array => {
  const out = new Float32Array(logits.length)
  for (let at = 0; at < logits.length; at += classes) {
    let top = -Infinity
    for (let c = 0; c < classes; c++) top = Math.max(top, logits[at + c]!)
    let sum = 0
    for (let c = 0; c < classes; c++) sum += out[at + c] = Math.exp(logits[at + c]! - top)
    for (let c = 0; c < classes; c++) out[at + c] = out[at + c]! / sum
  }
  return out
}

/**
 * One row of targets per image: its label, and where the image kept only a share of itself (`kept`, CutMix) the next image's label
 * for the rest.
 */
export const smoothedLabels = (
  labels: ReadonlyArray<number>,
  classes: number,
  smoothing: number,
  kept?: ReadonlyArray<number>,
): Float32Array => {
  const out = new Float32Array(labels.length * classes).fill(smoothing / classes)
  for (const [i, label] of labels.entries()) {
    const own = kept?.[i] ?? 1
    out[i * classes + label]! += (1 - smoothing) * own
    if (own < 1) out[i * classes + labels[i + 1]!]! += (1 - smoothing) * (1 - own)
  }
  return out
}

/** share * a + (1 - share) * b */
export const mixTargets = (a: Float32Array, b: Float32Array, share: number): Float32Array =>
  a.map((v, i) => share * v + (1 - share) * b[i]!)

export interface LossResult {
  /** Mean over images. */
  readonly loss: number
  readonly probabilities: Float32Array
  /** Gradient of the mean loss times `weight`. */
  readonly dLogits: Float32Array
}

export const crossEntropy = (
  logits: Float32Array,
  targets: Float32Array,
  classes: number,
  weight = 1,
): LossResult => {
  const probabilities = softmax(logits, classes)
  const images = logits.length / classes
  const dLogits = new Float32Array(logits.length)
  let loss = 0
  for (let i = 0; i < logits.length; i++) {
    loss -= targets[i]! * Math.log(Math.max(1e-12, probabilities[i]!))
    dLogits[i] = ((probabilities[i]! - targets[i]!) * weight) / images
  }
  return { loss: loss / images, probabilities, dLogits }
}

export const correctCount = (
  logits: Float32Array,
  labels: ReadonlyArray<number>,
  classes: number,
): number => {
  let correct = 0
  for (const [i, label] of labels.entries()) {
    let best = 0
    for (let c = 1; c < classes; c++) if (logits[i * classes + c]! > logits[i * classes + best]!) best = c
    if (best === label) correct++
  }
  return correct
}
