import { describe, expect, it } from "vitest"
import { localGenome, spaceOf } from "../../policies/Genome.ts"
import { publishedShape } from "../../policies/PublishedShape.ts"
import { loadScenario } from "../../policies/ScenarioFiles.ts"
import { untrainedSpec } from "../../supernet/Artifact.ts"
import { maxSubmodel, minSubmodel } from "../../supernet/Submodel.ts"

describe("the published shape of accuracy", () => {
  it("spans the scenario's range of accuracy SLOs from the smallest submodel to the largest", () => {
    const scenario = loadScenario("swarm")
    const { min, max } = scenario.accuracySlo
    const space = spaceOf(untrainedSpec)
    const { accuracy } = publishedShape(space, scenario)
    const smallest = accuracy(localGenome(space, minSubmodel(untrainedSpec)))
    const largest = accuracy(localGenome(space, maxSubmodel(untrainedSpec)))
    expect(smallest).toBeLessThan(min)
    expect(largest).toBeGreaterThan(max)
    expect(largest - smallest).toBeLessThan(1.1 * (max - min))
    const bySize = untrainedSpec.resolutions.map((r) =>
      accuracy(localGenome(space, minSubmodel(untrainedSpec, r))),
    )
    expect(bySize).toEqual([...bySize].sort((a, b) => a - b))
  })
})
