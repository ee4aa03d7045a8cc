/**
 * `bench wire`: what it costs to bring a tile from one device to another: encode, publish, receive, decode and check, over
 * leaf - hub - leaf with all permissions, beside one gRPC hop (`@grpc/grpc-js`) with the same bytes in the same run.
 */
import { fork, type ChildProcess } from "node:child_process"
import { cpus, getPriority, loadavg } from "node:os"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer } from "effect"
import { Client, credentials } from "@grpc/grpc-js"
import { collectRarely } from "../actors/Garbage.ts"
import { localSwarm } from "../deploy/LocalSwarm.ts"
import { Bus, type BusOptions, type BusShape } from "../subjects/Bus.ts"
import { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import { encodeTileChunk, type Tile } from "../subjects/TileCodec.ts"
import { makeTileSender, type TileSender } from "../subjects/TileSender.ts"
import { below, seededRandom, shuffled } from "../supernet/Random.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"
import { type FromReceiver, grpcMaxBytes, grpcPath, type ToReceiver } from "./WireReceiver.ts"

const sizesKb = [10, 75, 300, 800] as const
const [sender, receiver] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const sendLimit = { timeoutMs: 30_000 }
/** Tiles under way at once in the bulk rounds. */
const inFlight = 6

/** A way to bring one tile over, resolving when the receiver has confirmed it. */
interface Route {
  readonly name: string
  readonly send: (tile: Tile) => Promise<void>
}

interface Timings {
  readonly hopMs: Array<number>
  readonly roundMs: Array<number>
  readonly mbPerS: Array<number>
}

const nowNs = () => process.hrtime.bigint()
const msBetween = (from: bigint, to: bigint) => Number(to - from) / 1e6

const tileOf = (kb: number, edge: number, values: Uint8Array): Tile => ({
  requestId: RequestId.make("wire"),
  attempt: 0,
  strategyId: "0123456789abcdef",
  edge,
  shape: [kb, 25, 40],
  bits: 8,
  scale: 0.02,
  zeroPoint: 128,
  budgetMs: 0,
  bytes: values.subarray(0, kb * 1000),
})

const busRoute = (name: string, tiles: TileSender): Route => ({
  name,
  send: async (tile) => {
    await Effect.runPromise(tiles.send(receiver, tile, sendLimit))
  },
})

const grpcRoute = (port: number): Route => {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.max_send_message_length": grpcMaxBytes,
  })
  const serialize = (tile: Tile) =>
    Buffer.from(encodeTileChunk({ ...tile, total: tile.bytes.length, offset: 0 }))
  return {
    name: "gRPC, one hop",
    send: (tile) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          grpcPath,
          serialize,
          (b: Buffer) => b,
          tile,
          (error) => (error === null ? resolve() : reject(error)),
        )
      }),
  }
}

/** The child process, asked and answered one message at a time. */
const receiverProcess = () => {
  const path = fileURLToPath(new URL("./WireReceiver.ts", import.meta.url))
  const child: ChildProcess = fork(path, { execArgv: ["--disable-warning=ExperimentalWarning"] })
  const ask = (message: ToReceiver) =>
    new Promise<FromReceiver>((resolve) => {
      child.once("message", (answer: FromReceiver) => resolve(answer))
      child.send(message)
    })
  const arrivals = async () => {
    const answer = await ask({ _tag: "Collect" })
    return new Map(answer._tag === "Arrivals" ? answer.at.map(([edge, at]) => [edge, BigInt(at)]) : [])
  }
  return { ask, arrivals, stop: () => child.disconnect() }
}

class Meter {
  private edge = 0
  private readonly values: Uint8Array
  private readonly arrivals: () => Promise<ReadonlyMap<number, bigint>>

  constructor(values: Uint8Array, arrivals: () => Promise<ReadonlyMap<number, bigint>>) {
    this.values = values
    this.arrivals = arrivals
  }

  /** A number that no tile had before, so that no receiver takes it for a repetition. */
  private next(kb: number): Tile {
    this.edge = (this.edge + 1) % 65_536
    return tileOf(kb, this.edge, this.values)
  }

  /** One at a time: how long until the tile is in the receiver's hand, and until the sender knows. */
  async single(route: Route, kb: number, count: number, into: Timings): Promise<void> {
    const sent = new Map<number, bigint>()
    for (let i = 0; i < count; i++) {
      const tile = this.next(kb)
      const began = nowNs()
      sent.set(tile.edge, began)
      await route.send(tile)
      into.roundMs.push(msBetween(began, nowNs()))
    }
    for (const [edge, at] of await this.arrivals()) {
      const began = sent.get(edge)
      if (began !== undefined) into.hopMs.push(msBetween(began, at))
    }
  }

  /** Several in flight: payload bytes per second. */
  async bulk(route: Route, kb: number, count: number, into: Timings): Promise<void> {
    const began = nowNs()
    let left = count
    const lane = async () => {
      while (left-- > 0) await route.send(this.next(kb))
    }
    await Promise.all(Array.from({ length: inFlight }, lane))
    into.mbPerS.push((count * kb) / 1000 / (msBetween(began, nowNs()) / 1000))
    await this.arrivals()
  }
}

