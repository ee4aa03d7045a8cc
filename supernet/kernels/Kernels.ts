/**
 * The kernels as typed functions over one WebAssembly memory, and an arena that hands out pieces of that memory.
 * Pointers are bytes; sizes and pitches are elements (float32). What each kernel computes is said in `assembly/`,
 * `DepthwiseSource.ts` and `ProductSource.ts`. None of them checks its arguments: `KernelNetwork` and `TfjsKernels` are the guards.
 */
import { compiledKernels } from "./Compile.ts"

export type Pointer = number
type Kernel = (...args: ReadonlyArray<number>) => void

const names = [
  "transpose",
  "addTransposed",
  "copyRows",
  "addRows",
  "addOuterDots",
  "regionSum",
  "regionScale",
  "regionDot",
  "regionScaleShift",
  "regionFill",
  "regionFakeQuantize",
  "roundToHalf",
  "im2col",
  "moments",
  "affine",
  "affineAdd",
  "gradientSums",
  "gradientInput",
  "addTo",
  "product",
  "transposedProduct",
  "depthwise3s1",
  "depthwise3s2",
  "depthwise5s1",
  "depthwise5s2",
  "depthwise7s1",
  "depthwise7s2",
  "depthwiseFilter3s1",
  "depthwiseFilter3s2",
  "depthwiseFilter5s1",
  "depthwiseFilter5s2",
  "depthwiseFilter7s1",
  "depthwiseFilter7s2",
  "depthwiseInput3s2",
  "depthwiseInput5s2",
  "depthwiseInput7s2",
] as const

export type KernelName = (typeof names)[number]
export type Kernels = Readonly<Record<KernelName, Kernel>>

/** Kernels bound to a memory: tfjs-wasm's heap, or one of our own. */
export const bindKernels = async (memory: WebAssembly.Memory): Promise<Kernels> => {
  const instance = await WebAssembly.instantiate(await compiledKernels(), { env: { memory } })
  const exported = instance.exports
  for (const name of names) {
    if (typeof exported[name] !== "function") throw new TypeError(`the kernel module lacks ${name}`)
  }
  return exported as Kernels
}

const pageBytes = 65_536
const maxPages = 65_536

/** A stack of float32 buffers in one memory: allocate forward, release back to a mark. Grows up to 4 GB. */
export class Arena {
  readonly memory: WebAssembly.Memory
  #top: Pointer

  constructor(memory: WebAssembly.Memory, start: Pointer = 64) {
    this.memory = memory
    this.#top = start
  }

  /** A buffer of `count` floats, 16-byte aligned, contents undefined. Gotcha: growing detaches existing views. */
  allocate(count: number): Pointer {
    const at = this.#top
    // Room for one vector beyond the end: kernels may load (never store) up to 16 bytes past it.
    this.#top = at + Math.ceil(count / 4) * 16 + 16
    const short = this.#top - this.memory.buffer.byteLength
    if (short > 0) this.memory.grow(Math.ceil(short / pageBytes))
    return at
  }

  allocateZeros(count: number): Pointer {
    const at = this.allocate(count)
    this.view(at, count).fill(0)
    return at
  }

  /** A view of `count` floats; valid until the next allocation. */
  view(at: Pointer, count: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, count)
  }

  mark(): Pointer {
    return this.#top
  }

  release(mark: Pointer): void {
    this.#top = mark
  }
}

/** Kernels with a memory of their own. */
export const standaloneKernels = async (): Promise<{ readonly kernels: Kernels; readonly arena: Arena }> => {
  const memory = new WebAssembly.Memory({ initial: 256, maximum: maxPages })
  return { kernels: await bindKernels(memory), arena: new Arena(memory) }
}
