/** What happens during the demo, and when: links get better and worse, a device leaves and comes back. */
import { symmetricLink, type Link } from "../devices/latency/Condition.ts"
import type { Slo } from "../subjects/InferMessages.ts"

export interface DemoPhase {
  readonly title: string
  /** The link of every device but the serving one. */
  readonly link: Link
  /** The last device is stopped politely, or started again, as the phase begins. */
  readonly last?: "leaves" | "returns"
}

export const demoPhases: ReadonlyArray<DemoPhase> = [
  { title: "good Wi-Fi: 200 Mbps, 2 ms", link: symmetricLink(200, 2) },
  { title: "far away: 20 Mbps, 20 ms", link: symmetricLink(20, 20) },
  { title: "nearly out of range: 3 Mbps, 60 ms", link: symmetricLink(3, 60) },
  { title: "back: 100 Mbps, 5 ms", link: symmetricLink(100, 5) },
  { title: "the last device leaves", link: symmetricLink(100, 5), last: "leaves" },
  { title: "and returns", link: symmetricLink(200, 2), last: "returns" },
]

/** Clients of the demo want different things, in turn. */
export const demoSlos: ReadonlyArray<Slo> = [
  { latencyMs: 70 },
  { latencyMs: 50 },
  { accuracy: 0.875 },
  { latencyMs: 90 },
]
