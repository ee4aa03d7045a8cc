/**
 * The engine of a device: runs this device's tasks of any strategy with ONNX Runtime, in a worker thread, one at a time.
 *
 *   prepare(strategy)   sessions for this device's segments; a look-up where they are resident
 *   run(task)           remote pieces in, pieces for other devices out; what stays here stays in the worker
 *   drop(requestId)     forgets what a given-up request left behind
 *
 * The Executor calls `run` when all inputs of a task are there: its remote pieces have arrived and the tasks at its local
 * edges have run (`TaskOutcome.kept` names those edges).
 */
import { Context, Effect, Layer, Schedule, Schema } from "effect"
import { normalizedId, normalizeStrategy, type Strategy, strategyProblems } from "../../supernet/Strategy.ts"
import { type Task, taskGraph, type TaskGraph } from "../../supernet/TaskGraph.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import { shareWeights } from "../../supernet/Safetensors.ts"
import type { Weights } from "../../supernet/Weights.ts"
import { availableProviders, type RuntimeOptions } from "../../supernet/onnx/Runtime.ts"
import { EngineFailure, EngineHost, type Reply } from "./EngineHost.ts"
import type { EngineStats, TaskOutcome, TierChoice } from "./EngineProtocol.ts"
import type { Piece } from "./Pieces.ts"
import { type PreparedStrategy, PreparedStrategies } from "./PreparedStrategies.ts"

/** The strategy cannot run on this device: invalid for its supernet, or it has no part in it. */
export class StrategyRefused extends Schema.TaggedError<StrategyRefused>()("StrategyRefused", {
  strategyId: Schema.String,
  problems: Schema.Array(Schema.String),
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `strategy ${this.strategyId}: ${this.problems.join("; ")}. ${this.hint}`
  }
}

/** A task could not be run: `problem` says in which way, `found` what was there. */
export class TaskFailed extends Schema.TaggedError<TaskFailed>()("TaskFailed", {
  problem: Schema.Literals(["StrategyNotPrepared", "BadPieces", "MissingActivation", "ComputeFailed"]),
  requestId: Schema.String,
  task: Schema.Int,
  found: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `task ${this.task} of ${this.requestId}: ${this.found}. ${this.hint}`
  }
}

/** The worker died during the call, or for good. It restarts by itself unless it has crashed again and again. */
export class EngineUnavailable extends Schema.TaggedError<EngineUnavailable>()("EngineUnavailable", {
  found: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `engine unavailable: ${this.found}. ${this.hint}`
  }
}

export interface EngineOptions {
  /** This device, as strategies name it. */
  readonly deviceId: string
  readonly spec: SupernetSpec
  readonly weights: Weights
  readonly runtime?: RuntimeOptions
  /** Default auto. */
  readonly tier?: TierChoice
  /** Build all block sessions in idle time, within 60 % of the session budget. Default true; false saves memory. */
  readonly preload?: boolean
  /** For sessions, estimated from their weights. Default 256 MB. */
  readonly sessionBudgetBytes?: number
  /** For values that wait for a task on this device. Default 64 MB: some 50 requests at 224 pixels. */
  readonly activationBudgetBytes?: number
  /** Strategies kept prepared; the least recently used one goes. Default 256. */
  readonly maxStrategies?: number
  /** Emulation: how long this device would take for a task, ms. The real result is held until then. */
  readonly emulatedMs?: (graph: TaskGraph, task: Task) => number
}

export interface RunTask {
  readonly requestId: string
  readonly strategyId: string
  /** Index in `TaskGraph.tasks`; one of this device's. */
  readonly task: number
  /** One per crossing input edge, and for stem tasks the image's bytes (`imagePiece`). Their buffers are handed over. */
  readonly pieces: ReadonlyArray<Piece>
  /** Higher goes first. Default 0. */
  readonly priority?: number
}

export type EngineError = StrategyRefused | TaskFailed | EngineUnavailable

