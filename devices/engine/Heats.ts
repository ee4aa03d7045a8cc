/**
 * How often each of many things was used lately: every use counts 1, and half after `halfLife` further uses of any of them.
 * Counted in uses, not in time: what nothing replaces stays warm over a night.
 */
interface Heat {
  readonly value: number
  /** The count of all uses when it had that value. */
  readonly at: number
}

export class Heats {
  readonly #heats = new Map<string, Heat>()
  readonly #halfLife: number
  readonly #capacity: number
  #uses = 0

  /** The coldest are forgotten where more than `capacity` keys have a heat. */
  constructor(halfLife: number, capacity = 2048) {
    this.#halfLife = halfLife
    this.#capacity = capacity
  }

  of(key: string): number {
    const heat = this.#heats.get(key)
    return heat === undefined ? 0 : heat.value * 2 ** ((heat.at - this.#uses) / this.#halfLife)
  }

  /** One more use. */
  warm(key: string): void {
    this.#uses++
    this.#heats.set(key, { value: this.of(key) + 1, at: this.#uses })
    if (this.#heats.size > this.#capacity) this.#forget()
  }

  /** Half of them, so that it is seldom done. */
  #forget(): void {
    const coldest = [...this.#heats.keys()].toSorted((a, b) => this.of(a) - this.of(b))
    for (const key of coldest.slice(0, this.#capacity / 2)) this.#heats.delete(key)
  }
}
