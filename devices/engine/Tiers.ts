/**
 * Which sessions serve a segment: one per block, which strategies share, or a fused one, which is faster. Decides what is
 * built when: what a strategy needs now, and in idle time what will be wanted.
 */
import type { SupernetSpec } from "../../supernet/Spec.ts"
import { type ActiveBlock, activeBlocks, maxSubmodel } from "../../supernet/Submodel.ts"
import { SegmentBuilder, segmentInput, segmentOutput } from "../../supernet/onnx/Segment.ts"
import { byteTensor, discard, floatTensor, type OrtTensor, output } from "../../supernet/onnx/Runtime.ts"
import type { WorkerSettings } from "./EngineProtocol.ts"
import { type Segment, SessionPool } from "./SessionPool.ts"

interface ToFuse {
  readonly segment: Segment
  readonly shape: ReadonlyArray<number>
}

/**
 * Fusing costs 20 ms for a whole network and gains about 1 ms a run: not for strategies that are used once. A segment that was
 * run so often lately is fused in idle time, and without idle time when it has nearly paid already; where the budget is full,
 * only in place of a colder one.
 */
const fuseIdleFrom = 3
const fuseBusyFrom = 24
/** Segments that may be fused, at once. */
const maxToFuse = 512

interface Variant {
  readonly block: ActiveBlock
  readonly resolution: number
}

/**
 * Every block of the supernet in every kernel and expand, for every resolution, the given one first. Statistics, and so
 * weights and sessions, may differ by resolution; where they do not, equal keys are built once.
 */
const blockVariants = (spec: SupernetSpec, first: number): ReadonlyArray<Variant> => {
  const largest = maxSubmodel(spec)
  const chosen = (v: number) => largest.kernels.map(() => v)
  const variants = new Map<string, ActiveBlock>()
  for (const kernel of spec.kernels) {
    for (const expand of spec.expands) {
      for (const b of activeBlocks(spec, { ...largest, kernels: chosen(kernel), expands: chosen(expand) })) {
        variants.set(`${b.index} ${b.kernel} ${b.expand}`, b)
      }
    }
  }
  const resolutions = [first, ...spec.resolutions.filter((r) => r !== first)]
  return resolutions.flatMap((resolution) => [...variants.values()].map((block) => ({ block, resolution })))
}

const zeros = (segment: Segment, shape: ReadonlyArray<number>): OrtTensor => {
  const size = shape.reduce((a, b) => a * b, 1)
  return segment.blocks[0]?.kind === "stem"
    ? byteTensor(new Uint8Array(size), shape)
    : floatTensor(new Float32Array(size), shape)
}

export interface Computed {
  readonly result: OrtTensor
  readonly tier: "block" | "fused"
  readonly built: number
}

export class Tiers {
  readonly pool: SessionPool
  readonly #settings: WorkerSettings
  /** Segments to fuse when there is time and they are hot enough, with the input to warm them with. */
  readonly #toFuse = new Map<string, ToFuse>()
  /** Block variants still to be looked at in idle time; undefined until that begins for the resolution asked for last. */
  #toPreload: Array<Variant> | undefined
  #preloadResolution: number

  constructor(settings: WorkerSettings) {
    this.#settings = settings
    const builder = new SegmentBuilder(settings.spec, settings.weights, settings.sessionBudgetBytes / 4)
    this.pool = new SessionPool(builder, settings.runtime, settings.sessionBudgetBytes)
    this.#preloadResolution = Math.max(...settings.spec.resolutions)
  }

