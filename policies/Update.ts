/**
 * One update of the network as data: trajectories, and a loss that is a sum over them. So any thread can work out the share
 * of any of them.
 */
import { type Imitation, imitationLoss } from "./Learner.ts"
import type { Batch, PolicyNetwork } from "./PolicyNetwork.ts"
import { type Surrogate, surrogateLoss } from "./Ppo.ts"

/** `terms` has what a loss needs to know of each trajectory, in the batch's order. */
export type Loss = Imitation | Surrogate

export interface Update {
  readonly batch: Batch
  readonly loss: Loss
}

/** How far an update goes: Adam's rate, and the norm to which the gradient is clipped. */
export interface StepSize {
  readonly rate: number
  readonly maxNorm: number
}

/** Makes an update. Returns the loss before it. */
export type Learn = (update: Update, size: StepSize) => Promise<number>

const lossOf = (network: PolicyNetwork, { batch, loss }: Update) => {
  const forward = network.forward(batch)
  return loss.of === "imitation" ? imitationLoss(forward, loss) : surrogateLoss(forward, loss)
}

/** Works out the gradient, into the network's. Returns the loss. */
export const differentiate = (network: PolicyNetwork, update: Update): number => {
  const { value, gradient } = lossOf(network, update)
  network.backward(gradient)
  return value
}

/** The same update of some of its trajectories. */
export const partOf = ({ batch, loss }: Update, rows: ReadonlyArray<number>): Update => {
  const pick = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> => rows.flatMap((r) => all.slice(r, r + 1))
  const part = { constraints: pick(batch.constraints), genomes: pick(batch.genomes) }
  // One branch per loss, so that terms and loss stay of one kind.
  return {
    batch: part,
    loss:
      loss.of === "imitation" ? { ...loss, terms: pick(loss.terms) } : { ...loss, terms: pick(loss.terms) },
  }
}

/** An update with its rows without gaps: quick to copy to another thread. */
export interface FlatUpdate {
  readonly constraints: Float64Array
  readonly genomes: Uint8Array
  readonly loss: Loss
}

export const flatten = ({ batch, loss }: Update): FlatUpdate => {
  const { constraints, genomes } = batch
  const [dimensions, genes] = [constraints[0]?.length ?? 0, genomes[0]?.length ?? 0]
  const flat = {
    constraints: new Float64Array(constraints.length * dimensions),
    genomes: new Uint8Array(genomes.length * genes),
    loss,
  }
  for (const [i, c] of constraints.entries()) flat.constraints.set(c, i * dimensions)
  for (const [i, g] of genomes.entries()) flat.genomes.set(g, i * genes)
  return flat
}

export const unflatten = ({ constraints, genomes, loss }: FlatUpdate): Update => {
  const rows = loss.terms.length
  const [dimensions, genes] = [constraints.length / rows, genomes.length / rows]
  const each = <A>(row: (i: number) => A) => Array.from({ length: rows }, (_, i) => row(i))
  return {
    batch: {
      constraints: each((i) => constraints.subarray(i * dimensions, (i + 1) * dimensions)),
      genomes: each((i) => genomes.subarray(i * genes, (i + 1) * genes)),
    },
    loss,
  }
}
