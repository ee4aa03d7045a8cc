/** The emulated link against what it was set to: rate and one-way delay over a grid, with and without spinning. */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { type ShapedLink, startShaper } from "../devices/links/ShaperProcess.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile } from "./Bench.ts"

const rates = [5, 50, 500]
const delays = [0, 5, 20, 100]

interface Arrival {
  readonly firstMs: number
  readonly lastMs: number
  readonly firstBytes: number
  readonly bytes: number
}

/** Echoes single bytes (pings); swallows anything longer and reports when it came. */
const sink = async (): Promise<{
  server: Server
  port: number
  bulk: (bytes: number) => Promise<Arrival>
}> => {
  let expected = 0
  let deliver: (a: Arrival) => void = () => undefined
  const server = createServer((socket) => {
    let received = 0
    let first: { ms: number; bytes: number } | undefined
    socket.setNoDelay(true)
    socket.on("error", () => socket.destroy())
    socket.on("data", (data: Buffer) => {
      if (expected === 0) {
        socket.write(data)
        return
      }
      received += data.length
      first ??= { ms: performance.now(), bytes: data.length }
      if (received < expected) return
      deliver({ firstMs: first.ms, lastMs: performance.now(), firstBytes: first.bytes, bytes: received })
      received = 0
      first = undefined
      expected = 0
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const bulk = (bytes: number) => {
    expected = bytes
    return new Promise<Arrival>((resolve) => {
      deliver = resolve
    })
  }
  return { server, port: (server.address() as AddressInfo).port, bulk }
}

const ping = async (socket: Socket): Promise<number> => {
  const start = performance.now()
  const back = once(socket, "data")
  socket.write("p")
  await back
  return performance.now() - start
}

const measure = async (
  link: ShapedLink,
  socket: Socket,
  bulk: (bytes: number) => Promise<Arrival>,
  point: { readonly mbps: number; readonly delayMs: number; readonly spin: boolean },
  effort: { readonly pings: number; readonly bulks: number },
) => {
  const { mbps, delayMs, spin } = point
  await link.set({ up: { mbps, delayMs }, down: { mbps, delayMs } })
  await ping(socket)
  const trips: Array<number> = []
  for (let i = 0; i < effort.pings; i++) trips.push(await ping(socket))
  const achieved: Array<number> = []
  const cpuBefore = (await link.stats()).cpuMs
  const wall = performance.now()
  for (let i = 0; i < effort.bulks; i++) {
    const bytes = Math.round(Math.max(200_000, mbps * 1e3 * 40))
    const arrival = bulk(bytes)
    socket.write(Buffer.alloc(bytes))
    const a = await arrival
    achieved.push(((a.bytes - a.firstBytes) * 8) / 1e3 / (a.lastMs - a.firstMs))
  }
  const cpuShare = ((await link.stats()).cpuMs - cpuBefore) / (performance.now() - wall)
  const oneWay = trips.map((t) => t / 2)
  return {
    spin,
    set_mbps: mbps,
    set_delay_ms: delayMs,
    mbps: median(achieved),
    rate_rel_err: median(achieved) / mbps - 1,
    delay_ms: median(oneWay),
    delay_err_ms: median(oneWay) - delayMs,
    delay_p95_err_ms: quantile(oneWay, 0.95) - delayMs,
    cpu_share_in_bulk: cpuShare,
  }
}

const run = async ({ quick }: BenchOptions): Promise<BenchResult> => {
  const effort = quick ? { pings: 10, bulks: 2 } : { pings: 40, bulks: 5 }
  const { server, port, bulk } = await sink()
  const shaper = startShaper()
  const rows: Array<Awaited<ReturnType<typeof measure>>> = []
  try {
    for (const spin of [true, false]) {
      const link = await shaper.open({ name: `spin-${spin}`, target: { host: "127.0.0.1", port }, spin })
      const socket = connect({ host: "127.0.0.1", port: link.port })
      socket.setNoDelay(true)
      await once(socket, "connect")
      for (const mbps of rates) {
        for (const delayMs of delays)
          rows.push(await measure(link, socket, bulk, { mbps, delayMs, spin }, effort))
      }
      socket.destroy()
      await link.close()
    }
  } finally {
    await shaper.stop()
    server.close()
  }
  const worst = (spin: boolean, key: "rate_rel_err" | "delay_err_ms") =>
    Math.max(...rows.filter((r) => r.spin === spin).map((r) => Math.abs(r[key])))
  return {
    kind: "measured",
    checks: [
      { name: "rate_err", value: worst(true, "rate_rel_err"), op: "<=", bound: 0.05 },
      { name: "delay_err_ms", value: worst(true, "delay_err_ms"), op: "<=", bound: 1.5 },
      { name: "nospin_rate_err", value: worst(false, "rate_rel_err"), op: "<=", bound: 0.05 },
      { name: "nospin_delay_err_ms", value: worst(false, "delay_err_ms"), op: "<=", bound: 1.5 },
    ],
    rows,
    notes: [
      "Loopback TCP through the shaper process. Rate: bytes after the first chunk over the time between first and last, median of repeats. Delay: half the median round trip of one byte.",
      "With spin the shaper polls in the last millisecond; a swarm in a box uses it without.",
    ],
  }
}

export const bench: BenchModule = {
  name: "shaper",
  proves: "the emulated link has the rate and the delay that it was set to",
  takes: "1 min",
  unseeded: true,
  run,
}
