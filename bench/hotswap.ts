/**
 * Swapping the policy of a running swarm: from the operator's put to the last of five devices using it, over links of 20 ms,
 * while clients ask. The policies are untrained networks of full size: what is judged is the swap, not the decisions.
 */
import { Effect, Fiber, Layer } from "effect"
import { pushPolicy } from "../cli/PolicyBucket.ts"
import { swarmBox } from "../deploy/SwarmBox.ts"
import { symmetricLink } from "../devices/latency/Condition.ts"
import { Bus } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { untrainedPolicy } from "../test/support/TestPolicy.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile } from "./Bench.ts"

const profile = "raspberry-pi-zero-2-w"
const inUse = /policy (\S+) (\S+) is in use/
const linkDelayMs = 20

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
    const swaps = o.quick ? 4 : 30
    const ids = Array.from({ length: 5 }, (_, i) => DeviceId.make(`pi-${i + 1}`))
    const adopted = adoptions(ids)
    const link = symmetricLink(50, linkDelayMs)
    const box = yield* swarmBox({ devices: ids.map((id) => ({ id, profile, link })), onLine: adopted.onLine })
    const { spec } = yield* readArtifact(yield* defaultArtifact)
    const policies = yield* Effect.promise(() =>
      Promise.all(
        [1, 2].map((seed) => untrainedPolicy(spec, { version: `seed-${seed}`, seed, hidden: 256, profile })),
      ),
    )
    const operator = yield* Layer.build(Layer.fresh(Bus.layer(box.operator)))
    const client = yield* Layer.build(Layer.fresh(Bus.layer(box.devices[0]?.client ?? box.operator)))
    const tensor = { width: 96, height: 96, data: new Uint8Array(96 * 96 * 3).fill(120) }
    const load = { answered: 0, failed: 0 }
    const one = infer({ tensor, slo: { latencyMs: 80 } }).pipe(
      Effect.match({ onSuccess: () => load.answered++, onFailure: () => load.failed++ }),
    )
    const asking = yield* Effect.forkChild(Effect.provide(Effect.forever(one), client))
    const times: Array<number> = []
    for (let i = 0; i < swaps + 1; i++) {
      const artifact = policies[i % 2]
      if (artifact === undefined) break
      const version = `swap-${i}`
      const began = performance.now()
      yield* Effect.provide(
        pushPolicy({ ...artifact, manifest: { ...artifact.manifest, version } }),
        operator,
      )
      while (adopted.allAt(version) === undefined && performance.now() - began < 20_000)
        yield* Effect.sleep("5 millis")
      // The first swap also waits for the watchers and for code that was never run.
      if (i > 0) times.push((adopted.allAt(version) ?? Number.POSITIVE_INFINITY) - began)
    }
    yield* Fiber.interrupt(asking)
    return { times, ...load, bytes: policies[0]?.onnx.length ?? 0 }
  }).pipe(Effect.scoped)

const run = async (o: BenchOptions): Promise<BenchResult> => {
  const { times, answered, failed, bytes } = await Effect.runPromise(measure(o))
  const [p50, p95] = [median(times), quantile(times, 0.95)]
  return {
    kind: "measured",
    checks: [
      { name: "hotswap.p95_ms", value: p95, op: "<=", bound: 500 },
      { name: "hotswap.failed_requests", value: failed, op: "=", bound: 0 },
    ],
    rows: [
      {
        swaps: times.length,
        p50_ms: p50,
        p95_ms: p95,
        max_ms: Math.max(...times),
        answered,
        failed,
        policy_bytes: bytes,
      },
    ],
    notes: [
      `5 emulated ${profile}, each link 50 Mbps and ${linkDelayMs} ms one way, shaped; untrained policies of full size`,
      "from before the upload of the objects to the last device's word that it uses the policy",
    ],
  }
}

export const bench: BenchModule = {
  name: "hotswap",
  proves: "a new policy is in use on five devices in half a second, and no request fails for it",
  takes: "1 minute",
  run,
}