export interface EngineShape {
  readonly deviceId: string
  readonly spec: SupernetSpec
  /** Idempotent and cheap when known; also revives a strategy that was released. */
  readonly prepare: (
    strategy: Strategy,
  ) => Effect.Effect<PreparedStrategy, StrategyRefused | EngineUnavailable>
  /** A prepared strategy, without waiting. */
  readonly prepared: (strategyId: string) => PreparedStrategy | undefined
  readonly release: (strategyId: string) => Effect.Effect<void>
  /** Interrupting it takes the task back if it has not started. */
  readonly run: (task: RunTask) => Effect.Effect<TaskOutcome, TaskFailed | EngineUnavailable>
  readonly drop: (requestId: string) => Effect.Effect<void>
  readonly stats: Effect.Effect<EngineStats & { readonly restarts: number }, EngineUnavailable>
  /** Fails when the worker has crashed so often that it is not started again: the device is of no use any more. */
  readonly failed: Effect.Effect<never, EngineUnavailable>
}

/** A worker that died comes back; a preparation that another caller gave up can be asked for again. */
const unavailable = ({ problem, message }: EngineFailure) => {
  const passes = problem === "EngineCrashed" || problem === "StrategyNotPrepared"
  const hint = passes
    ? "The worker restarts; send the request again."
    : "Restart the device, and look at its log for the first crash."
  return new EngineUnavailable({ found: message, retryable: passes, hint })
}

const hints: Readonly<Record<TaskFailed["problem"], string>> = {
  StrategyNotPrepared: "Call prepare first; the engine may have forgotten it for newer ones.",
  BadPieces: "Sender and receiver disagree about the strategy.",
  MissingActivation: "The request was dropped, or its values made room for newer ones; plan it again.",
  ComputeFailed: "ONNX Runtime refused; the message says why.",
}

const taskError = (task: RunTask, failure: EngineFailure): TaskFailed | EngineUnavailable => {
  const { problem } = failure
  if (problem === "EngineCrashed" || problem === "EngineStopped") return unavailable(failure)
  const retryable = problem === "MissingActivation" || problem === "StrategyNotPrepared"
  const { requestId } = task
  return new TaskFailed({
    problem,
    requestId,
    task: task.task,
    found: failure.message,
    retryable,
    hint: hints[problem],
  })
}

/** A host's call as an effect; interruption cancels it. */
const call = <A, E>(
  host: EngineHost,
  start: () => Reply<A>,
  mapError: (failure: EngineFailure) => E,
): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    const { id, promise } = start()
    promise.then(
      (value) => resume(Effect.succeed(value)),
      (cause: unknown) =>
        resume(cause instanceof EngineFailure ? Effect.fail(mapError(cause)) : Effect.die(cause)),
    )
    return Effect.sync(() => host.cancel(id))
  })

const preparing = (host: EngineHost, { spec, deviceId }: EngineOptions, known: PreparedStrategies) => {
  /** How many prepare a strategy at the moment. */
  const pending = new Map<string, number>()
  const count = (id: string, change: number) => pending.set(id, (pending.get(id) ?? 0) + change)
  /** Failed, or interrupted: unless another one wants it, the worker forgets it too. */
  const letGo = (id: string) =>
    Effect.sync(() => {
      if (known.get(id) === undefined && pending.get(id) === 1) known.forget(id)
    })
  const build = (strategyId: string, strategy: Strategy, device: number) =>
    Effect.suspend(() => {
      count(strategyId, 1)
      const start = () => {
        const reply = host.prepare({ strategyId, strategy, device })
        // While the worker does its part.
        const graph = taskGraph(spec, strategy)
        return { id: reply.id, promise: reply.promise.then((timings) => ({ graph, timings })) }
      }
      return call(host, start, unavailable).pipe(
        Effect.onError(() => letGo(strategyId)),
        Effect.ensuring(
          Effect.sync(() => {
            count(strategyId, -1)
            if (pending.get(strategyId) === 0) pending.delete(strategyId)
          }),
        ),
      )
    })
  return Effect.fnUntraced(function* (given: Strategy) {
    const same = known.getGiven(given)
    if (same !== undefined) return known.again(given, same)
    const strategy = normalizeStrategy(spec, given)
    const strategyId = normalizedId(spec, strategy)
    const found = known.get(strategyId)
    if (found !== undefined) return known.again(given, found)
    const problems = strategyProblems(spec, given)
    const device = strategy.devices.indexOf(deviceId)
    if (problems.length > 0 || device < 0) {
      return yield* new StrategyRefused({
        strategyId,
        problems: problems.length > 0 ? problems : [`${deviceId} has no part in it`],
        retryable: false,
        hint: "Planner and device may have different supernets.",
      })
    }
    const { graph, timings } = yield* build(strategyId, strategy, device)
    return known.keep(given, { strategyId, strategy, graph, device, timings })
  })
}

