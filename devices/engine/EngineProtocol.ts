/**
 * What the engine and its worker thread say to each other. Plain data; buffers in `transfer` lists change hands uncopied.
 */
import type { SupernetSpec } from "../../supernet/Spec.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import type { Tensor } from "../../supernet/Weights.ts"
import type { RuntimeOptions } from "../../supernet/onnx/Runtime.ts"
import type { Piece } from "./Pieces.ts"
import type { PoolStats } from "./SessionPool.ts"

/** Which sessions serve: fused ones at once, block ones only, or whichever is ready sooner with fused ones to follow. */
export type TierChoice = "auto" | "block" | "fused"

/** What a worker needs to start. Weights should lie in shared memory. */
export interface WorkerSettings {
  readonly spec: SupernetSpec
  readonly weights: ReadonlyMap<string, Tensor>
  readonly runtime: RuntimeOptions
  readonly tier: TierChoice
  /** Build every block's session in idle time, as far as the budget reaches; without it only weights are folded ahead. */
  readonly preload: boolean
  readonly sessionBudgetBytes: number
  readonly activationBudgetBytes: number
}

export type ToWorker =
  | {
      readonly type: "prepare"
      readonly id: number
      readonly strategyId: string
      readonly strategy: Strategy
      /** Which of the strategy's devices this one is. */
      readonly device: number
      /** Sessions are built when a task needs them, not now. */
      readonly lazy?: boolean
    }
  | { readonly type: "forget"; readonly strategyId: string }
  | {
      readonly type: "run"
      readonly id: number
      readonly strategyId: string
      readonly requestId: string
      readonly task: number
      readonly pieces: ReadonlyArray<Piece>
      /** Result is held until this much time has passed since the task started; 0 = not emulated. */
      readonly emulatedMs: number
      /** Higher goes first; equal ones in order of arrival. */
      readonly priority: number
    }
  | { readonly type: "cancel"; readonly id: number }
  | { readonly type: "drop"; readonly requestId: string }
  | { readonly type: "stats"; readonly id: number }
  | { readonly type: "stop" }

export interface PrepareTimings {
  /** Sessions that had to be built before this strategy could run here. */
  readonly built: number
  readonly elapsedMs: number
}

export interface TaskTimings {
  /** From the arrival of the call in the worker to the start of the task. */
  readonly queueMs: number
  /** Widening remote pieces and putting the input together. */
  readonly assembleMs: number
  readonly computeMs: number
  /** Cutting, narrowing and keeping the output. */
  readonly encodeMs: number
  /** What emulation added, and by how much the real work overran the emulated time. */
  readonly heldMs: number
  readonly overrunMs: number
  readonly tier: "block" | "fused"
  /** Sessions built inside this task because memory pressure had released them. */
  readonly built: number
}

export interface TaskOutcome {
  /** One piece per crossing edge that starts at the task. */
  readonly outgoing: ReadonlyArray<Piece>
  /** Indices of local edges whose values were kept here for a later task. */
  readonly kept: ReadonlyArray<number>
  /** Class scores; of the head only. */
  readonly logits?: Float32Array
  readonly timings: TaskTimings
}

export interface EngineStats extends PoolStats {
  readonly strategies: number
  readonly queued: number
  /** Sessions and folded weights that idle time may still build. */
  readonly ahead: number
  readonly waitingRequests: number
  readonly waitingBytes: number
  readonly evictedRequests: number
}

export type Problem = "StrategyNotPrepared" | "BadPieces" | "MissingActivation" | "ComputeFailed"

/** Thrown inside the worker; crosses over as data. */
export class WorkerProblem extends Error {
  readonly problem: Problem
  constructor(problem: Problem, message: string) {
    super(message)
    this.problem = problem
  }
}

export type FromWorker =
  | { readonly type: "started"; readonly providers: ReadonlyArray<string> }
  | { readonly type: "prepared"; readonly id: number; readonly timings: PrepareTimings }
  | { readonly type: "done"; readonly id: number; readonly outcome: TaskOutcome }
  | { readonly type: "stats"; readonly id: number; readonly stats: EngineStats }
  | { readonly type: "failed"; readonly id: number; readonly problem: Problem; readonly reason: string }
