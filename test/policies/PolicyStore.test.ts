import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Result } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyModel } from "../../policies/PolicyOnnx.ts"
import { shapeFor } from "../../policies/PolicyRuntime.ts"
import {
  openPackage,
  type PolicyPackage,
  PolicyStore,
  readPackage,
  sha256,
  writePackage,
} from "../../policies/PolicyStore.ts"
import { loadScenario } from "../../policies/Scenario.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { tinySpace, tinySpec } from "./TinyWorld.ts"

const scenario = loadScenario("swarm")
const folder = mkdtempSync(join(tmpdir(), "policy-store-"))
afterAll(() => rmSync(folder, { recursive: true }))

const pack = async (version: string, seed: number): Promise<PolicyPackage> => {
  const shape = shapeFor(scenario, tinySpace, 16)
  const onnx = policyModel(await PolicyNetwork.make(shape, seededRandom(seed)))
  const { slots, steps, features, actions, hidden } = shape
  return {
    onnx,
    manifest: {
      name: "swarm-latency",
      version,
      slo: "latency",
      scenario,
      supernet: { name: tinySpec.name, version: tinySpec.version },
      shape: { hidden, slots, steps, features, actions },
      onnx: { bytes: onnx.byteLength, sha256: sha256(onnx) },
      metrics: {},
      training: {},
    },
  }
}

const reasons = (result: Result.Result<unknown, { readonly reasons: ReadonlyArray<string> }>) =>
  Result.isFailure(result) ? result.failure.reasons.join("; ") : "accepted"

describe("policy packages", () => {
  let good: PolicyPackage
  beforeAll(async () => {
    good = await pack("1", 1)
  })

  it("come back from disk as they were written", () => {
    const at = join(folder, "round-trip")
    writePackage(at, good)
    expect(Result.getOrThrow(readPackage(at))).toEqual(good)
  })

  it("are refused with a wrong hash, a wrong size, another supernet, or another shape, each by name", async () => {
    const flipped = { ...good, onnx: good.onnx.slice().fill(7, 100, 101) }
    expect(reasons(await openPackage(flipped, tinySpec))).toMatch(/SHA-256/)
    expect(reasons(await openPackage({ ...good, onnx: good.onnx.slice(0, 99) }, tinySpec))).toMatch(
      /size is 99/,
    )
    expect(reasons(await openPackage(good, { ...tinySpec, version: "2" }))).toMatch(
      /supernet is tiny 1, needed tiny 2/,
    )
    const shape = { ...good.manifest.shape, slots: 3 }
    const other = { ...good, manifest: { ...good.manifest, shape } }
    expect(reasons(await openPackage(other, tinySpec))).toMatch(/device slots is 3, needed 4/)
  })

  it("are refused when the hash is right but the file is no model", async () => {
    const onnx = new TextEncoder().encode("not a model")
    const manifest = { ...good.manifest, onnx: { bytes: onnx.byteLength, sha256: sha256(onnx) } }
    expect(reasons(await openPackage({ manifest, onnx }, tinySpec))).toMatch(/does not run/)
  })
})

describe("policy store", () => {
  it("keeps the last good policy when a bad one arrives, rolls back, and survives a damaged file", async () => {
    const store = new PolicyStore(join(folder, "device"), tinySpec)
    const [first, second] = [await pack("1", 1), await pack("2", 2)]
    const version = async () => (await store.open()).map((p) => p.manifest.version)
    await store.install(first)
    await store.install(second)
    expect(await version()).toEqual(["2"])
    const bad = { ...second, onnx: first.onnx }
    expect(reasons(await store.install(bad))).toMatch(/SHA-256/)
    expect(await version()).toEqual(["2"])
    truncateSync(join(store.folder, "swarm-latency", "policy.onnx"), 1000)
    expect(await version()).toEqual(["1"])
    await store.rollback("swarm-latency")
    expect(await version()).toEqual(["1"])
    writeFileSync(join(store.folder, "swarm-latency", "manifest.json"), "{")
    expect(await version()).toEqual([])
  })
})
