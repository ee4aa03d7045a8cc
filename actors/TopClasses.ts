/** Logits -> the k most probable classes, best first, with softmax probabilities. */
import type { ClassScore } from "../subjects/InferMessages.ts"

export const topClasses = (
  logits: ArrayLike<number>,
  names: ReadonlyArray<string>,
  k: number,
): ReadonlyArray<ClassScore> => {
  const values = Array.from(logits)
  const max = Math.max(...values)
  const powers = values.map((v) => Math.exp(v - max))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers
    .map((p, index) => ({ index, name: names[index] ?? `class ${index}`, probability: p / sum }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, k)
}
