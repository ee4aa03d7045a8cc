import { describe, expect, it } from "vitest"
import { canonicalize, type Genome } from "../../policies/Genome.ts"
import { type Imitated, imitate } from "../../policies/Learner.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import { makeUpdater } from "../../policies/Shards.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { tinySpace } from "./TinyWorld.ts"

const likelihood = (network: PolicyNetwork, { constraint, genome }: Imitated): number => {
  const { logLikelihood, genomeOf } = network.forward({ constraints: [constraint], genomes: [genome] })
  return logLikelihood.reduce((sum, l, row) => (genomeOf[row] === 0 ? sum + l : sum), 0)
}

describe("imitation", () => {
  it("moves towards what counts positively and away from what counts negatively", async () => {
    const random = seededRandom(5)
    const network = await PolicyNetwork.make(policyShape(tinySpace, 2, 16), random)
    const constraint = Float64Array.of(0.5, 0.5, 0.5, 0.5, 0.5)
    const [good, bad] = network
      .choose([constraint, constraint], { greedy: false, random })
      .map((genome): Genome => canonicalize(tinySpace, genome))
    if (good === undefined || bad === undefined) throw new Error("two constraints, two genomes")
    const examples: ReadonlyArray<Imitated> = [
      { constraint, genome: good },
      { constraint, genome: bad, weight: -0.5 },
    ]
    const before = examples.map((e) => likelihood(network, e))
    const learn = makeUpdater(network)
    for (let n = 0; n < 20; n++) await imitate(learn, examples, 3e-3)
    const after = examples.map((e) => likelihood(network, e))
    expect(after[0]).toBeGreaterThan(before[0] ?? 0)
    expect(after[1]).toBeLessThan(before[1] ?? 0)
  })
})
