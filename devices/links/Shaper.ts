/**
 * A link between a leaf server and the hub, emulated in user space: a TCP proxy that gives each direction a rate, a delay
 * and jitter, and can be cut or frozen. Works unprivileged everywhere; `TrafficControl.ts` has the kernel's way.
 *
 * Per direction, shared by all connections of the link: a message leaves when the link is free and the bytes before it
 * are through, and arrives one delay later. Order is kept, nothing is lost while a connection lives.
 */
import { type AddressInfo, createServer, type Server, Socket, type SocketConstructorOpts } from "node:net"

export interface DirectionSettings {
  /** Infinity: not limited. */
  readonly mbps: number
  /** One way. */
  readonly delayMs: number
  /** Uniform extra delay up to this; never reorders. */
  readonly jitterMs: number
}

export interface ShaperSettings {
  /** Leaf to hub, and back. */
  readonly up: DirectionSettings
  readonly down: DirectionSettings
}

/** open: passes data. cut: refuses and closes connections. frozen: accepts everything, passes nothing, loses nothing. */
export type ShaperMode = "open" | "cut" | "frozen"

export interface ShaperOptions {
  readonly target: { readonly host: string; readonly port: number }
  readonly settings: ShaperSettings
  /** 0 = any free port. */
  readonly port?: number
  readonly host?: string
  /**
   * Poll during the last millisecond before a departure instead of trusting timers: exact to 0.2 ms, but up to a whole
   * core per busy link. Without it, timers add 0 to 1 ms.
   */
  readonly spin?: boolean
  /** Jitter's source of chance, uniform in [0, 1). */
  readonly random?: () => number
}

export interface ShaperStats {
  readonly mode: ShaperMode
  readonly connections: number
  readonly upBytes: number
  readonly downBytes: number
  /** How far behind the link is with what it has accepted. */
  readonly upBacklogMs: number
  readonly downBacklogMs: number
}

export const unlimited: DirectionSettings = { mbps: Infinity, delayMs: 0, jitterMs: 0 }

const largestChunk = 65_536
const segmentBytes = 1460
/** Node's timers are up to 1 ms late, never early: what is due within this is sent now. */
const earlyMs = 0.3

/** One direction of the link: when bytes that arrive now may leave at the other end. */
class Direction {
  settings: DirectionSettings
  bytes = 0
  private freeMs = 0
  private lastMs = 0
  private owed = { ms: 0, untilMs: 0 }
  private readonly random: () => number

  constructor(settings: DirectionSettings, random: () => number) {
    this.settings = settings
    this.random = random
  }

  /** Time on `performance.now()`'s clock at which `bytes` are at the other end. */
  schedule(bytes: number): number {
    const { mbps, delayMs, jitterMs } = this.settings
    const nowMs = performance.now()
    const fromMs = nowMs < this.owed.untilMs ? nowMs - this.owed.ms : nowMs
    this.waived()
    this.freeMs = Math.max(fromMs, this.freeMs) + (bytes * 8) / (mbps * 1000)
    this.bytes += bytes
    this.lastMs = Math.max(this.lastMs, this.freeMs + delayMs + (jitterMs > 0 ? jitterMs * this.random() : 0))
    return this.lastMs
  }

  /**
   * A sender may go on after a pause. Where this process was late with that the link stood idle meanwhile, which a real one
   * would not have: the time is made up for, if the sender turns out to have waited.
   */
  resumed() {
    const nowMs = performance.now()
    this.owed = { ms: Math.max(0, Math.min(mostOwedMs, nowMs - this.freeMs)), untilMs: nowMs + owedForMs }
  }

  /** The sender had nothing to send: its link stood idle by right. */
  waived() {
    this.owed = { ms: 0, untilMs: 0 }
  }

  /** For what arrives from now on: what the link has accepted keeps its schedule (at most some 50 ms of it). */
  change(settings: DirectionSettings) {
    this.settings = settings
  }

  backlogMs(): number {
    return Math.max(0, this.freeMs - performance.now())
  }

  /** About a millisecond's worth: small enough to keep the rate smooth, large enough to be cheap. */
  chunkBytes(): number {
    const perMs = (this.settings.mbps * 1000) / 8
    return Math.max(segmentBytes, Math.min(largestChunk, Math.floor(perMs)))
  }
}

/**
 * Senders are paused when the link is this far behind, and resumed when it has caught up to the lower mark: enough queue
 * to stay busy through a stalled event loop, little enough that a sender feels the rate.
 */
const pauseAtMs = 40
const resumeAtMs = 20
/** Lateness that is made up for, and how soon a sender that waited is heard from. */
const mostOwedMs = 100
const owedForMs = 5

interface Parcel {
  readonly dueMs: number
  readonly bytes: Buffer
}

