/** A seeded random source for pure code (sampling, search, data order). Effect code uses Effect's own `Random`. */

export interface Random {
  /** Uniform in [0, 1). */
  readonly next: () => number
}

/** mulberry32: 32 bits of state, passes the usual small-crush tests; enough for sampling, not for secrets. */
export const seededRandom = (seed: number): Random => {
  let state = seed >>> 0
  return {
    next: () => {
      state = (state + 0x6d2b79f5) >>> 0
      let t = state
      t = Math.imul(t ^ (t >>> 15), t | 1)
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296
    },
  }
}

/** Uniform integer in [0, n). */
export const below = (random: Random, n: number): number => Math.floor(random.next() * n)

/** Uniform element of a non-empty list. */
export const pick = <A>(random: Random, values: ReadonlyArray<A>): A => {
  const value = values[below(random, values.length)]
  if (value === undefined) throw new RangeError("pick from an empty list")
  return value
}

/** Standard normal (Box-Muller). */
export const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())

/** A new array in random order (Fisher-Yates). */
export const shuffled = <A>(random: Random, values: ReadonlyArray<A>): Array<A> => {
  const out = [...values]
  for (let i = out.length - 1; i > 0; i--) {
    const j = below(random, i + 1)
    ;[out[i], out[j]] = [out[j] as A, out[i] as A]
  }
  return out
}
