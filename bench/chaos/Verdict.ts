/**
 * Whether answers are right: the logits of every reply against the evaluation, in one session of this process, of the very
 * strategy that the reply names, on the same picture.
 */
import { Effect } from "effect"
import { decodeImage } from "../../actors/Image.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"
import type { Supernet } from "../../supernet/Artifact.ts"
import { Reference } from "../../supernet/Reference.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import type { Outcome } from "./Traffic.ts"

/** Of the largest logit. Float32 sums in another order. */
export const exact = 1e-4
/** Where values were rounded for the bus, a difference in the last bit can move one to the next step of its scale. */
const rounded = 0.05

export interface Verdict {
  readonly answers: number
  /** Of them: an answer that does not name its strategy cannot be. */
  readonly checked: number
  readonly strategies: number
  readonly wrong: ReadonlyArray<string>
  /** Largest relative difference of strategies that round nothing. */
  readonly worstExact: number
}

const isExact = (strategy: Strategy): boolean => strategy.blocks.every((b, i) => i === 0 || b.bits === 32)

/** Largest difference of two rows of logits, relative to the largest expected one; infinite where they cannot be compared. */
export const difference = (got: ReadonlyArray<number>, expected: ArrayLike<number>): number => {
  let [most, scale] = [0, 0]
  for (const [i, v] of Array.from(expected).entries()) {
    most = Math.max(most, Math.abs(v - (got[i] ?? Number.NaN)))
    scale = Math.max(scale, Math.abs(v))
  }
  return got.length === expected.length && !Number.isNaN(most) ? most / scale : Infinity
}

interface Named {
  readonly strategy: Strategy
  readonly replies: Array<{ readonly picture: number; readonly reply: InferReply }>
}

/** One session per strategy that any reply names, all pictures at once. */
export const verify = async (
  supernet: Supernet,
  pictures: ReadonlyArray<Uint8Array>,
  outcomes: ReadonlyArray<Outcome>,
): Promise<Verdict> => {
  const reference = new Reference(supernet.spec, supernet.weights)
  const named = new Map<string, Named>()
  let answers = 0
  for (const { wish, end } of outcomes) {
    if (end.kind !== "answer") continue
    answers++
    if (end.reply.strategy === undefined) continue
    const known = named.get(end.reply.strategyId) ?? { strategy: end.reply.strategy, replies: [] }
    known.replies.push({ picture: wish.picture, reply: end.reply })
    named.set(end.reply.strategyId, known)
  }
  const wrong: Array<string> = []
  let [checked, worstExact] = [0, 0]
  for (const [id, { strategy, replies }] of named) {
    const expected = await expectedLogits(reference, strategy, pictures)
    const bound = isExact(strategy) ? exact : rounded
    for (const { picture, reply } of replies) {
      const off = difference(reply.logits ?? [], expected[picture] ?? new Float32Array())
      checked++
      if (isExact(strategy)) worstExact = Math.max(worstExact, off)
      if (off > bound) wrong.push(`strategy ${id}, picture ${picture}: off by ${off.toExponential(1)}`)
    }
  }
  return { answers, checked, strategies: named.size, wrong, worstExact }
}

const expectedLogits = async (
  reference: Reference,
  strategy: Strategy,
  pictures: ReadonlyArray<Uint8Array>,
): Promise<ReadonlyArray<Float32Array>> => {
  const size = strategy.submodel.resolution
  const decoded = await Promise.all(pictures.map((p) => Effect.runPromise(decodeImage(p, size))))
  const pixels = new Uint8Array(decoded.length * size * size * 3)
  for (const [i, d] of decoded.entries()) pixels.set(d, i * size * size * 3)
  const logits = await reference.evaluate(strategy, { count: decoded.length, size, pixels })
  const classes = logits.length / decoded.length
  return decoded.map((_, i) => logits.subarray(i * classes, (i + 1) * classes))
}
