/** Jobs and results of roll-outs as messages, and back. What comes in is checked: sizes, and that genes are legal. */
import type { RolloutReply, RolloutRequest } from "../subjects/RolloutMessages.ts"
import { type Genome, geneLimits, type Space } from "./Genome.ts"
import type { Outcome } from "./Objective.ts"
import type { RolloutJob, RolloutResult } from "./Rollouts.ts"
import type { Constraint } from "./Scenario.ts"

/** What rows are made of: metrics per constraint, genes per strategy, and devices that a gene may name. */
export interface RowSizes {
  readonly dimensions: number
  readonly space: Space
  readonly devices: number
}

const bytesOf = (rows: ReadonlyArray<Float64Array>): Uint8Array =>
  Buffer.concat(rows.map((r) => new Uint8Array(r.buffer, r.byteOffset, r.byteLength)))

const rowsOf = (bytes: Uint8Array, length: number): ReadonlyArray<Float64Array> => {
  const rowBytes = 8 * length
  if (bytes.length % rowBytes !== 0)
    throw new RangeError(`${bytes.length} bytes are no rows of ${length} numbers`)
  return Array.from(
    { length: bytes.length / rowBytes },
    (_, i) => new Float64Array(Uint8Array.from(bytes.subarray(i * rowBytes, (i + 1) * rowBytes)).buffer),
  )
}

const genomesOf = (bytes: Uint8Array, { space, devices }: RowSizes): ReadonlyArray<Genome> => {
  if (bytes.length % space.length !== 0) {
    throw new RangeError(`${bytes.length} bytes are no rows of ${space.length} genes`)
  }
  const limits = geneLimits(space, devices)
  return Array.from({ length: bytes.length / space.length }, (_, i) => {
    const genome = Uint8Array.from(bytes.subarray(i * space.length, (i + 1) * space.length))
    const wrong = genome.findIndex((gene, g) => gene >= (limits[g] ?? 0))
    if (wrong >= 0) throw new RangeError(`gene ${wrong} is ${genome[wrong]}; it has ${limits[wrong]} values`)
    return genome
  })
}

export const jobMessage = (job: RolloutJob): RolloutRequest => ({
  version: job.version,
  seed: job.seed,
  epsilon: job.epsilon,
  choose: bytesOf(job.choose),
  mutate: bytesOf(job.mutate.map((m) => m.constraint)),
  parents: Buffer.concat(job.mutate.map((m) => m.parent)),
})

export const jobOf = (message: RolloutRequest, sizes: RowSizes): RolloutJob => {
  const { version, seed, epsilon } = message
  const parents = genomesOf(message.parents, sizes)
  const constraints = rowsOf(message.mutate, sizes.dimensions)
  if (parents.length !== constraints.length) {
    throw new RangeError(`${parents.length} parents for ${constraints.length} constraints`)
  }
  const mutate = parents.map((parent, i) => ({ constraint: constraints[i] as Constraint, parent }))
  return { version, seed, epsilon, choose: rowsOf(message.choose, sizes.dimensions), mutate }
}

export const resultMessage = ({ genomes, outcomes }: RolloutResult): RolloutReply => ({
  genomes: Buffer.concat(genomes),
  outcomes: bytesOf(outcomes.map((o) => Float64Array.of(o.latencyMs, o.accuracy))),
})

export const resultOf = (message: RolloutReply, job: RolloutJob, sizes: RowSizes): RolloutResult => {
  const genomes = genomesOf(message.genomes, sizes)
  const outcomes = rowsOf(message.outcomes, 2).map(([latencyMs = 0, accuracy = 0]): Outcome => ({
    latencyMs,
    accuracy,
  }))
  const asked = job.choose.length + job.mutate.length
  if (genomes.length !== asked || outcomes.length !== asked) {
    throw new RangeError(`${genomes.length} strategies and ${outcomes.length} outcomes; asked for ${asked}`)
  }
  return { genomes, outcomes }
}