const running = (host: EngineHost, options: EngineOptions, known: PreparedStrategies) => (given: RunTask) => {
  const { strategyId, requestId, task, pieces, priority = 0 } = given
  const prepared = known.get(strategyId)
  const planned = prepared?.graph.tasks[task]
  if (prepared === undefined || planned === undefined) {
    const failure = new EngineFailure("StrategyNotPrepared", `strategy ${strategyId} is not prepared here`)
    return Effect.fail(taskError(given, failure))
  }
  known.touch(prepared)
  const emulatedMs = options.emulatedMs?.(prepared.graph, planned) ?? 0
  return call(
    host,
    () => host.run({ strategyId, requestId, task, pieces, emulatedMs, priority }),
    (failure) => {
      // The worker could not prepare it again after a crash: whoever wants it prepares it anew.
      if (failure.problem === "StrategyNotPrepared") known.forget(strategyId)
      return taskError(given, failure)
    },
  )
}

/** An engine over a host that somebody else stops. */
export const engineOver = (host: EngineHost, options: EngineOptions): EngineShape => {
  const known = new PreparedStrategies(host, options.maxStrategies ?? 256)
  return {
    deviceId: options.deviceId,
    spec: options.spec,
    prepare: preparing(host, options, known),
    prepared: (id) => known.get(id),
    release: (id) => Effect.sync(() => known.forget(id)),
    run: running(host, options, known),
    drop: (requestId) => Effect.sync(() => host.drop(requestId)),
    stats: call(host, () => host.stats(), unavailable).pipe(
      Effect.map((stats) => ({ ...stats, restarts: host.restarts })),
    ),
    failed: Effect.flatMap(
      Effect.promise(() => host.givenUp),
      (failure) => Effect.fail(unavailable(failure)),
    ),
  }
}

/** Waits until the engine has nothing left to build ahead: for benches and tests, which want no work beside theirs. */
export const settled = (engine: EngineShape): Effect.Effect<void, EngineUnavailable> =>
  engine.stats.pipe(
    Effect.repeat({ until: (s) => s.ahead === 0, schedule: Schedule.spaced("20 millis") }),
    Effect.asVoid,
  )

/** Starts a worker; refuses execution providers that this installation of ONNX Runtime lacks. */
export const startHost = (options: EngineOptions): Effect.Effect<EngineHost, EngineUnavailable> =>
  Effect.suspend(() => {
    const has = availableProviders()
    const lacking = options.runtime?.providers?.filter((name) => !has.includes(name)) ?? []
    if (lacking.length > 0) {
      return Effect.fail(
        new EngineUnavailable({
          found: `no execution provider ${lacking.join(", ")}; this ONNX Runtime has ${has.join(", ")}`,
          retryable: false,
          hint: "Choose another provider in the device's configuration.",
        }),
      )
    }
    return Effect.succeed(
      new EngineHost({
        spec: options.spec,
        weights: shareWeights(options.weights),
        runtime: options.runtime ?? {},
        tier: options.tier ?? "auto",
        preload: options.preload ?? true,
        sessionBudgetBytes: options.sessionBudgetBytes ?? 256e6,
        activationBudgetBytes: options.activationBudgetBytes ?? 64e6,
      }),
    )
  })

export class Engine extends Context.Service<Engine, EngineShape>()("devices/Engine") {
  static readonly layer = (options: EngineOptions): Layer.Layer<Engine, EngineUnavailable> =>
    Layer.effect(
      Engine,
      Effect.map(
        Effect.acquireRelease(startHost(options), (host) => Effect.promise(() => host.stop())),
        (host) => engineOver(host, options),
      ),
    )
}
