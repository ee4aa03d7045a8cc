import { describe, expect, it } from "vitest"
import { makeEnvironment } from "../../policies/Environment.ts"
import { gcsl } from "../../policies/Gcsl.ts"
import type { LearnerContext } from "../../policies/Learner.ts"
import { loadScenario } from "../../policies/ScenarioFiles.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { tinyWorld } from "./TinyWorld.ts"

const scenario = { ...loadScenario("augmented"), local: "slow", remotes: ["fast"] }

/** Shares of random choices that GCSL asks for, in iterations that begin when so many are done. */
const epsilonsFrom = async (begun: number, iterations: number) => {
  const epsilons: Array<number> = []
  let done = begun
  const context: LearnerContext = {
    environment: makeEnvironment(tinyWorld, scenario, "latency"),
    network: undefined as never,
    random: seededRandom(1),
    progress: () => 0,
    done: () => done,
    collect: async ({ epsilon }) => {
      epsilons.push(epsilon)
      return { chosen: [], mutated: [] }
    },
    learn: async () => 0,
  }
  const learner = gcsl(context, { rollouts: 1, warmUp: 3, epsilon: 0.25 })
  for (; done < begun + iterations; done++) await learner.iterate()
  return epsilons
}

describe("GCSL's warm-up", () => {
  it("is over after its iterations, whether or not the training was resumed meanwhile", async () => {
    // One more than iterations: the next roll-outs run while the network learns.
    expect(await epsilonsFrom(0, 4)).toEqual([1, 1, 1, 0.25, 0.25])
    expect(await epsilonsFrom(2, 1)).toEqual([1, 0.25])
    expect(await epsilonsFrom(50, 1)).toEqual([0.25, 0.25])
  })
})