/** One direction of one connection. */
class Pipe {
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
    const chunk = this.direction.chunkBytes()
    if (data.length < largestChunk / 2) this.direction.waived()
    for (let at = 0; at < data.length; at += chunk) {
      const bytes = data.subarray(at, at + chunk)
      this.queue.push({ dueMs: this.direction.schedule(bytes.length), bytes })
    }
    if (this.direction.backlogMs() > pauseAtMs) {
      this.source.pause()
      this.resumeLater()
    }
    this.wake()
  }

  private resumeLater() {
    this.resumeTimer = setTimeout(
      () => {
        this.resumeTimer = undefined
        if (this.direction.backlogMs() > resumeAtMs + 1) this.resumeLater()
        else if (!this.isFrozen && !this.isClosed) {
          this.direction.resumed()
          this.source.resume()
        }
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
      if (this.hasEnded) this.sink.end()
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

/** Node takes a buffer size here; its types do not say so. */
const socketOptions: SocketConstructorOpts & { readonly highWaterMark: number } = {
  allowHalfOpen: true,
  highWaterMark: largestChunk,
}

interface Connection {
  readonly near: Socket
  readonly far: Socket
  readonly pipes: ReadonlyArray<Pipe>
}

export class LinkShaper {
  mode: ShaperMode = "open"
  private readonly options: ShaperOptions
  private readonly up: Direction
  private readonly down: Direction
  private readonly connections = new Set<Connection>()
  private readonly server: Server
  /** Sockets accepted while frozen: connected on thaw. */
  private readonly waiting = new Set<Socket>()

  constructor(options: ShaperOptions) {
    this.options = options
    const random = options.random ?? Math.random
    this.up = new Direction(options.settings.up, random)
    this.down = new Direction(options.settings.down, random)
    this.server = createServer({ highWaterMark: largestChunk, allowHalfOpen: true }, (near) =>
      this.accept(near),
    )
  }

  /** Starts accepting; resolves to the port. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject)
      this.server.listen(this.options.port ?? 0, this.options.host ?? "127.0.0.1", () => {
        resolve((this.server.address() as AddressInfo).port)
      })
    })
  }

  /** Changes what is given and leaves the rest. */
  set(change: { readonly up?: Partial<DirectionSettings>; readonly down?: Partial<DirectionSettings> }) {
    if (change.up !== undefined) this.up.change({ ...this.up.settings, ...change.up })
    if (change.down !== undefined) this.down.change({ ...this.down.settings, ...change.down })
  }

  get settings(): ShaperSettings {
    return { up: this.up.settings, down: this.down.settings }
  }

  /** Closes all connections and refuses new ones: a cable pulled, noticed at once. */
  cut() {
    this.mode = "cut"
    for (const c of this.connections) this.drop(c)
    for (const socket of this.waiting) socket.destroy()
    this.waiting.clear()
  }

  /** Passes nothing, closes nothing: a radio shadow, noticed only by timeouts. Data goes on after `restore`. */
  freeze() {
    if (this.mode !== "open") return
    this.mode = "frozen"
    for (const c of this.connections) for (const pipe of c.pipes) pipe.freeze()
  }

  restore() {
    const was = this.mode
    this.mode = "open"
    if (was !== "frozen") return
    for (const c of this.connections) for (const pipe of c.pipes) pipe.thaw()
    for (const socket of this.waiting) this.join(socket)
    this.waiting.clear()
  }

  stats(): ShaperStats {
    return {
      mode: this.mode,
      connections: this.connections.size,
      upBytes: this.up.bytes,
      downBytes: this.down.bytes,
      upBacklogMs: this.up.backlogMs(),
      downBacklogMs: this.down.backlogMs(),
    }
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.server.close(resolve))
  }

  private accept(near: Socket) {
    near.on("error", () => near.destroy())
    if (this.mode === "cut") near.destroy()
    else if (this.mode === "frozen") {
      near.pause()
      this.waiting.add(near)
      near.once("close", () => this.waiting.delete(near))
    } else this.join(near)
  }

  private join(near: Socket) {
    const { target } = this.options
    const far = new Socket(socketOptions).connect(target)
    near.setNoDelay(true)
    far.setNoDelay(true)
    const spin = this.options.spin ?? false
    const pipes = [new Pipe(near, far, this.up, spin), new Pipe(far, near, this.down, spin)]
    const connection = { near, far, pipes }
    this.connections.add(connection)
    // Paused if it came while the link was frozen.
    near.resume()
    for (const socket of [near, far]) {
      socket.on("error", () => this.drop(connection))
      socket.on("close", () => {
        if (near.destroyed && far.destroyed) this.drop(connection)
        else if (socket.errored !== null || !socket.readableEnded) this.drop(connection)
      })
    }
  }

  private drop(connection: Connection) {
    this.connections.delete(connection)
    for (const pipe of connection.pipes) pipe.close()
    connection.near.destroy()
    connection.far.destroy()
  }
}
