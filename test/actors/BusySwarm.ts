/**
 * A busy swarm on paper: devices that compute one task at a time, oldest request first, links that only delay, beats, and
 * clients that ask again when they have their answer. What planning under load does to throughput, without a machine's noise.
 */
import type { DeviceProfile } from "../../devices/profiles/DeviceProfile.ts"
import { shippedProfile } from "../../devices/profiles/Shipped.ts"
import { prices } from "../../actors/Congestion.ts"
import { Hearsay } from "../../actors/Hearsay.ts"
import { Ledger } from "../../actors/Ledger.ts"
import { Portfolio } from "../../actors/Portfolio.ts"
import { makeWorkOf, sum, type Work } from "../../actors/Work.ts"
import type { Condition, Slo } from "../../policies/Condition.ts"
import { decodeGenome, spaceOf } from "../../policies/Genome.ts"
import { modelWorld } from "../../policies/ModelWorld.ts"
import { search } from "../../policies/Search.ts"
import { untrainedAccuracy } from "../../policies/UntrainedAccuracy.ts"
import { judge } from "../../policies/World.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { localStrategy, normalizeStrategy, type Strategy } from "../../supernet/Strategy.ts"
import type { Submodel } from "../../supernet/Submodel.ts"
import { edgeBytes, imageSource, taskGraph, type TaskGraph } from "../../supernet/TaskGraph.ts"

export const spec = ofaMobileNetV3({
  name: "half",
  version: "1",
  widthMultiplier: 0.5,
  classes: Array.from({ length: 10 }, (_, i) => `${i}`),
})
const pi: DeviceProfile = shippedProfile("raspberry-pi-4")
export const world = modelWorld(spec, [pi], untrainedAccuracy(spaceOf(spec)))
const workOf = makeWorkOf(spec, () => pi)
const [mbps, delayMs] = [200, 2]

export const conditionAt = (ids: ReadonlyArray<string>, backlogMs: (id: string) => number): Condition => ({
  devices: ids.map((id, i) => ({
    id,
    type: pi.name,
    bandwidthMbps: i === 0 ? 100_000 : mbps,
    delayMs: i === 0 ? 0 : delayMs,
    ...(backlogMs(id) > 0 ? { backlogMs: backlogMs(id) } : {}),
  })),
})

/** What a device knows after having thought about the idle swarm: whole networks everywhere, and the best split. */
export const portfolioOf = (ids: ReadonlyArray<string>, slo: Slo): { known: Portfolio; split: Strategy } => {
  const known = new Portfolio(world)
  const [local = "", ...others] = ids
  known.addLocal(local)
  for (const id of others) known.addHandOvers(local, id)
  const idle = conditionAt(ids, () => 0)
  const found = search(judge(world, idle, slo), { evaluations: 6000 }, seededRandom(1))
  const split = decodeGenome(world.space, found.genome, ids)
  known.add(split, "search")
  for (const id of ids) known.addWhole(split.submodel, local, id, "search")
  return { known, split }
}

/** A whole network on one device of the swarm that the first one serves. */
export const wholeOn = (submodel: Submodel, ids: ReadonlyArray<string>, device: number): Strategy => {
  const [local = ""] = ids
  const whole = localStrategy(spec, submodel, local)
  const blocks = whole.blocks.map((b) => ({ ...b, placement: [device] }))
  return normalizeStrategy(spec, { ...whole, devices: [...ids], blocks })
}

/** Chooses under load as the Planner does. */
export const chooseBusy = (known: Portfolio, now: Condition, slo: Slo, typicalMs: number) =>
  known.bestUnderLoad(now, slo, {
    prices: prices(now, typicalMs),
    workOf: (s) => workOf(s).byDevice,
    isReady: () => true,
  }).best

/** What each device knows of how much all have to do: its own requests exactly, those of others as they said in beats. */
class Books {
  private readonly ids: ReadonlyArray<string>
  /** By the device that serves the requests. */
  private readonly served: ReadonlyMap<string, Ledger>
  private readonly hearsay: ReadonlyMap<string, Hearsay>

  constructor(ids: ReadonlyArray<string>, clock: () => number) {
    this.ids = ids
    this.served = new Map(ids.map((id) => [id, new Ledger()]))
    this.hearsay = new Map(ids.map((id) => [id, new Hearsay(clock)]))
  }

  of(serving: string): Ledger {
    return this.served.get(serving) ?? new Ledger()
  }

  /** As one device sees another. */
  seen(by: string, device: string, typicalMs: number): number {
    const heard = () => this.hearsay.get(by)?.ms(device, typicalMs) ?? 0
    const others = by === device ? this.othersMs(device, by) : heard()
    return this.of(by).ms(device) + others
  }

