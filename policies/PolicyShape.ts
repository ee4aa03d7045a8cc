/**
 * Sizes and offsets of the policy network for one space and number of device slots, and what it is told about a constraint.
 *
 * The network chooses resolution and depths, then plans block after block in the paper's order (kernel, expand, grid, bits,
 * then a device per tile), each head seeing the choices made before it. It takes one step of its LSTM per block, or as in
 * the paper (figure 5) one per decision. Either way the heads of all steps are exactly the genes of a genome, in order.
 */
import { grids } from "../supernet/Partition.ts"
import { bitsChoices } from "../supernet/Strategy.ts"
import {
  blockGene,
  choiceCounts,
  deviceGene,
  type Genome,
  gridGene,
  isActiveBlock,
  maxTiles,
  type Space,
  tilesOfGrid,
} from "./Genome.ts"
import { absent, bandwidthAt, type Constraint, delayAt, isPresent } from "./Scenario.ts"

/** One head: its logits are columns [column, column + count) of the step's output. */
export interface Head {
  readonly name: string
  readonly column: number
  readonly count: number
}

/** What the LSTM takes a step for: the outline and each block, or each single decision. */
export const stepUnits = ["block", "decision"] as const
export type StepUnit = (typeof stepUnits)[number]

/** What one step of the LSTM decides: heads whose genes lie one after another. */
export interface Step {
  /** Block that it plans; -1: the submodel's outline. */
  readonly block: number
  readonly heads: ReadonlyArray<Head>
  /** Its first head's place among those of the outline or of a block. */
  readonly first: number
  /** Index of its first gene. */
  readonly gene: number
  /** Input rows that tell where in a strategy it is: its block, and where a block has several steps its heads. */
  readonly position: ReadonlyArray<number>
}

export interface PolicyShape {
  readonly space: Space
  /** Remote slots; device choices are 1 + slots, local first. */
  readonly slots: number
  readonly hidden: number
  readonly stepPer: StepUnit
  /** All steps, those of the outline first, then block by block; and their number. */
  readonly plan: ReadonlyArray<Step>
  readonly steps: number
  readonly outlineHeads: ReadonlyArray<Head>
  readonly blockHeads: ReadonlyArray<Head>
  /** Logit columns of all heads; the value estimate is column `actions`. */
  readonly actions: number
  /** `actions` + 1 rounded up to the kernels' 8. */
  readonly columns: number
  /** Input rows that tell the position of a step: outline and blocks first, each of them a bias of its steps. */
  readonly positions: number
  /** Input width per step: its position, one-hots of the previous step's choices; a multiple of 4. */
  readonly inputs: number
  /** Features of a constraint; a multiple of 4. */
  readonly features: number
  /** Width of the rectified layer between the features and the gates. */
  readonly trunk: number
  /** Ones in a step's input at most: those of its position, and one per choice of the step before. */
  readonly inputOnes: number
}

/**
 * Steps of the encoding of the SLO and of link metrics. For links those of the replay buffer's grid; of its 109 points of the SLO
 * every third: as many steps here made policies worse (docs/policies.md).
 */
const sloSteps = 37
const linkSteps = 10
/** Width of the rectified layer between features and gates: a policy of 256 units stays below a megabyte. */
const trunk = 96
/** The kernels take units by eights. */
export const unitsMultiple = 8
const roundUp = (n: number, to: number) => Math.ceil(n / to) * to
const slotFeatures = 1 + 2 * (1 + linkSteps)

const headsOf = (names: ReadonlyArray<readonly [string, number]>, start: number): ReadonlyArray<Head> => {
  let column = start
  return names.map(([name, count]) => {
    column += count
    return { name, column: column - count, count }
  })
}

/** Cuts the heads of the outline and of every block into steps. */
const planOf = (
  space: Space,
  stepPer: StepUnit,
  outlineHeads: ReadonlyArray<Head>,
  blockHeads: ReadonlyArray<Head>,
): ReadonlyArray<Step> => {
  const stepsOf = (block: number, heads: ReadonlyArray<Head>, gene: number): ReadonlyArray<Step> => {
    if (stepPer === "block") return [{ block, heads, first: 0, gene, position: [1 + block] }]
    const kinds = 1 + space.blocks.length + (block < 0 ? 0 : outlineHeads.length)
    return heads.map((head, i) => {
      return { block, heads: [head], first: i, gene: gene + i, position: [1 + block, kinds + i] }
    })
  }
  return [
    ...stepsOf(-1, outlineHeads, 0),
    ...space.blocks.flatMap((_, i) => stepsOf(i, blockHeads, blockGene(space, i))),
  ]
}

