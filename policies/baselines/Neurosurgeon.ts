/**
 * After Neurosurgeon (Kang et al., ASPLOS 2017): a network is cut once, the first part runs on the local device, the rest
 * on one remote. Regressions of layer latency predict every cut; the best predicted one runs. Cuts inside shortcuts and
 * branches are allowed too: then every tensor that is read behind the cut is sent. Best setting: the remote is the best of
 * all, and the regressions are fitted to every layer of the zoo on that very device.
 *
 * No cut costs accuracy, features of 8 bits count as free too: so a network's fastest cut is its best under any SLO.
 */
import { opsMs, type DeviceProfile } from "../../devices/profiles/DeviceProfile.ts"
import { quantiseMs, dequantiseMs } from "../../devices/profiles/BlockTime.ts"
import type { Overheads } from "../../devices/latency/Overheads.ts"
import { addOps, noOps, type OpCounts } from "../../supernet/Cost.ts"
import type { Bits } from "../../supernet/Strategy.ts"
import {
  type CutPoint,
  cutPoints,
  imageInput,
  type Layer,
  type Network,
} from "../../supernet/zoo/LayerGraph.ts"
import { zoo } from "../../supernet/zoo/Zoo.ts"
import type { Condition, DeviceState } from "../Condition.ts"
import {
  type Baseline,
  type BaselineOutcome,
  type BaselinePlan,
  type BaselineWorld,
  hopMs,
  localOf,
  overheadsOf,
  requestMs,
  resultBytes,
  runMs,
} from "./Baseline.ts"
import { fitLayerLatency, type LayerLatency } from "./LatencyRegression.ts"

export interface CutPlan extends BaselinePlan {
  /** Layers on the local device; all of them when there is no remote. */
  readonly localLayers: number
  readonly remote: string | undefined
}

export interface NeurosurgeonOptions {
  /** Width of the sent features. The paper sends float32; 8 bits is a stronger variant of ours. Default 32. */
  readonly bits?: Bits
  /** Which cuts are allowed, by the number of local layers. Default: all. */
  readonly cuts?: "all" | "all-local" | "all-remote"
}

/** Sums of predicted times and of work before each layer, so that any cut is two subtractions. */
interface Prefix {
  readonly cuts: ReadonlyArray<CutPoint>
  readonly ops: ReadonlyArray<OpCounts>
  readonly suffixOps: ReadonlyArray<OpCounts>
}

const prefixes = new WeakMap<Network, Prefix>()
const prefixOf = (network: Network): Prefix => {
  const known = prefixes.get(network)
  if (known !== undefined) return known
  const ops = [noOps]
  for (const layer of network.layers) ops.push(addOps(ops.at(-1) ?? noOps, layer.ops))
  const suffixOps = [noOps]
  for (const layer of network.layers.toReversed())
    suffixOps.push(addOps(suffixOps.at(-1) ?? noOps, layer.ops))
  const made = { cuts: cutPoints(network), ops, suffixOps: suffixOps.toReversed() }
  prefixes.set(network, made)
  return made
}

const regressions = new WeakMap<DeviceProfile, LayerLatency>()
/** The device's regressions, from "running" every layer of the zoo on it: its profile says how long each takes. */
export const layerLatencyOn = (profile: DeviceProfile): LayerLatency => {
  const known = regressions.get(profile)
  if (known !== undefined) return known
  const layers = zoo.flatMap((n) => n.layers)
  const fitted = fitLayerLatency(layers.map((layer) => ({ layer, ms: opsMs(profile, layer.ops) })))
  regressions.set(profile, fitted)
  return fitted
}

const predicted = new WeakMap<DeviceProfile, WeakMap<Network, ReadonlyArray<number>>>()
/** Predicted time of the first i layers, for every i, ms. */
const predictedPrefix = (profile: DeviceProfile, network: Network): ReadonlyArray<number> => {
  const ofProfile = predicted.get(profile) ?? new WeakMap<Network, ReadonlyArray<number>>()
  predicted.set(profile, ofProfile)
  const known = ofProfile.get(network)
  if (known !== undefined) return known
  const latency = layerLatencyOn(profile)
  const sums = [0]
  for (const layer of network.layers) sums.push((sums.at(-1) ?? 0) + latency(layer))
  ofProfile.set(network, sums)
  return sums
}

/** Bytes of what crosses a cut: the image as bytes, features with `bits` each. */
const cutBytes = (cut: CutPoint, bits: Bits): number =>
  cut.crossing.includes(imageInput) ? cut.values : (cut.values * bits) / 8

interface Part {
  readonly network: Network
  readonly overheads: Overheads
  readonly local: DeviceProfile
  readonly remote: { readonly state: DeviceState; readonly profile: DeviceProfile }
  readonly bits: Bits
}

