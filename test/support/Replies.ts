/** What a device might answer, for tests of those who ask. */
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import type { InferReply } from "../../subjects/InferMessages.ts"

const device = DeviceId.make("pi-1")

export const someReply: InferReply = {
  id: RequestId.make("made-here"),
  device,
  classes: [{ index: 3, name: "cat", probability: 0.75 }],
  latencyMs: 12.5,
  breakdown: { queueMs: 0, decodeMs: 1, planMs: 2, reconfigMs: 0, executeMs: 9.5 },
  slo: { latencyMs: 140 },
  sloMet: true,
  predicted: { latencyMs: 12, accuracy: 0.8 },
  strategyId: "0123456789abcdef",
  summary: { resolution: 96, depths: [2], devices: [device], tasks: 1, crossings: 0, text: "all on pi-1" },
  origin: "cache",
  replans: 0,
  supernet: { name: "test", version: "1" },
  trained: false,
}