  /** Turns idle work to a resolution. */
  plan(resolution: number): void {
    if (resolution === this.#preloadResolution) return
    this.#preloadResolution = resolution
    this.#toPreload = undefined
  }

  /**
   * Where many of the blocks are missing, and a fused session finds room, it is built at once; else the missing blocks, which other
   * strategies share, and the fused session follows in idle time.
   */
  async makeReady(segment: Segment, shape: ReadonlyArray<number>): Promise<void> {
    if (this.pool.has(segment.key)) {
      await this.pool.fused(segment)
      return
    }
    const { tier } = this.#settings
    if (tier === "fused" || (tier === "auto" && this.#fusesAtOnce(segment))) {
      await this.pool.fused(segment)
      return
    }
    for (const i of segment.blocks.keys()) await this.pool.block(segment, i)
    if (tier === "auto" && segment.blocks.length > 1) this.#remember(segment, shape)
  }

  /** A fused session takes as much memory as a third of its blocks one by one, and not longer to build. */
  #fusesAtOnce(segment: Segment): boolean {
    const missing = segment.blockKeys.filter((key) => !this.pool.has(key)).length
    return 3 * missing > segment.blocks.length && this.pool.heat(segment) >= this.pool.fusedFrom
  }

  #remember(segment: Segment, shape: ReadonlyArray<number>): void {
    if (this.#toFuse.has(segment.key)) return
    this.#toFuse.set(segment.key, { segment, shape })
    const [oldest] = this.#toFuse.keys()
    if (this.#toFuse.size > maxToFuse && oldest !== undefined) this.#toFuse.delete(oldest)
  }

  /** One piece of work for idle time, 1 to 30 ms, `onlyHot`: for what runs at present; false when nothing is left to do. */
  async improve(onlyHot = false): Promise<boolean> {
    const [next] = this.#hot()
    if (next === undefined) return onlyHot ? false : this.#preloadOne()
    const { segment, shape } = next
    this.#toFuse.delete(segment.key)
    if (this.pool.has(segment.key)) return true
    await this.pool.fused(segment)
    // The first run on a size costs up to 1.5 ms more; better now than in a request.
    await this.compute(segment, zeros(segment, shape))
    return true
  }

  /** Segments that are worth fusing in idle time. */
  #hot(): ReadonlyArray<ToFuse> {
    const from = Math.max(fuseIdleFrom, this.pool.fusedFrom)
    return [...this.#toFuse.values()].filter(({ segment }) => this.pool.heat(segment) >= from)
  }

  /** Pieces of work that `improve` may still find. */
  get ahead(): number {
    return this.#hot().length + (this.#toPreload?.length ?? 1)
  }

  /** A block's session where the budget has room, else only its folded weights, which make building it later cheaper. */
  async #preloadOne(): Promise<boolean> {
    this.#toPreload ??= [...blockVariants(this.#settings.spec, this.#preloadResolution)]
    for (let next = this.#toPreload.shift(); next !== undefined; next = this.#toPreload.shift()) {
      const { block, resolution } = next
      const segment = this.pool.segment([block], resolution)
      if (this.pool.has(segment.key)) continue
      if (this.#settings.preload && this.pool.hasRoom) {
        await this.pool.block(segment, 0)
      } else if (!this.pool.builder.foldAhead(block, resolution)) {
        continue
      }
      return true
    }
    return false
  }

  /** Runs a segment. */
  async compute(segment: Segment, input: OrtTensor): Promise<Computed> {
    const builtBefore = this.pool.stats.built
    const tier = this.#tier(segment, input.dims)
    let result = input
    if (tier === "fused") {
      const session = await this.pool.fused(segment)
      result = output(await session.run({ [segmentInput]: input }), segmentOutput)
    } else {
      for (const i of segment.blocks.keys()) {
        const session = await this.pool.block(segment, i)
        const before = result
        result = output(await session.run({ [segmentInput]: before }), segmentOutput)
        if (before !== input) discard(before.data)
      }
    }
    this.pool.ran(segment, tier)
    const built = this.pool.stats.built - builtBefore
    return { result, tier, built }
  }

  #tier(segment: Segment, shape: ReadonlyArray<number>): "block" | "fused" {
    const { tier } = this.#settings
    if (tier === "block" || segment.blocks.length === 1) return "block"
    if (tier === "fused" || this.pool.has(segment.key)) return "fused"
    if (this.#fusesAtOnce(segment)) return "fused"
    if (this.pool.heat(segment) >= Math.max(fuseBusyFrom, this.pool.fusedFrom)) return "fused"
    this.#remember(segment, shape)
    return "block"
  }
}
