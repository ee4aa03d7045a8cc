/**
 * The supernet on our own kernels: forward and backward of any submodel under any grids and bits, written by hand.
 * It does what `TfjsNetwork` does on the tfjs tape (tests hold the two together) without the tape's cost: no allocation, no
 * copy, no bookkeeping per operation. Several submodels may add up their gradients before one optimiser step.
 */
import { geometry, type Grid } from "../Partition.ts"
import type { SupernetSpec } from "../Spec.ts"
import type { Bits } from "../Strategy.ts"
import { activeBlocks, type Submodel } from "../Submodel.ts"
import { blockName } from "../Weights.ts"
import { type Arena, type Kernels, type Pointer, standaloneKernels } from "../kernels/Kernels.ts"
import type { Context, Maps, StatisticsSource } from "./Context.ts"
import { headBackward, headForward, type HeadTape } from "./HeadLayer.ts"
import { mbConvBackward, mbConvForward, type MbConvTape } from "./MbConvLayer.ts"
import { type ParameterLayout, parameterLayout } from "./Parameters.ts"
import { stemBackward, stemForward, type StemTape } from "./StemLayer.ts"

/** What runs: a submodel, and per active block (stem first) its grid and the bits of its input. */
export interface NetworkPlan {
  readonly submodel: Submodel
  readonly grids: ReadonlyArray<Grid>
  readonly bits: ReadonlyArray<Bits>
}

/** The submodel uncut and unquantised. */
export const plainPlan = (spec: SupernetSpec, submodel: Submodel): NetworkPlan => {
  const blocks = activeBlocks(spec, submodel)
  return { submodel, grids: blocks.map(() => "1x1"), bits: blocks.map(() => 32) }
}

export interface NetworkTape {
  readonly context: Context
  readonly stem: StemTape
  readonly blocks: ReadonlyArray<MbConvTape>
  readonly head: HeadTape
  /** [images, classes], row by row. */
  readonly logits: Float32Array
}

export class KernelNetwork {
  readonly spec: SupernetSpec
  readonly layout: ParameterLayout
  readonly #kernels: Kernels
  readonly #arena: Arena
  readonly #parameters: Pointer
  readonly #gradients: Pointer
  readonly #start: Pointer

  constructor(spec: SupernetSpec, kernels: Kernels, arena: Arena) {
    this.spec = spec
    this.layout = parameterLayout(spec)
    this.#kernels = kernels
    this.#arena = arena
    this.#parameters = arena.allocateZeros(this.layout.size)
    this.#gradients = arena.allocateZeros(this.layout.size)
    this.#start = arena.mark()
  }

  static async make(spec: SupernetSpec): Promise<KernelNetwork> {
    const { kernels, arena } = await standaloneKernels()
    return new KernelNetwork(spec, kernels, arena)
  }

  /** The flat parameter vector. Gotcha: the view dies when the memory grows; take it anew for each use. */
  get parameters(): Float32Array {
    return this.#arena.view(this.#parameters, this.layout.size)
  }

  /** The flat gradient vector, same gotcha. */
  get gradients(): Float32Array {
    return this.#arena.view(this.#gradients, this.layout.size)
  }

  /**
   * `images`: normalised RGB, [count, resolution, resolution, 3]. The tape stays valid until the next `forward`: a forward
   * starts again at the beginning of the memory.
   */
  forward(
    images: Float32Array,
    count: number,
    plan: NetworkPlan,
    statistics: StatisticsSource = {},
  ): NetworkTape {
    const { spec } = this
    this.#arena.release(this.#start)
    const context: Context = {
      kernels: this.#kernels,
      arena: this.#arena,
      layout: this.layout,
      images: count,
      statistics,
      parameters: this.#parameters,
      gradients: this.#gradients,
    }
    const { resolution } = plan.submodel
    const pixels = this.#arena.allocate(images.length)
    this.#arena.view(pixels, images.length).set(images)
    const active = activeBlocks(spec, plan.submodel)
    const tiles = geometry(active, resolution, plan.grids)
    const input: Maps = { data: pixels, size: resolution, channels: 3 }
    const stem = stemForward(context, input, tiles[0]!, spec.stemWidth)
    const blocks: Array<MbConvTape> = []
    let maps = stem.output
    for (const [i, block] of active.entries()) {
      if (block.kind !== "first" && block.kind !== "dynamic") continue
      const name = blockName(spec, block)
      const tape = mbConvForward(
        context,
        spec,
        { name, block, geometry: tiles[i]!, bits: plan.bits[i] ?? 32 },
        maps,
      )
      blocks.push(tape)
      maps = tape.output
    }
    const head = headForward(context, spec, maps)
    return { context, stem, blocks, head, logits: head.logits }
  }

  /** Adds the gradients of the forward pass just made. `dLogits`: [images, classes]. */
  backward(tape: NetworkTape, dLogits: Float32Array): void {
    const { context } = tape
    const arena = this.#arena
    const largest = Math.max(...tape.blocks.map((b) => context.images * b.input.size ** 2 * b.input.channels))
    let [dy, dx] = [arena.allocate(largest), arena.allocate(largest)]
    const mark = arena.mark()
    headBackward(context, this.spec, tape.head, dLogits, dy)
    for (const block of tape.blocks.toReversed()) {
      arena.release(mark)
      mbConvBackward(context, block, dy, dx)
      ;[dy, dx] = [dx, dy]
    }
    arena.release(mark)
    stemBackward(context, tape.stem, dy)
  }

  zeroGradients(): void {
    this.gradients.fill(0)
  }
}
