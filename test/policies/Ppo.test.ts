/** PPO is a baseline, and must be right: what it learns from, and that it learns. Its loss: `PpoLoss.test.ts`. */
import { describe, expect, it } from "vitest"
import { makeCrew } from "../../policies/Crew.ts"
import { type Environment, makeEnvironment } from "../../policies/Environment.ts"
import { blockGene, canonicalize, isActiveBlock, kernelGene } from "../../policies/Genome.ts"
import { cosineRate, type LearnerContext } from "../../policies/Learner.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import { ppo, type PpoSettings, type Surrogate } from "../../policies/Ppo.ts"
import { loadScenario } from "../../policies/ScenarioFiles.ts"
import type { Update } from "../../policies/Update.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { tinySpace, tinyWorld } from "./TinyWorld.ts"

const countOf = (terms: Surrogate["terms"]) => terms.reduce((sum, t) => sum + t.advantage.length, 0)

const scenario = { ...loadScenario("augmented"), local: "slow", remotes: ["fast"] }

/** PPO on this environment; the context's own `learn` unless another is given. */
const learning = async (
  environment: Environment,
  settings: Partial<PpoSettings>,
  learn?: LearnerContext["learn"],
) => {
  const own = seededRandom(5)
  const network = await PolicyNetwork.make(policyShape(environment.world.space, 1, 16), own)
  const crew = makeCrew(environment, network, seededRandom(6), [])
  let done = 0
  const learner = ppo(
    {
      environment,
      network,
      random: own,
      progress: () => 0,
      done: () => done,
      collect: crew.collect,
      learn: learn ?? crew.learn,
    },
    settings,
  )
  const iterate = async () => {
    const report = await learner.iterate()
    done++
    return report
  }
  return { network, iterate }
}

describe("what PPO learns from", () => {
  it("are its own choices, each in every epoch, with advantages that are normal and likelihoods of when it chose", async () => {
    const environment = makeEnvironment(tinyWorld, scenario, "latency")
    const updates: Array<Update> = []
    const rates: Array<number> = []
    const { network, iterate } = await learning(
      environment,
      { rollouts: 10, epochs: 3, batch: 4, rate: 0.01 },
      async (update, { rate, maxNorm }) => {
        updates.push(update)
        rates.push(rate)
        expect(maxNorm).toBe(0.5)
        return 0
      },
    )
    await iterate()
    expect(environment.steps()).toBe(10)
    expect(updates.map((u) => u.batch.genomes.length)).toEqual([4, 4, 2, 4, 4, 2, 4, 4, 2])
    expect(new Set(rates)).toEqual(new Set([cosineRate(0.01, 0)]))
    const trajectories = (epoch: number) =>
      updates.slice(3 * epoch, 3 * epoch + 3).flatMap(({ batch, loss }) =>
        loss.of === "surrogate"
          ? loss.terms.map((term, i) => ({
              term,
              constraint: batch.constraints[i] ?? new Float64Array(),
              genome: batch.genomes[i] ?? new Uint8Array(),
            }))
          : [],
      )
    const first = trajectories(0)
    const names = (all: typeof first) => all.map((t) => [...t.constraint, ...t.genome].join()).sort()
    expect(names(trajectories(1))).toEqual(names(first))
    expect(names(trajectories(2))).toEqual(names(first))
    const advantages = first.flatMap((t) => t.term.advantage)
    const mean = advantages.reduce((a, b) => a + b, 0) / advantages.length
    expect(mean).toBeCloseTo(0, 5)
    expect(advantages.reduce((a, b) => a + (b - mean) ** 2, 0) / advantages.length).toBeCloseTo(1, 3)
    // The network has not changed: whoever chose has these likelihoods still, and the advantage is what the value missed.
    for (const { term, constraint, genome } of first) {
      const raw = canonicalize(tinySpace, genome.slice())
      expect(term.reward).toBe(environment.peek(constraint, raw).reward)
      const forward = network.forward({ constraints: [constraint], genomes: [genome] })
      const rows = [...forward.genomeOf.keys()].filter((r) => forward.genomeOf[r] === 0)
      expect(term.logLikelihood).toHaveLength(rows.length)
      for (const [t, row] of rows.entries())
        expect(term.logLikelihood[t]).toBeCloseTo(forward.logLikelihood[row] ?? Number.NaN, 3)
      const missed = rows.map((row) => term.reward - (forward.value[row] ?? 0))
      const order = (values: ReadonlyArray<number>) =>
        [...values.keys()].sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
      expect(order(term.advantage)).toEqual(order(missed))
    }
    const steps = updates.map(({ loss }) => (loss.of === "surrogate" ? loss.steps - countOf(loss.terms) : 1))
    expect(steps.every((difference) => difference === 0)).toBe(true)
  })
})

/** Everything is in time, and accuracy is the share of blocks that chose the largest kernel: a bandit of many arms. */
const bandit = makeEnvironment(
  {
    space: tinySpace,
    latency: { at: () => () => 1 },
    accuracy: {
      accuracy: (genome) => {
        const active = tinySpace.blocks.flatMap((b, i) =>
          b.kind === "dynamic" && isActiveBlock(tinySpace, genome, i) ? [blockGene(tinySpace, i)] : [],
        )
        return active.filter((at) => genome[at + kernelGene] === 2).length / active.length
      },
    },
  },
  scenario,
  "latency",
)

const meanOf = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0) / values.length

describe("PPO", () => {
  it("learns a bandit of many arms nearly to the end", async () => {
    const { iterate } = await learning(bandit, { rollouts: 64 })
    const rewards: Array<number> = []
    for (let n = 0; n < 30; n++) rewards.push((await iterate()).rolloutReward)
    // A third of the blocks by chance.
    expect(rewards[0]).toBeLessThan(0.5)
    expect(meanOf(rewards.slice(-5))).toBeGreaterThan(0.9)
  })

  it("learns to meet objectives under changing links, far above where it began", async () => {
    const tiny = { ...scenario, latencySloMs: { min: 20, max: 300, scale: "log", points: 10 } as const }
    const { iterate } = await learning(makeEnvironment(tinyWorld, tiny, "latency"), { rollouts: 64 })
    const rewards: Array<number> = []
    for (let n = 0; n < 60; n++) rewards.push((await iterate()).rolloutReward)
    expect(meanOf(rewards.slice(-5))).toBeGreaterThan(2 * meanOf(rewards.slice(0, 5)))
  })
})
