/** For `bench switch`: strategies that an engine has never run, with everything of theirs there, a part of it, or nothing. */
import { Effect } from "effect"
import { memoryShares } from "../actors/MemoryShares.ts"
import { Engine, settled, type EngineOptions, type EngineShape } from "../devices/engine/Engine.ts"
import { imagePiece } from "../devices/engine/Pieces.ts"
import type { Supernet } from "../supernet/Artifact.ts"
import type { Random } from "../supernet/Random.ts"
import { localStrategy, sampleStrategy, type Strategy } from "../supernet/Strategy.ts"
import { sampleSubmodel } from "../supernet/Submodel.ts"
import { median } from "./Bench.ts"

const device = "bench"

export interface Switch {
  /** From the call of `prepare` to its answer. */
  readonly prepareMs: number
  /** First run against the median of later ones on the same sessions. */
  readonly penaltyMs: number
  readonly steadyMs: number
  /** Median run once the segment is fused. */
  readonly fusedMs: number
  /** Processor time of the whole process for the same, which neighbours on the machine hardly change. */
  readonly cpuMs: number
  readonly built: number
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const imageOf = (size: number, random: Random): Uint8Array =>
  Uint8Array.from({ length: size * size * 3 }, () => Math.floor(random.next() * 256))

const timed = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const [start, cpuStart] = [performance.now(), cpuMs()]
    return Effect.map(effect, (value) => ({ value, ms: performance.now() - start, cpu: cpuMs() - cpuStart }))
  })

const switchTo = Effect.fnUntraced(function* (engine: EngineShape, strategy: Strategy, random: Random) {
  const size = strategy.submodel.resolution
  const image = imageOf(size, random)
  const region = { y0: 0, y1: size, x0: 0, x1: size }
  const { value: prepared, ms: prepareMs, cpu } = yield* timed(engine.prepare(strategy))
  const run = Effect.suspend(() => {
    const pieces = [imagePiece(0, image, size, region)]
    return engine.run({ requestId: "r", strategyId: prepared.strategyId, task: 0, pieces })
  })
  const first = yield* timed(run)
  const repeated = Effect.fnUntraced(function* (count: number) {
    const runs: Array<{ readonly ms: number; readonly cpu: number }> = []
    for (let i = 0; i < count; i++) runs.push(yield* timed(run))
    return { ms: median(runs.map((r) => r.ms)), cpu: median(runs.map((r) => r.cpu)) }
  })
  const steady = yield* repeated(9)
  let { tier } = first.value.timings
  for (let i = 0; i < 50 && tier !== "fused"; i++) {
    yield* Effect.sleep("8 millis")
    tier = (yield* run).timings.tier
  }
  const result: Switch = {
    prepareMs,
    penaltyMs: first.ms - steady.ms,
    steadyMs: steady.ms,
    fusedMs: (yield* repeated(9)).ms,
    cpuMs: cpu + first.cpu - steady.cpu,
    built: prepared.timings.built,
  }
  return result
})

/** Engines of its own for a case, so that nothing of a strategy is there when it is switched to. */
interface Fresh {
  /** Switches of an engine that count. More than one only where each is fused at once: blocks would be shared. */
  readonly each: number
  /** Switches before those, so that the worker's code has run; `until blocks`: as long as fused sessions have room. */
  readonly warmUps: number | "until blocks"
  /** Whether idle time has folded weights before. */
  readonly isFolded: boolean
}

export interface Case {
  readonly name: string
  readonly supernet: Supernet
  /** Of the device, as `--memory-mb` has it. */
  readonly memoryMb: number
  /** Builds sessions in idle time before the first switch; else it only folds weights then. */
  readonly preload?: boolean
  readonly fresh?: Fresh
}

export interface Switched {
  readonly done: ReadonlyArray<Switch>
  /** Of preparing this device's part of strategies for five, ms. */
  readonly spread: ReadonlyArray<number>
  /** At the end. */
  readonly stats: { readonly sessions: number; readonly bytes: number }
}

const withEngine = <A, E>(
  { supernet: { spec, weights }, memoryMb, preload = false }: Case,
  use: (engine: EngineShape) => Effect.Effect<A, E>,
) => {
  const options: EngineOptions = {
    deviceId: device,
    spec,
    weights,
    preload,
    sessionBudgetBytes: memoryShares(memoryMb * 1e6).sessionBytes,
  }
  return Effect.flatMap(Engine, use).pipe(Effect.scoped, Effect.provide(Engine.layer(options)))
}

const randomLocal = ({ supernet: { spec } }: Case, random: Random): Strategy =>
  localStrategy(spec, sampleSubmodel(spec, random), device)

/** One engine goes through all switches, after its idle work is done. */
const switches = (one: Case, count: number, random: Random) =>
  withEngine(
    one,
    Effect.fnUntraced(function* (engine) {
      yield* settled(engine)
      const done: Array<Switch> = []
      for (let i = 0; i < count; i++) done.push(yield* switchTo(engine, randomLocal(one, random), random))
      const spread: Array<number> = []
      for (let i = 0; i < count; i++) {
        const strategy = sampleStrategy(one.supernet.spec, [device, "b", "c", "d", "e"], random)
        spread.push((yield* timed(engine.prepare(strategy))).ms)
      }
      const switched: Switched = { done, spread, stats: yield* engine.stats }
      return switched
    }),
  )

/** Of a fresh engine. */
const mostSwitches = 20

/** Dies where a switch could use what was there: it builds the network as one session, or one for each block. */
const builtWhole = (strategy: Strategy, { built }: Switch) =>
  built === 1 || built === strategy.blocks.length
    ? Effect.void
    : Effect.die(new Error(`${built} sessions built for ${strategy.blocks.length} blocks`))

const freshEngine = (one: Case, { each, warmUps, isFolded }: Fresh, random: Random) =>
  withEngine(
    one,
    Effect.fnUntraced(function* (engine) {
      if (isFolded) yield* settled(engine)
      // Answered once the worker is up.
      const { sessions } = yield* engine.stats
      if (sessions > 0) return yield* Effect.die(new Error(`${sessions} sessions in a fresh engine`))
      const done: Array<Switch> = []
      for (let i = 0; done.length < each && i < mostSwitches; i++) {
        const strategy = randomLocal(one, random)
        const switched = yield* switchTo(engine, strategy, random)
        yield* builtWhole(strategy, switched)
        if (warmUps === "until blocks" ? switched.built > 1 : i >= warmUps) done.push(switched)
      }
      if (done.length < each) return yield* Effect.die(new Error(`${done.length} of ${each} switches`))
      return { done, stats: yield* engine.stats }
    }),
  )

const freshSwitches = Effect.fnUntraced(function* (one: Case, fresh: Fresh, count: number, random: Random) {
  const all: Array<Effect.Success<ReturnType<typeof freshEngine>>> = []
  while (all.length * fresh.each < count) all.push(yield* freshEngine(one, fresh, random))
  const stats = all.at(-1)?.stats ?? { sessions: 0, bytes: 0 }
  const switched: Switched = { done: all.flatMap((a) => a.done), spread: [], stats }
  return switched
})

/** Starting an engine takes a second or more. */
const countOf = ({ fresh }: Case, quick: boolean): number => {
  if (fresh?.each === 1) return quick ? 4 : 40
  return quick ? 20 : 100
}

/** All switches of a case. */
export const measure = (one: Case, quick: boolean, random: Random): Promise<Switched> => {
  const count = countOf(one, quick)
  const { fresh } = one
  return Effect.runPromise(
    fresh === undefined ? switches(one, count, random) : freshSwitches(one, fresh, count, random),
  )
}