  beat(device: string): void {
    for (const id of this.ids) {
      if (id !== device) this.hearsay.get(id)?.beat(device, this.othersMs(device, id))
    }
  }

  private othersMs(device: string, than: string): number {
    return sum(this.ids.filter((id) => id !== than).map((id) => this.of(id).ms(device)))
  }
}

const beatEveryMs = 250

interface Request {
  readonly key: string
  readonly local: string
  readonly startMs: number
  readonly graph: TaskGraph
  readonly work: Work
  readonly devices: ReadonlyArray<string>
  readonly missing: Array<number>
}

export interface Outcome {
  readonly perSecond: number
  readonly latenciesMs: ReadonlyArray<number>
  readonly splits: number
}

export type Choose = (now: Condition, typicalMs: number) => Strategy

/** Runs `inFlight` clients for so long; the first fifth is not counted. They ask the devices `asked` in turn. */
export const runSwarm = (
  ids: ReadonlyArray<string>,
  inFlight: number,
  forMs: number,
  choose: Choose,
  asked: ReadonlyArray<string> = ids.slice(0, 1),
): Outcome => {
  const books = new Books(ids, () => nowMs)
  const events: Array<{ readonly atMs: number; readonly act: () => void }> = []
  const queues = new Map(ids.map((id) => [id, { busy: false, waiting: [] as Array<[Request, number]> }]))
  const latenciesMs: Array<number> = []
  let [nowMs, typicalMs, counter, splits] = [0, 0, 0, 0]
  const at = (ms: number, act: () => void) => void events.push({ atMs: ms, act })
  const serve = (id: string) => {
    const queue = queues.get(id)
    if (queue === undefined || queue.busy || queue.waiting.length === 0) return
    queue.waiting.sort(([a], [b]) => a.startMs - b.startMs)
    const [r, task] = queue.waiting.shift() ?? []
    if (r === undefined || task === undefined) return
    queue.busy = true
    const ms = r.work.items[task]?.ms ?? 0
    at(nowMs + ms, () => {
      queue.busy = false
      finish(r, task)
      serve(id)
    })
  }
  const arrive = (r: Request, task: number) => {
    r.missing[task] = (r.missing[task] ?? 0) - 1
    const id = r.devices[r.graph.tasks[task]?.device ?? 0] ?? ""
    if (r.missing[task] !== 0) return
    queues.get(id)?.waiting.push([r, task])
    serve(id)
  }
  const release = (r: Request, edgeIndex: number) => {
    const edge = r.graph.edges[edgeIndex]
    if (edge === undefined) return
    const ms = edge.crosses ? 2 * delayMs + (edgeBytes(edge) * 8) / (mbps * 1000) : 0
    at(nowMs + ms, () => arrive(r, edge.to))
  }
  const finish = (r: Request, task: number) => {
    books.of(r.local).done(r.key, task)
    for (const e of r.graph.tasks[task]?.outputs ?? []) release(r, e)
    if (task !== r.graph.tasks.length - 1) return
    if (nowMs > forMs / 5) latenciesMs.push(nowMs - r.startMs)
    begin(r.local)
  }
  const begin = (local: string) => {
    const order = [local, ...ids.filter((id) => id !== local)]
    const strategy = choose(
      conditionAt(order, (id) => books.seen(local, id, typicalMs)),
      typicalMs,
    )
    const work = workOf(strategy)
    typicalMs = typicalMs === 0 ? work.totalMs : typicalMs + 0.1 * (work.totalMs - typicalMs)
    const graph = taskGraph(spec, strategy)
    const r: Request = {
      key: `${counter++}`,
      local,
      startMs: nowMs,
      graph,
      work,
      devices: strategy.devices,
      missing: graph.tasks.map((t) => t.inputs.length),
    }
    if (strategy.devices.length > 1 && graph.tasks.length > 1) splits++
    books.of(local).book(r.key, work.items)
    for (const e of graph.edges) if (e.from === imageSource) release(r, e.index)
  }
  const beat = (id: string) => {
    books.beat(id)
    at(nowMs + beatEveryMs, () => beat(id))
  }
  for (const [i, id] of ids.entries()) at((i * beatEveryMs) / ids.length, () => beat(id))
  for (let i = 0; i < inFlight; i++) begin(asked[i % asked.length] ?? "")
  while (nowMs < forMs) {
    let next = 0
    for (const [i, e] of events.entries()) if (e.atMs < (events[next]?.atMs ?? Infinity)) next = i
    const [event] = events.splice(next, 1)
    if (event === undefined) break
    nowMs = event.atMs
    event.act()
  }
  return { perSecond: latenciesMs.length / (forMs * 0.0008), latenciesMs, splits }
}
