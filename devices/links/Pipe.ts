/** One direction of one connection through an emulated link: holds what it is given until the link would have delivered it. */
import type { Socket } from "node:net"
import { type Direction, largestChunk } from "./Direction.ts"

/** Node's timers are up to 1 ms late, never early: what is due within this is sent now. */
const earlyMs = 0.3

/**
 * Senders are paused when the link is this far behind, and resumed when it has caught up to the lower mark: enough queue
 * to stay busy through a stalled event loop, little enough that a sender feels the rate.
 */
const pauseAtMs = 40
const resumeAtMs = 20

interface Parcel {
  readonly dueMs: number
  readonly bytes: Buffer
}

export class Pipe {
  /** What came, and has no place on the link yet: a rate that changes holds for it. */
  private unscheduled: Array<Buffer> = []
  private readonly queue: Array<Parcel> = []
  private head = 0
  private timer: NodeJS.Timeout | undefined
  private immediate: NodeJS.Immediate | undefined
  private resumeTimer: NodeJS.Timeout | undefined
  private isDraining = false
  private hasEnded = false
  private isFrozen = false
  private isClosed = false
  private readonly source: Socket
  private readonly sink: Socket
  private readonly direction: Direction
  private readonly spin: boolean

  constructor(source: Socket, sink: Socket, direction: Direction, spin: boolean) {
    this.source = source
    this.sink = sink
    this.direction = direction
    this.spin = spin
    source.on("data", (data: Buffer) => this.accept(data))
    source.on("end", () => {
      this.hasEnded = true
      this.wake()
    })
    sink.on("drain", () => {
      this.isDraining = false
      this.wake()
    })
  }

  freeze() {
    this.isFrozen = true
    this.sleep()
    this.source.pause()
  }

  thaw() {
    this.isFrozen = false
    if (this.resumeTimer === undefined) this.source.resume()
    this.wake()
  }

  close() {
    this.isClosed = true
    this.sleep()
    clearTimeout(this.resumeTimer)
  }

  private accept(data: Buffer) {
    if (data.length < largestChunk / 2) this.direction.waived()
    this.unscheduled.push(data)
    this.schedule()
    if (this.direction.backlogMs() > pauseAtMs) {
      this.source.pause()
      if (this.resumeTimer === undefined) this.resumeLater()
    }
    this.wake()
  }

  /** Gives what came its place on the link, as far as that is not too far behind. */
  private schedule() {
    for (let data = this.unscheduled.shift(); data !== undefined; data = this.unscheduled.shift()) {
      const bytes = data.subarray(0, this.direction.chunkBytes())
      this.queue.push({ dueMs: this.direction.schedule(bytes.length), bytes })
      if (bytes.length < data.length) this.unscheduled.unshift(data.subarray(bytes.length))
      if (this.direction.backlogMs() > pauseAtMs) return
    }
  }

  private resumeLater() {
    this.resumeTimer = setTimeout(
      () => {
        this.resumeTimer = undefined
        if (this.isClosed) return
        if (this.direction.backlogMs() <= resumeAtMs + 1) {
          this.direction.resumed()
          this.schedule()
          this.wake()
        }
        if (this.unscheduled.length > 0 || this.direction.backlogMs() > resumeAtMs + 1) this.resumeLater()
        else if (!this.isFrozen) this.source.resume()
      },
      Math.max(1, this.direction.backlogMs() - resumeAtMs),
    )
  }

  private sleep() {
    clearTimeout(this.timer)
    clearImmediate(this.immediate)
    this.timer = undefined
    this.immediate = undefined
  }

  /** Arms a timer for the next departure, or sends at once what is due. */
  private wake() {
    if (this.isClosed || this.isFrozen || this.isDraining) return
    if (this.timer !== undefined || this.immediate !== undefined) return
    const next = this.queue[this.head]
    if (next === undefined) {
      if (this.hasEnded && this.unscheduled.length === 0) this.sink.end()
      return
    }
    const waitMs = next.dueMs - performance.now()
    if (waitMs <= earlyMs) this.deliver()
    else if (this.spin && waitMs < 1.5) this.immediate = setImmediate(() => this.awake())
    else this.timer = setTimeout(() => this.awake(), Math.max(1, this.spin ? waitMs - 1 : Math.round(waitMs)))
  }

  private awake() {
    this.timer = undefined
    this.immediate = undefined
    this.wake()
  }

  private deliver() {
    const until = performance.now() + earlyMs
    const due: Array<Buffer> = []
    for (let parcel = this.queue[this.head]; parcel !== undefined; parcel = this.queue[this.head]) {
      if (parcel.dueMs > until) break
      due.push(parcel.bytes)
      this.head++
    }
    if (this.head > 256 || this.head === this.queue.length) {
      this.queue.splice(0, this.head)
      this.head = 0
    }
    const [first] = due
    if (first !== undefined) this.isDraining = !this.sink.write(due.length === 1 ? first : Buffer.concat(due))
    this.wake()
  }
}
