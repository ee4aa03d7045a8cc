/**
 * A link between a leaf server and the hub, emulated in user space: a TCP proxy that gives each direction a rate, a delay
 * and jitter, and can be cut or frozen. Works unprivileged everywhere; `TrafficControl.ts` has the kernel's way.
 *
 * Per direction, shared by all connections of the link: a message leaves when the link is free and the bytes before it
 * are through, and arrives one delay later. Order is kept, nothing is lost while a connection lives.
 */
import { type AddressInfo, createServer, type Server, Socket, type SocketConstructorOpts } from "node:net"
import { Direction, type DirectionSettings, largestChunk } from "./Direction.ts"
import { Pipe } from "./Pipe.ts"

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
