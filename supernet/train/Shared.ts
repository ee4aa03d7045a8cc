/** Memory that all training workers share, and the barrier that keeps them in step. */
import type { OptimizerState } from "./Optimizer.ts"

/** Everything a worker needs to join: posted to it when it starts. */
export interface SharedBuffers {
  readonly parameters: SharedArrayBuffer
  readonly momentum: SharedArrayBuffer
  readonly variance: SharedArrayBuffer
  readonly average: SharedArrayBuffer
  readonly decays: SharedArrayBuffer
  /** One gradient vector per worker. */
  readonly gradients: ReadonlyArray<SharedArrayBuffer>
  /** Int32: barrier count, barrier generation, stop request, lock, then the counters of free workers. */
  readonly control: SharedArrayBuffer
  /** Float64: what worker 0 tells the others before each update. */
  readonly schedule: SharedArrayBuffer
}

export const sharedBuffers = (size: number, workers: number): SharedBuffers => {
  const floats = () => new SharedArrayBuffer(size * 4)
  return {
    parameters: floats(),
    momentum: floats(),
    variance: floats(),
    average: floats(),
    decays: new SharedArrayBuffer(size),
    gradients: Array.from({ length: workers }, floats),
    control: new SharedArrayBuffer(64),
    schedule: new SharedArrayBuffer((4 + 2 * workers) * 8),
  }
}

export const optimizerState = (shared: SharedBuffers): OptimizerState => ({
  parameters: new Float32Array(shared.parameters),
  momentum: new Float32Array(shared.momentum),
  variance: new Float32Array(shared.variance),
  average: new Float32Array(shared.average),
  decays: new Uint8Array(shared.decays),
})

const [countAt, generationAt, stopAt, lockAt] = [0, 1, 2, 3] as const

/** Blocks the calling thread until all workers are there. */
export const barrier = (control: Int32Array, workers: number): void => {
  const generation = Atomics.load(control, generationAt)
  if (Atomics.add(control, countAt, 1) === workers - 1) {
    Atomics.store(control, countAt, 0)
    Atomics.add(control, generationAt, 1)
    Atomics.notify(control, generationAt)
    return
  }
  while (Atomics.load(control, generationAt) === generation) Atomics.wait(control, generationAt, generation)
}

/** Runs `f` while no other worker is inside `withLock`. Held for milliseconds; not reentrant. */
export const withLock = <A>(control: Int32Array, f: () => A): A => {
  while (Atomics.compareExchange(control, lockAt, 0, 1) !== 0) Atomics.wait(control, lockAt, 1)
  try {
    return f()
  } finally {
    Atomics.store(control, lockAt, 0)
    Atomics.notify(control, lockAt, 1)
  }
}

/** A number that workers count together. */
export class Counter {
  readonly #control: Int32Array
  readonly #at: number

  constructor(control: Int32Array, at: number) {
    this.#control = control
    this.#at = at
  }

  get value(): number {
    return Atomics.load(this.#control, this.#at)
  }

  set(value: number): void {
    Atomics.store(this.#control, this.#at, value)
  }

  /** Adds and returns the value before. */
  add(n: number): number {
    return Atomics.add(this.#control, this.#at, n)
  }
}

export const requestStop = (control: Int32Array): void => {
  Atomics.store(control, stopAt, 1)
}
export const stopRequested = (control: Int32Array): boolean => Atomics.load(control, stopAt) === 1

/** The part of a vector that worker `index` updates; whole vectors of four. */
export const shareOf = (size: number, index: number, workers: number): readonly [number, number] => {
  const part = Math.ceil(size / workers / 4) * 4
  return [Math.min(size, index * part), Math.min(size, (index + 1) * part)]
}
