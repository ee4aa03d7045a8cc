/**
 * Shipped profiles from published figures: a non-negative fit of operator rates to the times of whole networks.
 *
 * Eleven networks cannot tell every rate apart, so two are given and the rest is fitted: weights are read at a stated
 * memory bandwidth, and a depthwise 3x3 runs at a stated share of the 1x1 rate. Both are marked as estimates.
 */
import { type OpCounts, totalMacs } from "../../supernet/Cost.ts"
import { type DeviceProfile, opsMs } from "./DeviceProfile.ts"
import { nonNegativeRelativeFit } from "./LeastSquares.ts"
import { networkNames, type NetworkName, networkOps, type NetworkTimes } from "./Published.ts"

export interface CalibrationPriors {
  /** Rate of a depthwise 3x3 over the rate of a 1x1 convolution. Larger kernels do more work per value loaded: see code. */
  readonly depthwiseShare: number
  readonly weightGBs: number
  /** Given where the figures cannot show it (a GPU's launch cost in batched figures), else fitted. */
  readonly layerMs?: number
  /** Images per run in the published figures; weights are read once a run. Default 1. */
  readonly batch?: number
}

export interface CalibratedRates {
  readonly rates: DeviceProfile["rates"]
  readonly mapGBs: number
  readonly weightGBs: number
  readonly layerMs: number
}

// A depthwise kernel is bound by loads and stores: time per MAC falls as the kernel grows. Ratios as measured with ONNX
// Runtime on x64 by `murmuration profile`; nothing published separates them.
const depthwise5Speed = 1.5
const depthwise7Speed = 1.8

/** Networks like the supernet count threefold: the dense ones only need to be about right. */
const like: ReadonlySet<NetworkName> = new Set<NetworkName>([
  "mobilenet_v2",
  "mobilenet_v3",
  "mnasnet",
  "proxylessnasnet",
  "efficientnet_b0",
])

const giga = 1e-9
const fitted = (ops: OpCounts, share: number): ReadonlyArray<number> => [
  ops.dense * giga,
  (ops.pointwise +
    (ops.depthwise3 + ops.depthwise5 / depthwise5Speed + ops.depthwise7 / depthwise7Speed) / share) *
    giga,
  4 * (ops.activations + ops.elementwise) * giga,
]

/** Rates under which the published networks take their published times, as nearly as non-negative costs allow. */
export const calibrate = (times: NetworkTimes, priors: CalibrationPriors): CalibratedRates => {
  const samples = networkNames.flatMap((name) => {
    const ms = times[name]
    if (ms === undefined) return []
    const ops = networkOps(name)
    const rest = ms - (4 * ops.parameters * 1e-6) / priors.weightGBs / (priors.batch ?? 1)
    const row = fitted(ops, priors.depthwiseShare)
    const sample = { row: priors.layerMs === undefined ? [...row, ops.layers] : row, ms: rest }
    return Array.from({ length: like.has(name) ? 3 : 1 }, () => sample)
  })
  const [dense = 0, pointwise = 0, map = 0, layer = 0] = nonNegativeRelativeFit(
    samples.map((s) => s.row),
    samples.map((s) => s.ms),
  )
  // A cost the figures do not show is a rate too fast to see, not an infinite one.
  const rate = (msPerGiga: number, fastest: number) =>
    msPerGiga > 0 ? Math.min(1e3 / msPerGiga, fastest) : fastest
  const rounded = (value: number) => Number(value.toPrecision(4))
  const pointwiseRate = rate(pointwise, 1e5)
  const depthwise3 = pointwiseRate * priors.depthwiseShare
  return {
    rates: {
      dense: rounded(rate(dense, 1e5)),
      pointwise: rounded(pointwiseRate),
      depthwise3: rounded(depthwise3),
      depthwise5: rounded(depthwise3 * depthwise5Speed),
      depthwise7: rounded(depthwise3 * depthwise7Speed),
    },
    mapGBs: rounded(rate(map, 10 * priors.weightGBs)),
    weightGBs: priors.weightGBs,
    layerMs: rounded(priors.layerMs ?? layer),
  }
}

export interface CalibrationError {
  readonly network: NetworkName
  readonly publishedMs: number
  readonly modelMs: number
  readonly relativeError: number
  readonly gmacs: number
}

/** How a profile's time for each published network compares with the published one. */
export const calibrationErrors = (
  profile: Pick<DeviceProfile, "rates" | "mapGBs" | "weightGBs" | "layerMs">,
  times: NetworkTimes,
): ReadonlyArray<CalibrationError> =>
  networkNames.flatMap((network) => {
    const publishedMs = times[network]
    if (publishedMs === undefined) return []
    const ops = networkOps(network)
    const modelMs = opsMs(profile as DeviceProfile, ops)
    return [
      {
        network,
        publishedMs,
        modelMs,
        relativeError: modelMs / publishedMs - 1,
        gmacs: totalMacs(ops) / 1e9,
      },
    ]
  })
