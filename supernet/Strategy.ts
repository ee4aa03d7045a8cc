/**
 * A strategy says which network runs and where each part of it runs: a submodel, and for every active block the grid
 * that cuts its input, the bits of values that cross the bus there, and the device of each tile.
 */
import { createHash } from "node:crypto"
import { type Grid, geometry, grids, intersect, regionArea, tileCount } from "./Partition.ts"
import { pick, type Random } from "./Random.ts"
import type { Bits, BlockPlan, Strategy } from "./Schemas.ts"
import type { SupernetSpec } from "./Spec.ts"
import {
  activeBlocks,
  normalizeSubmodel,
  sampleSubmodel,
  type Submodel,
  submodelProblems,
} from "./Submodel.ts"

export type { Bits, BlockPlan, Strategy }

export const bitsChoices: ReadonlyArray<Bits> = [32, 16, 8]

/** Index of the device that holds the image and answers the client. */
export const localDevice = 0

/**
 * The canonical form of a strategy: equal behaviour, equal data.
 * - Bits become 32 where a block's whole input is on the devices that need it: values are quantised only to be sent.
 * - Bits of the stem become 8 where the image is sent: pixels are bytes, so 8 bits lose nothing.
 * - Devices that run no tile (and are not local) are dropped.
 */
export const normalizeStrategy = (spec: SupernetSpec, strategy: Strategy): Strategy => {
  const submodel = normalizeSubmodel(spec, strategy.submodel)
  const crossing = crossingBlocks(spec, { ...strategy, submodel })
  const used = new Set([localDevice, ...strategy.blocks.flatMap((b) => b.placement)])
  const kept = strategy.devices.flatMap((_, i) => (used.has(i) ? [i] : []))
  const renumbered = new Map(kept.map((old, now) => [old, now]))
  return {
    submodel,
    devices: kept.map((i) => strategy.devices[i] ?? ""),
    blocks: strategy.blocks.map((b, i) => ({
      grid: b.grid,
      bits: crossing[i] !== true ? 32 : i === 0 ? 8 : b.bits,
      placement: b.placement.map((d) => renumbered.get(d) ?? d),
    })),
  }
}

/** For each active block, whether any part of its input comes from another device. */
export const crossingBlocks = (spec: SupernetSpec, strategy: Strategy): ReadonlyArray<boolean> => {
  const regions = () =>
    geometry(
      activeBlocks(spec, strategy.submodel),
      strategy.submodel.resolution,
      strategy.blocks.map((b) => b.grid),
    )
  let geo: ReturnType<typeof regions> | undefined
  return strategy.blocks.map((plan, i) => {
    const before = strategy.blocks[i - 1]
    const producers = before?.placement ?? [localDevice]
    // Nothing moves where all is on one device, which is what most blocks of most strategies do.
    if (plan.placement.every((device) => producers.every((p) => p === device))) return false
    geo ??= regions()
    return plan.placement.some((device, t) => {
      if (before === undefined) return device !== localDevice
      return before.placement.some((producer, u) => {
        if (producer === device) return false
        const [out, input] = [geo?.[i - 1]?.outputTiles[u], geo?.[i]?.inputTiles[t]]
        return out !== undefined && input !== undefined && intersect(out, input) !== undefined
      })
    })
  })
}

/** Content hash of a strategy's canonical form for one supernet: 16 hexadecimal digits. */
export const strategyId = (spec: SupernetSpec, strategy: Strategy): string =>
  normalizedId(spec, normalizeStrategy(spec, strategy))

/** The same for a strategy that is normalised already. */
export const normalizedId = (spec: SupernetSpec, s: Strategy): string => {
  const blocks = s.blocks.map((b) => [b.grid, b.bits, b.placement])
  const { resolution, depths, kernels, expands } = s.submodel
  const canonical = JSON.stringify([
    spec.name,
    spec.version,
    resolution,
    depths,
    kernels,
    expands,
    s.devices,
    blocks,
  ])
  return createHash("sha256").update(canonical).digest("hex").slice(0, 16)
}

/** What is wrong with a strategy for this supernet, in words; empty when it is valid. */
export const strategyProblems = (spec: SupernetSpec, strategy: Strategy): ReadonlyArray<string> => {
  const problems = [...submodelProblems(spec, strategy.submodel)]
  if (problems.length > 0) return problems
  const blocks = activeBlocks(spec, strategy.submodel)
  if (strategy.devices.length === 0) problems.push("no devices")
  if (new Set(strategy.devices).size !== strategy.devices.length) problems.push("a device is listed twice")
  if (strategy.blocks.length !== blocks.length) {
    return [...problems, `${strategy.blocks.length} block plans for ${blocks.length} active blocks`]
  }
  for (const [i, plan] of strategy.blocks.entries()) {
    if (blocks[i]?.kind === "head" && plan.grid !== "1x1")
      problems.push(`the head has grid ${plan.grid}; it runs on one device`)
    if (plan.placement.length !== tileCount(plan.grid)) {
      problems.push(`block ${i}: ${plan.placement.length} devices for a ${plan.grid} grid`)
      // Not each of them too: a message has room for a million.
      continue
    }
    for (const d of plan.placement) {
      if (d < 0 || d >= strategy.devices.length)
        problems.push(`block ${i}: device index ${d} of ${strategy.devices.length}`)
    }
  }
  const geo = geometry(
    blocks,
    strategy.submodel.resolution,
    strategy.blocks.map((b) => b.grid),
  )
  const emptied = geo.findIndex((g) => [...g.inputTiles, ...g.outputTiles].some((r) => regionArea(r) === 0))
  if (emptied >= 0)
    problems.push(`block ${emptied}: grid ${geo[emptied]?.grid} leaves a tile of a small map without pixels`)
  return problems
}

/** Everything on the local device, uncut: the strategy that needs nobody else. */
export const localStrategy = (spec: SupernetSpec, submodel: Submodel, device: string): Strategy => ({
  submodel: normalizeSubmodel(spec, submodel),
  devices: [device],
  blocks: activeBlocks(spec, submodel).map(() => ({ grid: "1x1", bits: 32, placement: [localDevice] })),
})

export interface SampleOptions {
  readonly submodel?: Submodel
  readonly grids?: ReadonlyArray<Grid>
  readonly bits?: ReadonlyArray<Bits>
  /** Chance that a block keeps its predecessor's grid and placement; high values give long segments. Default 0.6. */
  readonly locality?: number
}

/** A random valid strategy over the given devices, normalised. */
export const sampleStrategy = (
  spec: SupernetSpec,
  devices: ReadonlyArray<string>,
  random: Random,
  options: SampleOptions = {},
): Strategy => {
  const submodel = options.submodel ?? sampleSubmodel(spec, random)
  const bits = pick(random, options.bits ?? bitsChoices)
  let grid: Grid = "1x1"
  let placement: ReadonlyArray<number> = [localDevice]
  const blocks = activeBlocks(spec, submodel).map((b) => {
    if (b.kind === "head" || random.next() >= (options.locality ?? 0.6)) {
      grid = b.kind === "head" ? "1x1" : pick(random, options.grids ?? grids)
      placement = Array.from({ length: tileCount(grid) }, () => pick(random, [...devices.keys()]))
    }
    return { grid, bits, placement }
  })
  return normalizeStrategy(spec, { submodel, devices, blocks })
}
