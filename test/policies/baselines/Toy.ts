/** Devices and networks with round numbers, so that latencies can be computed by hand. */
import { noOverheads } from "../../../devices/latency/Overheads.ts"
import type { DeviceProfile } from "../../../devices/profiles/DeviceProfile.ts"
import { imageInput, type Network, NetworkBuilder } from "../../../supernet/zoo/LayerGraph.ts"
import type { BaselineWorld } from "../../../policies/baselines/Baseline.ts"
import type { Condition } from "../../../policies/Condition.ts"

/** A device that does `gmacs` GMAC/s in dense and pointwise convolutions, and everything else in no time. */
const device = (name: string, gmacs: number): DeviceProfile => ({
  name,
  title: name,
  rates: { dense: gmacs, pointwise: gmacs, depthwise3: gmacs, depthwise5: gmacs, depthwise7: gmacs },
  mapGBs: 1e12,
  weightGBs: 1e12,
  layerMs: 0,
  blockMs: 0,
  runMs: 0,
  quantise: { u8: 0, f16: 0 },
  dequantise: { u8: 0, f16: 0 },
  decodeMs: 0,
  memoryMb: 1000,
  provenance: [],
})

const devices = new Map([
  ["slow", device("slow", 1)],
  ["fast", device("fast", 10)],
])

export const toyWorld: BaselineWorld = {
  profileOf: (type) => devices.get(type) ?? device(type, 1),
  overheads: noOverheads,
}

export const toyCondition = (
  remotes: ReadonlyArray<{ type: string; bandwidthMbps: number; delayMs: number }>,
): Condition => ({
  devices: [
    { id: "local", type: "slow", bandwidthMbps: 100_000, delayMs: 0 },
    ...remotes.map((r, i) => ({ id: `remote-${i + 1}`, ...r })),
  ],
})

/**
 * 16 x 16 x 3 image; a: 3x3 to 100 channels at 16 x 16 (691,200 MACs); b: 1x1 to 10 channels (256,000 MACs), stride 2 to
 * 8 x 8; c: 3x3 to 1000 channels (5,760,000 MACs); d: 1x1 to 10 channels (640,000 MACs); global pool: 10 values.
 */
export const toyNetwork = (): Network => {
  const b = new NetworkBuilder(16)
  b.within("toy")
  const wide = b.conv("a", imageInput, { out: 100, kernel: 3 })
  const narrow = b.conv("b", wide, { out: 10, kernel: 1, stride: 2 })
  const heavy = b.conv("c", narrow, { out: 1000, kernel: 3 })
  b.pool("pool", b.conv("d", heavy, { out: 10, kernel: 1 }))
  return b.build("toy", 0.75, "made up")
}
