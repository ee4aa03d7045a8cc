/** Writes the AssemblyScript of the matrix products, plain and transposed. */
import { type AddProduct, addProductFor, type Target, times } from "./Unroll.ts"

/** Rows of the output computed at once, times 8 columns: 8 accumulators; a 6 x 8 tile spills registers (14 GFLOPS). */
const productTile = (add: AddProduct, rows: number): string => `{
  let n = 0
  for (; n + 8 <= columns; n += 8) {
    ${times(rows, (i) => `let u${i} = f32x4.splat(0), v${i} = f32x4.splat(0)`)}
    let wp = w + ((<usize>n) << 2), xp = x0
    while (xp < x0 + inPitch) {
      const a = v128.load(wp), b = v128.load(wp, 16)
      ${times(
        rows,
        (i) => `{ const s = v128.load32_splat(xp + ${i} * inPitch)
      ${add(`u${i}`, "s", "a")}
      ${add(`v${i}`, "s", "b")} }`,
      )}
      xp += 4
      wp += outPitch
    }
    const yp = y0 + ((<usize>n) << 2)
    ${times(rows, (i) => `v128.store(yp + ${i} * outPitch, u${i})\nv128.store(yp + ${i} * outPitch, v${i}, 16)`)}
  }
  for (; n < columns; n += 4) {
    ${times(rows, (i) => `let u${i} = f32x4.splat(0)`)}
    let wp = w + ((<usize>n) << 2), xp = x0
    while (xp < x0 + inPitch) {
      const a = v128.load(wp)
      ${times(rows, (i) => add(`u${i}`, `v128.load32_splat(xp + ${i} * inPitch)`, "a"))}
      xp += 4
      wp += outPitch
    }
    const yp = y0 + ((<usize>n) << 2)
    ${times(rows, (i) => `v128.store(yp + ${i} * outPitch, u${i})`)}
  }
}`

const transposedTile = (add: AddProduct, columns: 4 | 8): string => {
  const halves = columns === 8 ? ["u", "v"] : ["u"]
  const each = (line: (half: string, offset: number, i: number) => string) =>
    times(4, (i) => halves.map((half, h) => line(half, h * 16, i)).join("\n"))
  return `
    const op = out + ((<usize>(m * columns + n)) << 2)
    ${each((half, offset, i) => `let ${half}${i} = v128.load(op + ${i} * bPitch, ${offset})`)}
    let ap = a0 + ((<usize>m) << 2), bp = b0 + ((<usize>n) << 2)
    for (let r = r0; r < r1; r++) {
      ${halves.map((half, h) => `const ${half} = v128.load(bp, ${h * 16})`).join("\n")}
      ${times(
        4,
        (i) => `{ const s = v128.load32_splat(ap, ${4 * i})
      ${halves.map((half) => add(`${half}${i}`, "s", half)).join("\n")} }`,
      )}
      ap += aPitch
      bp += bPitch
    }
    ${each((half, offset, i) => `v128.store(op + ${i} * bPitch, ${half}${i}, ${offset})`)}
`
}

export const productSource = (target: Target): string => {
  const add = addProductFor(target)
  return `
/** y[rows, columns] = x[rows, inner] w[inner, columns]; columns a multiple of 4. */
export function product(x: usize, w: usize, y: usize, rows: i32, inner: i32, columns: i32): void {
  const inPitch = (<usize>inner) << 2, outPitch = (<usize>columns) << 2
  let x0 = x, y0 = y
  let r = 0
  for (; r + 4 <= rows; r += 4) {
    ${productTile(add, 4)}
    x0 += 4 * inPitch
    y0 += 4 * outPitch
  }
  for (; r < rows; r++) {
    ${productTile(add, 1)}
    x0 += inPitch
    y0 += outPitch
  }
}

/** out[inner, columns] = transposed a[rows, inner] times b[rows, columns]; inner and columns multiples of 4. */
export function transposedProduct(a: usize, b: usize, out: usize, rows: i32, inner: i32, columns: i32): void {
  memory.fill(out, 0, (<usize>(inner * columns)) << 2)
  const aPitch = (<usize>inner) << 2, bPitch = (<usize>columns) << 2
  // Rows per block: a's and b's parts stay in the first-level cache while the output tiles are swept.
  const rowBlock = max(32, min(512, 8192 / (inner + columns)))
  for (let r0 = 0; r0 < rows; r0 += rowBlock) {
    const r1 = min(rows, r0 + rowBlock)
    const a0 = a + <usize>r0 * aPitch, b0 = b + <usize>r0 * bPitch
    for (let m = 0; m < inner; m += 4) {
      let n = 0
      for (; n + 8 <= columns; n += 8) {${transposedTile(add, 8)}}
      for (; n < columns; n += 4) {${transposedTile(add, 4)}}
    }
  }
}
`
}
