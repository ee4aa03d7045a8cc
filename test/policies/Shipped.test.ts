import { readdirSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { makeEnvironment } from "../../policies/Environment.ts"
import { canonicalize, decodeGenome } from "../../policies/Genome.ts"
import { policyProblems, readPolicy } from "../../policies/PolicyArtifact.ts"
import { loadPolicy, shapeFor } from "../../policies/PolicyRuntime.ts"
import { loadOnnxPolicy } from "../support/OnnxPolicy.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { scoreStrategies, validationConstraints } from "../../policies/Validation.ts"
import { strategyProblems } from "../../supernet/Strategy.ts"

const folder = join(import.meta.dirname, "..", "..", "policies", "artifacts")
const names = readdirSync(folder)

describe("shipped policies", () => {
  it("are there for every scenario of the shipped supernet and both kinds of SLO", () => {
    expect(names.toSorted()).toEqual([
      "augmented-accuracy",
      "augmented-latency",
      "fleet-accuracy",
      "fleet-latency",
      "swarm-accuracy",
      "swarm-latency",
      "team-accuracy",
      "team-latency",
    ])
  })

  it.each(names)(
    "%s fits the shipped supernet, is at most 1 MB, and plans valid strategies",
    async (name) => {
      const artifact = await Effect.runPromise(readPolicy(join(folder, name)))
      const setting = loadSetting(artifact.scenario.name)
      const { space } = setting.world
      expect(policyProblems(artifact, space.spec)).toEqual([])
      expect(artifact.onnx.byteLength).toBeLessThanOrEqual(1_000_000)
      const shape = shapeFor(artifact.scenario, space, artifact.manifest.hidden)
      const runtime = await loadPolicy(artifact.onnx, shape)
      const constraints = validationConstraints(setting.scenario, { count: 128, grid: false })
      const genomes = (await runtime.decode(constraints)).map((g) => canonicalize(space, g))
      const ids = ["local", ...setting.scenario.remotes.map((_, i) => `remote-${i}`)]
      expect(genomes.flatMap((g) => strategyProblems(space.spec, decodeGenome(space, g, ids)))).toEqual([])
      // What devices decode is what ONNX Runtime makes of the file.
      const onnx = await loadOnnxPolicy(artifact.onnx, shape)
      const reference = (await onnx.decode(constraints)).map((g) => canonicalize(space, g))
      expect(genomes).toEqual(reference)
      const environment = makeEnvironment(setting.world, setting.scenario, artifact.manifest.kind)
      expect(scoreStrategies(environment, constraints, genomes).reward).toBeGreaterThan(0)
    },
  )
})
