/**
 * Swapping the policy of a running swarm: from the operator's put to the last of five devices using it, over links of 20 ms,
 * while a client asks. A policy as it is shipped takes turns with one of the paper's size, which is untrained: what is judged is the
 * swap, not the decisions.
 */
import { join } from "node:path"
import { Effect, Fiber, Layer } from "effect"
import { pushPolicy } from "../cli/PolicyBucket.ts"
import { swarmBox } from "../deploy/SwarmBox.ts"
import { symmetricLink } from "../devices/latency/Condition.ts"
import { type PolicyArtifact, readPolicy } from "../policies/PolicyArtifact.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { untrainedPolicy } from "../test/support/TestPolicy.ts"
import {
  type BenchModule,
  type BenchOptions,
  type BenchResult,
  median,
  projectRoot,
  quantile,
} from "./Bench.ts"

const profile = "raspberry-pi-zero-2-w"
const inUse = /policy (\S+) (\S+) is in use/
const linkDelayMs = 20
/** Units of the paper's LSTM. */
const paperHidden = 256
type Which = "shipped" | "large"

/** Resolves for a version when every device has said that it uses it. */
const adoptions = (devices: ReadonlyArray<DeviceId>) => {
  const seen = new Map<string, Map<string, number>>()
  return {
    onLine: (device: DeviceId, line: string) => {
      const version = inUse.exec(line)?.[2]
      if (version === undefined) return
      const at = seen.get(version) ?? new Map<string, number>()
      at.set(device, performance.now())
      seen.set(version, at)
    },
    allAt: (version: string): number | undefined => {
      const at = seen.get(version)
      return at?.size === devices.length ? Math.max(...at.values()) : undefined
    },
  }
}

const measure = (o: BenchOptions) =>
  Effect.gen(function* () {
    const swaps = o.quick ? 3 : 30
    const ids = Array.from({ length: 5 }, (_, i) => DeviceId.make(`pi-${i + 1}`))
    const adopted = adoptions(ids)
    const link = symmetricLink(50, linkDelayMs)
    const box = yield* swarmBox({ devices: ids.map((id) => ({ id, profile, link })), onLine: adopted.onLine })
    const { spec } = yield* readArtifact(yield* defaultArtifact)
    const shipped = yield* readPolicy(join(projectRoot, "policies", "artifacts", "swarm-latency"))
    const large = yield* Effect.promise(() =>
      untrainedPolicy(spec, { version: "large", seed: o.seed, hidden: paperHidden, profile }),
    )
    const operator = yield* Layer.build(Layer.fresh(Bus.layer(box.operator)))
    const client = yield* Layer.build(Layer.fresh(Bus.layer(box.devices[0]?.client ?? box.operator)))
    const tensor = { width: 96, height: 96, data: new Uint8Array(96 * 96 * 3).fill(120) }
    const load = { isOver: false, answered: 0, failed: 0 }
    // Asked only once: a retry would hide a failure.
    const one = infer({ tensor, slo: { latencyMs: 80 }, attempts: 1, deadlineMs: 5000 }).pipe(
      Effect.match({ onSuccess: () => load.answered++, onFailure: () => load.failed++ }),
    )
    const all = Effect.repeat(one, { while: () => !load.isOver })
    const asking = yield* Effect.forkChild(Effect.provide(all, client))
    let pushed = 0
    const swap = Effect.fnUntraced(function* (artifact: PolicyArtifact) {
      const version = `swap-${++pushed}`
      const began = performance.now()
      yield* Effect.provide(
        pushPolicy({ ...artifact, manifest: { ...artifact.manifest, version } }),
        operator,
      )
      while (adopted.allAt(version) === undefined && performance.now() - began < 20_000)
        yield* Effect.sleep("5 millis")
      return (adopted.allAt(version) ?? Number.POSITIVE_INFINITY) - began
    })
    // The first swap also waits for the watchers and for code that was never run.
    yield* swap(large)
    const times: Record<Which, Array<number>> = { shipped: [], large: [] }
    for (let i = 0; i < swaps; i++) {
      times.shipped.push(yield* swap(shipped))
      times.large.push(yield* swap(large))
    }
    load.isOver = true
    yield* Fiber.join(asking)
    return { times, load, pushed, bytes: { shipped: shipped.onnx.length, large: large.onnx.length } }
  }).pipe(Effect.scoped)

const run = async (o: BenchOptions): Promise<BenchResult> => {
  const { times, load, pushed, bytes } = await Effect.runPromise(measure(o))
  const row = (policy: string, which: Which) => ({
    policy,
    policy_bytes: bytes[which],
    swaps: times[which].length,
    p50_ms: median(times[which]),
    p95_ms: quantile(times[which], 0.95),
    max_ms: Math.max(...times[which]),
  })
  return {
    kind: "measured",
    checks: [
      { name: "p95_ms", value: quantile(times.shipped, 0.95), op: "<=", bound: 500 },
      { name: "answered_requests", value: load.answered, op: ">=", bound: pushed },
      { name: "failed_requests", value: load.failed, op: "=", bound: 0 },
    ],
    rows: [
      row("swarm.latency, as shipped", "shipped"),
      row(`as large as the paper's (${paperHidden} units), untrained`, "large"),
    ],
    notes: [
      `5 emulated ${profile}, each link 50 Mbps and ${linkDelayMs} ms one way, shaped`,
      `meanwhile one client asked one request after the other, each only once (no retries): ${load.answered} were answered, at least one a swap is expected (${pushed} swaps, the first and those of both policies)`,
      "from before the upload of the objects to the last device's word that it uses the policy; the check is on the shipped policy",
    ],
  }
}

export const bench: BenchModule = {
  name: "hotswap",
  proves: "a new policy is in use on five devices in half a second, and no request fails for it",
  takes: "1 minute",
  run,
}
