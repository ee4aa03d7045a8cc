/** Messages of a policy's training over several machines: trainer -> workers (jobs), workers -> trainer (what they need for them). */
import { Schema } from "effect"

/** Rows of numbers, without gaps: float64, little-endian. */
const Float64Rows = Schema.Uint8Array
/** Strategies as rows of bytes, one per decision (`policies/Genome.ts`). */
const GenomeRows = Schema.Uint8Array
const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff }))

/** Trainer -> worker: choose a strategy for each constraint, change each parent, and say what all of them reach. */
export const RolloutRequest = Schema.Struct({
  /** Version of the weights that choose; the worker asks for those that it does not have. */
  version: Count,
  seed: Count,
  /** Chance, per decision, of a random choice. */
  epsilon: Schema.Finite,
  /** Constraints, [n, dimensions]. */
  choose: Float64Rows,
  /** Constraints [m, dimensions], and the strategies to change under them, [m, genes]. */
  mutate: Float64Rows,
  parents: GenomeRows,
})
export type RolloutRequest = typeof RolloutRequest.Type

export const RolloutReply = Schema.Struct({
  /** [n + m, genes] */
  genomes: GenomeRows,
  /** [n + m, 2]: latency in ms, accuracy 0..1. */
  outcomes: Float64Rows,
})
export type RolloutReply = typeof RolloutReply.Type

export const RolloutSetupRequest = Schema.Struct({})

/** What a worker must know before its first job. */
export const RolloutSetup = Schema.Struct({
  /** The scenario as JSON. */
  scenario: Schema.String,
  kind: Schema.Literals(["latency", "accuracy"]),
  hidden: Count,
  stepPer: Schema.Literals(["block", "decision"]),
  /** sha256 of the names and numbers of all models: a worker with others would give other results. */
  models: Schema.String,
})
export type RolloutSetup = typeof RolloutSetup.Type

export const RolloutWeightsRequest = Schema.Struct({ version: Count, offset: Count })
export type RolloutWeightsRequest = typeof RolloutWeightsRequest.Type

export const RolloutWeights = Schema.Struct({
  /** Bytes of all weights: float32, little-endian. */
  total: Count,
  /** Those from the offset on, as many as fit into a message. */
  part: Schema.Uint8Array,
})
export type RolloutWeights = typeof RolloutWeights.Type
