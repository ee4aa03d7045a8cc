/**
 * What writes AssemblyScript whose inner loops must be unrolled has in common: a v128 register cannot sit in an array, so
 * loops over registers are unrolled where the source is written (`DepthwiseSource.ts`, `ProductSource.ts`). The rest is ordinary
 * source in `assembly/`.
 */

export const range = (n: number): ReadonlyArray<number> => Array.from({ length: n }, (_, i) => i)
export const times = (n: number, line: (i: number) => string): string => range(n).map(line).join("\n")

/** A fused multiply-add is one instruction where the engine has relaxed SIMD (Node 22 has), two elsewhere. */
export interface Target {
  readonly relaxedSimd: boolean
}

export type AddProduct = (sum: string, a: string, b: string) => string
export const addProductFor =
  ({ relaxedSimd }: Target): AddProduct =>
  (sum, a, b) =>
    relaxedSimd
      ? `${sum} = f32x4.relaxed_madd(${a}, ${b}, ${sum})`
      : `${sum} = f32x4.add(${sum}, f32x4.mul(${a}, ${b}))`