/** Throws where `hidden` is not a positive multiple of `unitsMultiple`. */
export const policyShape = (
  space: Space,
  slots: number,
  hidden = 256,
  stepPer: StepUnit = "block",
): PolicyShape => {
  if (!(hidden > 0) || hidden % unitsMultiple !== 0)
    throw new RangeError(`an LSTM of ${hidden} units: give a positive multiple of ${unitsMultiple}`)
  const counts = choiceCounts(space.spec)
  const outlineHeads = headsOf(
    [
      ["resolution", counts.resolution],
      ...space.spec.stages.map((_, s): [string, number] => [`depth ${s}`, counts.depth]),
    ],
    0,
  )
  const after = outlineHeads.reduce((sum, h) => sum + h.count, 0)
  const devices = Array.from({ length: maxTiles }, (_, t): [string, number] => [`device ${t}`, 1 + slots])
  const blockHeads = headsOf(
    [
      ["kernel", counts.kernel],
      ["expand", counts.expand],
      ["grid", grids.length],
      ["bits", bitsChoices.length],
      ...devices,
    ],
    after,
  )
  const actions = after + blockHeads.reduce((sum, h) => sum + h.count, 0)
  const plan = planOf(space, stepPer, outlineHeads, blockHeads)
  const heads = outlineHeads.length + blockHeads.length
  const positions = 1 + space.blocks.length + (stepPer === "block" ? 0 : heads)
  const most = (count: (s: Step) => number) => Math.max(...plan.map(count))
  return {
    space,
    slots,
    hidden,
    stepPer,
    plan,
    steps: plan.length,
    outlineHeads,
    blockHeads,
    actions,
    columns: roundUp(actions + 1, unitsMultiple),
    positions,
    inputs: roundUp(positions + actions, 4),
    features: roundUp(2 + sloSteps + slots * slotFeatures, 4),
    trunk,
    inputOnes: most((s) => s.position.length) + most((s) => s.heads.length),
  }
}

export const stepAt = (shape: PolicyShape, step: number): Step => {
  const found = shape.plan[step]
  if (found === undefined) throw new RangeError(`step ${step} of ${shape.steps}`)
  return found
}

/** Steps that decide nothing are skipped: blocks that the genome's depths leave out, devices of tiles that its grid has not. */
export const isActiveStep = (shape: PolicyShape, genome: Genome, step: number): boolean => {
  const { block, first } = stepAt(shape, step)
  if (block < 0) return true
  if (!isActiveBlock(shape.space, genome, block)) return false
  const grid = genome[blockGene(shape.space, block) + gridGene] ?? 0
  return first - deviceGene < (tilesOfGrid[grid] ?? 1)
}

/**
 * Thermometer: step k is 1 where the value is at least as relaxed as grid point k. What the replay buffer answers changes at
 * these points (for the SLO at two between each of them too), so the network can be as sharp there as the buffer is.
 */
const writeSteps = (out: Float32Array, at: number, steps: number, value: number) => {
  const reached = Math.floor(Math.min(1, value) * (steps - 1) + 1e-9)
  for (let k = 0; k <= reached; k++) out[at + k] = 1
}

/** What the network is told about a constraint; `out` has `features` zeros at `at`. */
export const writeFeatures = (
  shape: PolicyShape,
  constraint: Constraint,
  out: Float32Array,
  at: number,
): void => {
  const slo = constraint[0] ?? 0
  out[at] = 1
  out[at + 1] = Math.min(1.5, Math.max(-0.5, slo))
  writeSteps(out, at + 2, sloSteps, slo)
  for (let slot = 0; slot < shape.slots; slot++) {
    const base = at + 2 + sloSteps + slot * slotFeatures
    if (!isPresent(constraint, slot)) continue
    const [bandwidth, delay] = [constraint[bandwidthAt(slot)] ?? absent, constraint[delayAt(slot)] ?? absent]
    out[base] = 1
    out[base + 1] = bandwidth
    writeSteps(out, base + 2, linkSteps, bandwidth)
    out[base + 2 + linkSteps] = delay
    writeSteps(out, base + 3 + linkSteps, linkSteps, delay)
  }
}

/** Bit set of the devices that may be chosen: bit 0 is local, bit 1 + slot a present remote. */
export const presence = (shape: PolicyShape, constraint: Constraint): number => {
  let bits = 1
  for (let slot = 0; slot < shape.slots; slot++) if (isPresent(constraint, slot)) bits |= 2 << slot
  return bits
}

/**
 * Values of head `index` that are legal at a step, as a bit set. Stem, first block and head have no kernel or expand to choose
 * and the head is never cut; absent devices cannot be chosen. Legality never depends on earlier choices.
 */
export const legalValues = (shape: PolicyShape, step: number, index: number, present: number): number => {
  const { block, first, heads } = stepAt(shape, step)
  const all = (1 << (heads[index]?.count ?? 0)) - 1
  if (block < 0) return all
  const kind = shape.space.blocks[block]?.kind
  const head = first + index
  if (head < gridGene) return kind === "dynamic" ? all : 1
  if (head === gridGene) return kind === "head" ? 1 : all
  return head < deviceGene ? all : present
}

export const isLegal = (
  shape: PolicyShape,
  step: number,
  index: number,
  value: number,
  present: number,
): boolean => ((legalValues(shape, step, index, present) >> value) & 1) === 1

/** Sizes of the parameters, in the order in which they lie in memory. */
export const parameterSizes = (shape: PolicyShape) => {
  const gates = 4 * shape.hidden
  return {
    /** [features, T] */
    features: shape.features * shape.trunk,
    /** [T, 4H] */
    trunk: shape.trunk * gates,
    /** [inputs, 4H]; the rows of the positions serve as biases */
    inputs: shape.inputs * gates,
    /** [H, 4H], gates in the order input, forget, cell, output */
    hidden: shape.hidden * gates,
    /** [H, columns] */
    output: shape.hidden * shape.columns,
    /** [columns] */
    bias: shape.columns,
    /** [actions, columns]: a choice made earlier in the same step shifts the logits of later heads, where there are any */
    within: shape.stepPer === "block" ? shape.actions * shape.columns : 0,
  }
}
export type ParameterName = keyof ReturnType<typeof parameterSizes>

export const parameterCount = (shape: PolicyShape): number =>
  Object.values(parameterSizes(shape)).reduce((sum, n) => sum + n, 0)