const measure = async (meter: Meter, routes: ReadonlyArray<Route>, o: BenchOptions) => {
  const random = seededRandom(o.seed)
  const rounds = o.quick ? 3 : 12
  const timings = new Map<string, Timings>()
  const of = (route: Route, kb: number): Timings => {
    const key = `${route.name} ${kb}`
    const known = timings.get(key) ?? { hopMs: [], roundMs: [], mbPerS: [] }
    timings.set(key, known)
    return known
  }
  const rubbish = (): Timings => ({ hopMs: [], roundMs: [], mbPerS: [] })
  // Warm-up: connections, JIT on both sides, pools.
  for (const route of routes) for (const kb of sizesKb) await meter.single(route, kb, 60, rubbish())
  for (let round = 0; round < rounds; round++) {
    for (const kb of shuffled(random, sizesKb)) {
      for (const route of shuffled(random, routes)) await meter.single(route, kb, 25, of(route, kb))
    }
    for (const kb of [75, 800]) {
      const count = Math.round(20_000 / kb)
      for (const route of shuffled(random, routes)) await meter.bulk(route, kb, count, of(route, kb))
    }
  }
  return of
}

const rowsOf = (
  routes: ReadonlyArray<Route>,
  of: (route: Route, kb: number) => Timings,
): ReadonlyArray<Row> =>
  sizesKb.flatMap((kb) =>
    routes.map((route) => {
      const t = of(route, kb)
      return {
        tile_kb: kb,
        route: route.name,
        hop_p50_ms: median(t.hopMs),
        hop_p95_ms: quantile(t.hopMs, 0.95),
        confirmed_p50_ms: median(t.roundMs),
        ...(t.mbPerS.length === 0 ? {} : { bulk_mb_s: median(t.mbPerS) }),
        samples: t.hopMs.length,
      }
    }),
  )

const connected = (options: BusOptions) =>
  Effect.map(Layer.build(Layer.fresh(Bus.layer(options))), (c): BusShape => Context.get(c, Bus))

const program = (o: BenchOptions) =>
  Effect.gen(function* () {
    const swarm = yield* localSwarm([sender, receiver])
    const child = yield* Effect.acquireRelease(Effect.sync(receiverProcess), (c) => Effect.sync(c.stop))
    const leafOfReceiver = swarm.deviceOptions(receiver)
    const begin = { _tag: "Start", bus: leafOfReceiver, device: receiver } as const
    const ready = yield* Effect.promise(() => child.ask(begin))
    const grpcPort = ready._tag === "Ready" ? ready.grpcPort : 0
    const across = yield* connected(swarm.deviceOptions(sender))
    // A device that sits at the receiver's own leaf: one server between, the bare cost of the bus.
    const beside = yield* connected(leafOfReceiver)
    const sendAcross = yield* Effect.provideService(makeTileSender({ device: sender }), Bus, across)
    const sendBeside = yield* Effect.provideService(makeTileSender({ device: sender }), Bus, beside)
    const routes = [
      busRoute("NATS, leaf-hub-leaf", sendAcross),
      busRoute("NATS, one server", sendBeside),
      grpcRoute(grpcPort),
    ]
    const random = seededRandom(o.seed)
    const values = Uint8Array.from({ length: 800_000 }, () => below(random, 256))
    const meter = new Meter(values, child.arrivals)
    const of = yield* Effect.promise(() => measure(meter, routes, o))
    return { routes, of }
  }).pipe(Effect.scoped)

const run = async (options: BenchOptions): Promise<BenchResult> => {
  // As a device does, for all routes alike.
  collectRarely()
  const load = (loadavg()[0] ?? 0).toFixed(1)
  const { routes, of } = await Effect.runPromise(program(options))
  const [across, , grpc] = routes as [Route, Route, Route]
  const ratio = (pick: (t: Timings) => ReadonlyArray<number>, kb: number) =>
    median(pick(of(across, kb))) / median(pick(of(grpc, kb)))
  return {
    kind: "measured",
    rows: rowsOf(routes, of),
    checks: [
      { name: "hop75k_over_grpc", value: ratio((t) => t.hopMs, 75), op: "<=", bound: 1.5 },
      { name: "bulk_mb_s_ratio", value: ratio((t) => t.mbPerS, 800), op: ">=", bound: 0.6 },
    ],
    notes: [
      "hop = from before encoding at the sender to decoded, checked and assembled at the receiver; one machine, loopback,",
      "hub, two leaves, sender and receiver as separate processes with the deployed permissions",
      `load average of the machine before the run: ${load} on ${cpus().length} cores; priority (nice) ${getPriority()}`,
      `bulk = ${inFlight} tiles in flight, each confirmed; tiles above 96 to 256 KiB travel in chunks on NATS, by the speed seen, and whole on gRPC`,
    ],
  }
}

export const bench: BenchModule = {
  name: "wire",
  proves: "tiles cross the bus (leaf, hub, leaf) nearly as fast as one gRPC hop carries the same bytes",
  takes: "1 minute",
  run,
}