/** Everything of a cut that is not a layer: request, run overheads, conversion, transfer both ways, reply. */
const aroundLayersMs = (part: Part, cut: CutPoint): number => {
  const { overheads, local, remote, network, bits } = part
  const run = (profile: DeviceProfile) => overheads.taskMs + profile.runMs
  if (cut.before === network.layers.length) return requestMs(overheads, local) + run(local)
  const isImage = cut.crossing.includes(imageInput)
  const convert = isImage
    ? 0
    : quantiseMs(local, cut.values, bits) + dequantiseMs(remote.profile, cut.values, bits)
  const sent = hopMs(overheads, remote.state, cutBytes(cut, bits))
  const back = hopMs(overheads, remote.state, resultBytes(network))
  const localRun = cut.before === 0 ? 0 : run(local)
  return requestMs(overheads, local) + localRun + convert + sent + run(remote.profile) + back
}

const allowed = (network: Network, cuts: NeurosurgeonOptions["cuts"], before: number): boolean =>
  cuts === "all-local" ? before === network.layers.length : cuts === "all-remote" ? before === 0 : true

/** What the cut really takes: the profile's own times instead of the regressions'. */
const realMs = (part: Part, cut: CutPoint): number => {
  const { ops, suffixOps } = prefixOf(part.network)
  const before = ops[cut.before] ?? noOps
  const behind = suffixOps[cut.before] ?? noOps
  return aroundLayersMs(part, cut) + opsMs(part.local, before) + opsMs(part.remote.profile, behind)
}

const describe = (network: Network, cut: CutPoint, local: string, remote: string): CutPlan => {
  const layer: Layer | undefined = network.layers[cut.before]
  const everything = network.layers.length
  if (cut.before === everything)
    return { summary: `all on ${local}`, devices: [local], localLayers: everything, remote: undefined }
  if (cut.before === 0) return { summary: `all on ${remote}`, devices: [remote], localLayers: 0, remote }
  const summary = `${local} before ${layer?.name ?? ""}, rest on ${remote}`
  return { summary, devices: [local, remote], localLayers: cut.before, remote }
}

/** The local device alone: what every method falls back to. */
const localOnly = (
  network: Network,
  condition: Condition,
  world: BaselineWorld,
): BaselineOutcome<CutPlan> => {
  const local = localOf(condition)
  const overheads = overheadsOf(world)
  const profile = world.profileOf(local.type)
  const { ops } = prefixOf(network)
  const latencyMs = requestMs(overheads, profile) + runMs(overheads, profile, ops.at(-1) ?? noOps)
  const plan = {
    summary: `all on ${local.id}`,
    devices: [local.id],
    localLayers: network.layers.length,
    remote: undefined,
  }
  return { latencyMs, accuracy: network.top1, plan }
}

export const neurosurgeon =
  (options: NeurosurgeonOptions = {}) =>
  (network: Network, condition: Condition, world: BaselineWorld): BaselineOutcome<CutPlan> => {
    const local = localOf(condition)
    const overheads = overheadsOf(world)
    const localProfile = world.profileOf(local.type)
    const { cuts } = prefixOf(network)
    let best: { readonly part: Part; readonly cut: CutPoint; readonly ms: number } | undefined
    for (const state of condition.devices.slice(1)) {
      const profile = world.profileOf(state.type)
      const part = {
        network,
        overheads,
        local: localProfile,
        remote: { state, profile },
        bits: options.bits ?? 32,
      }
      const [here, there] = [predictedPrefix(localProfile, network), predictedPrefix(profile, network)]
      for (const cut of cuts) {
        if (!allowed(network, options.cuts, cut.before)) continue
        const behind = (there.at(-1) ?? 0) - (there[cut.before] ?? 0)
        const ms = aroundLayersMs(part, cut) + (here[cut.before] ?? 0) + behind
        if (best === undefined || ms < best.ms) best = { part, cut, ms }
      }
    }
    if (best === undefined) return localOnly(network, condition, world)
    const plan = describe(network, best.cut, local.id, best.part.remote.state.id)
    return { latencyMs: realMs(best.part, best.cut), accuracy: network.top1, plan }
  }

type Method = (network: Network, condition: Condition, world: BaselineWorld) => BaselineOutcome<CutPlan>
const baseline = (name: string, method: Method): Baseline => ({
  name,
  plans: (network, condition, world) => [method(network, condition, world)],
})

export const neurosurgeonBaseline = baseline("Neurosurgeon", neurosurgeon())
/** Not in the paper: the same with features sent as 8 bits, as ours may. */
export const neurosurgeon8Baseline = baseline("Neurosurgeon, 8 bit", neurosurgeon({ bits: 8 }))
export const singleDeviceBaseline = baseline("single device", localOnly)
export const remoteOnlyBaseline = baseline("remote only", neurosurgeon({ cuts: "all-remote" }))
