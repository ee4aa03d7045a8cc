import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { type Lane, LaneLost, makeCrew } from "../../policies/Crew.ts"
import { makeEnvironment } from "../../policies/Environment.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import { rollOut, type RolloutPlan } from "../../policies/Rollouts.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { threadLane } from "../../policies/ThreadLane.ts"
import { train, trainDefaults, type TrainOptions } from "../../policies/Train.ts"
import { seededRandom } from "../../supernet/Random.ts"

const folder = mkdtempSync(join(tmpdir(), "policy-crew-"))
afterAll(() => rmSync(folder, { recursive: true }))

const setting = loadSetting("augmented")
const environment = makeEnvironment(setting.world, setting.scenario, "latency")
const hidden = 16
const networkOf = () =>
  PolicyNetwork.make(
    policyShape(setting.world.space, setting.scenario.remotes.length, hidden),
    seededRandom(3),
  )

const random = seededRandom(9)
const [largest] = environment.bootstrap
if (largest === undefined) throw new RangeError("an environment has bootstrap strategies")
const draw = () => environment.draw(random, { grid: true })
const plan: RolloutPlan = {
  choose: Array.from({ length: 10 }, draw),
  epsilon: 0.1,
  mutate: Array.from({ length: 21 }, () => ({ constraint: draw(), parent: largest })),
}

const collectWith = async (lanes: ReadonlyArray<Lane>) => {
  const crew = makeCrew(environment, await networkOf(), seededRandom(4), lanes)
  try {
    return [await crew.collect(plan), await crew.collect(plan)]
  } finally {
    await crew.close()
  }
}

/** Does jobs in this process, but the first so many are lost. */
const unreliableLane = async (losses: number): Promise<Lane> => {
  const network = await networkOf()
  let left = losses
  return {
    run: (job, { values }) => {
      if (left-- > 0) return Promise.reject(new LaneLost("gone", 1))
      network.parameters.restore({ weights: values })
      return Promise.resolve(rollOut(environment, network, job))
    },
    close: () => Promise.resolve(),
  }
}

const small: TrainOptions = {
  ...trainDefaults,
  iterations: 6,
  hidden,
  validateEvery: 2,
  validationCount: 16,
  oracle: { searchEvaluations: 100, polishEvaluations: 50, seed: 1 },
  cacheFolder: folder,
}

describe("a crew", () => {
  it("collects the same with and without lanes, and when jobs are lost", async () => {
    const alone = await collectWith([])
    expect(alone[0]?.chosen.map((t) => t.constraint)).toEqual(plan.choose)
    expect(alone[0]?.mutated.map((t) => t.constraint)).toEqual(plan.mutate.map((m) => m.constraint))
    const lanes = await Promise.all([0, 3, 9].map(unreliableLane))
    expect(await collectWith(lanes)).toEqual(alone)
  })

  it("goes on when a thread is killed", async () => {
    const lane = threadLane({ scenario: setting.scenario, kind: "latency", hidden, stepPer: "block" })
    let alive = true
    const killed: Lane = {
      ...lane,
      run: (job, weights) => {
        const done = lane.run(job, weights)
        if (alive) lane.kill()
        alive = false
        return done
      },
    }
    expect(await collectWith([killed, await unreliableLane(0)])).toEqual(await collectWith([]))
  })

  it("passes on what is wrong with a job instead of trying for ever", async () => {
    const broken: Lane = {
      run: () => Promise.reject(new Error("no such scenario")),
      close: () => Promise.resolve(),
    }
    await expect(collectWith([broken])).rejects.toThrow("no such scenario")
  })

  it.each([
    ["supreme", 3],
    ["gcsl", 2],
    ["ppo", 2],
  ] as const)(
    "gives %s the same curve and policy with one worker and with %i",
    async (algorithm, workers) => {
      const learnt = async (threads: number) => {
        const { curve, network } = await train(setting, { ...small, algorithm, workers: threads })
        const scores = curve.map((r) => [r.iteration, r.steps, r.score, r.loss, r.rolloutReward])
        return { scores, weights: network.parameters.copy() }
      }
      expect(await learnt(workers)).toEqual(await learnt(1))
    },
  )
})
