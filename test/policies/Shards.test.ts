import { describe, expect, it } from "vitest"
import { makeEnvironment } from "../../policies/Environment.ts"
import { type Imitated, imitate } from "../../policies/Learner.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { help, type Helper, makeUpdater, shardsPerUpdate } from "../../policies/Shards.ts"
import { threadLane } from "../../policies/ThreadLane.ts"
import { seededRandom } from "../../supernet/Random.ts"

const setting = loadSetting("augmented")
const { scenario, world } = setting
const environment = makeEnvironment(world, scenario, "latency")
const hidden = 16
const shape = policyShape(world.space, scenario.remotes.length, hidden)
const networkOf = (seed: number) => PolicyNetwork.make(shape, seededRandom(seed))

/** Strategies of all depths, some of them to be unlearned; more than one update's worth. */
const random = seededRandom(5)
const author = await networkOf(8)
const examples = (count: number): ReadonlyArray<Imitated> => {
  const constraints = Array.from({ length: count }, () => environment.draw(random, { grid: true }))
  const genomes = author.choose(constraints, { greedy: false, random })
  return constraints.flatMap((constraint, i) => {
    const genome = genomes[i]
    return genome === undefined ? [] : [{ constraint, genome, weight: i % 3 === 0 ? -0.1 : 1 }]
  })
}
const batches = [32, 21, 2, 64].map(examples)

/** Weights and losses after all batches, with such help. */
const learnt = async (...helpers: ReadonlyArray<Helper>) => {
  const network = await networkOf(3)
  const learn = makeUpdater(network, helpers)
  const losses: Array<number> = []
  for (const batch of batches) losses.push(await imitate(learn, batch, 0.01))
  return { losses, weights: network.parameters.copy() }
}

/** Helps at once, before the trainer claims a shard itself. */
const prompt = async (): Promise<{ readonly helper: Helper; readonly shards: () => number }> => {
  const network = await networkOf(99)
  let shards = 0
  return {
    shards: () => shards,
    helper: (shared) => {
      const worked = help(network, shared)
      shards += worked
      return Promise.resolve(worked)
    },
  }
}

/** Claims the first shard that is open, and is never heard of again. */
const doomed: Helper = ({ board, self }) => {
  const open = board.claims.indexOf(0)
  if (open >= 0) board.claims[open] = self
  return Promise.reject(new Error("gone"))
}

describe("an update in shards", () => {
  it("is the same to the last bit whoever works on them", async () => {
    const alone = await learnt()
    const { helper, shards } = await prompt()
    expect(await learnt(helper)).toEqual(alone)
    expect(shards()).toBe(batches.length * shardsPerUpdate)
  })

  it("is finished by the trainer where a helper was lost", async () => {
    const { helper } = await prompt()
    expect(await learnt(doomed, helper)).toEqual(await learnt())
  })

  it("has the loss and the gradient of the whole batch", async () => {
    const [batch = []] = batches
    const [whole, divided] = [await networkOf(3), await networkOf(3)]
    const forward = whole.forward({
      constraints: batch.map((e) => e.constraint),
      genomes: batch.map((e) => e.genome),
    })
    const weights = Array.from(forward.genomeOf, (g) => (batch[g]?.weight ?? 0) / batch.length)
    whole.backward({ dLogLikelihood: Float32Array.from(weights, (w) => -w) })
    const loss = forward.logLikelihood.reduce((sum, l, r) => sum - l * (weights[r] ?? 0), 0)
    expect(await imitate(makeUpdater(divided), batch, 0)).toBeCloseTo(loss, 3)
    const [ours, theirs] = [divided.parameters.all("gradients"), whole.parameters.all("gradients")]
    const scale = Math.max(...theirs.map(Math.abs))
    expect(ours.every((x, i) => Math.abs(x - (theirs[i] ?? 0)) < 1e-4 * scale)).toBe(true)
  })

  it("is divided over real threads, with the result of one", async () => {
    const lane = threadLane({ scenario, kind: "latency", hidden, stepPer: "block" })
    let shards = 0
    const helper: Helper = async (shared) => {
      const worked = await lane.help(shared)
      shards += worked
      return worked
    }
    try {
      // The thread is there once it has answered; the shards that it then finds open are a matter of chance.
      await lane.help({
        self: 2,
        board: {
          claims: new Int32Array(shardsPerUpdate).fill(-1),
          weights: new Float32Array(),
          gradients: new Float32Array(),
          losses: new Float64Array(),
        },
        update: {
          constraints: new Float64Array(),
          genomes: new Uint8Array(),
          loss: { of: "imitation", terms: [] },
        },
      })
      const alone = await learnt()
      for (let n = 0; n < 1000; n++) {
        expect(await learnt(helper)).toEqual(alone)
        if (shards > 0) break
      }
      expect(shards).toBeGreaterThan(0)
    } finally {
      await lane.close()
    }
  })
})
