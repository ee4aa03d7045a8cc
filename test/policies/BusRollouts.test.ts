/** Roll-outs over a real nats-server by real worker processes, one of which is killed. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Result, type Scope } from "effect"
import { describe } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import { bareServer } from "../../deploy/LocalServer.ts"
import { busLane, rowSizesOf } from "../../policies/BusLane.ts"
import { rolloutWorker } from "../../policies/BusWorker.ts"
import { type Crew, type Lane, LaneLost, makeCrew } from "../../policies/Crew.ts"
import { makeEnvironment } from "../../policies/Environment.ts"
import { PolicyNetwork } from "../../policies/PolicyNetwork.ts"
import { policyShape } from "../../policies/PolicyShape.ts"
import type { RolloutPlan } from "../../policies/Rollouts.ts"
import { jobMessage, jobOf } from "../../policies/RolloutWire.ts"
import { loadSetting, type Setting } from "../../policies/Setting.ts"
import { train, trainDefaults, type Training } from "../../policies/Train.ts"
import { Bus } from "../../subjects/Bus.ts"
import * as Codecs from "../../subjects/Codecs.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { waitUntil } from "../support/Wait.ts"

const setting = loadSetting("augmented")
const environment = makeEnvironment(setting.world, setting.scenario, "latency")
const hidden = 256
const task = { scenario: setting.scenario, kind: "latency", hidden, stepPer: "block" } as const

const random = seededRandom(9)
const [largest] = environment.bootstrap
if (largest === undefined) throw new RangeError("an environment has bootstrap strategies")
const draw = () => environment.draw(random, { grid: true })
const plan: RolloutPlan = {
  choose: Array.from({ length: 8 }, draw),
  epsilon: 0.1,
  mutate: Array.from({ length: 24 }, () => ({ constraint: draw(), parent: largest })),
}

const crewOf = async (lanes: ReadonlyArray<Lane>): Promise<Crew> => {
  const shape = policyShape(setting.world.space, setting.scenario.remotes.length, hidden)
  return makeCrew(environment, await PolicyNetwork.make(shape, seededRandom(3)), seededRandom(4), lanes)
}
const rounds = 6
const collectAll = async (crew: Crew, after: (round: number) => void) => {
  const all: Array<Awaited<ReturnType<Crew["collect"]>>> = []
  for (let round = 0; round < rounds; round++) {
    const pending = crew.collect(plan)
    after(round)
    all.push(await pending)
  }
  return all
}

interface WorkerProcess {
  readonly child: ChildProcess
  readonly said: () => string
}

/** `murmuration policy worker` as a process of its own; resolves when it waits for jobs. */
const workerProcess = (url: string): Effect.Effect<WorkerProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [join(projectRoot, "cli", "main.ts"), "policy", "worker", "--nats", url], {
          stdio: ["ignore", "pipe", "inherit"],
        }),
      ),
      (c) => Effect.sync(() => c.kill("SIGKILL")),
    )
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()))
    yield* waitUntil("a worker waits for trainings", () => text.includes("Waiting for trainings"), 60_000)
    return { child, said: () => text }
  })

const busOf = (url: string) => Bus.layer({ servers: url, firstConnectMs: 5000 })

/** A worker in this process, on a connection of its own. */
const workerHere = (url: string, heard: Array<string> = []) =>
  Layer.build(
    Layer.effectDiscard(rolloutWorker((training) => Effect.sync(() => heard.push(training)))).pipe(
      Layer.provide(Layer.fresh(busOf(url))),
    ),
  )

const laneAt = (url: string, of: Setting = setting) =>
  Effect.flatMap(Layer.build(Layer.fresh(busOf(url))), (bus) => Effect.provide(busLane(of, task), bus))

/** What a job on this lane fails with. */
const failureOf = (lane: Lane): Effect.Effect<unknown> =>
  Effect.promise(() =>
    lane.run({ ...plan, version: 1, seed: 1 }, { version: 1, values: new Float32Array(4) }).then(
      () => assert.fail("the job was done"),
      (cause: unknown) => cause,
    ),
  )

describe("roll-outs over the bus", () => {
  it.live(
    "give what the trainer alone gives, by two processes of which one is killed",
    () =>
      Effect.gen(function* () {
        const { url } = yield* bareServer
        const workers = yield* Effect.all([workerProcess(url), workerProcess(url)], {
          concurrency: "unbounded",
        })
        const crew = yield* Effect.promise(async () => crewOf([]))
        const alone = yield* Effect.promise(() => collectAll(crew, () => undefined))
        const shared = yield* Effect.flatMap(laneAt(url), (lane) =>
          Effect.promise(async () =>
            collectAll(await crewOf([lane]), (round) => {
              if (round === 3) workers[0].child.kill("SIGKILL")
            }),
          ),
        )
        assert.deepStrictEqual(shared, alone)
        assert.include(workers[1].said(), `${setting.scenario.name}, latency SLO`)
      }).pipe(Effect.scoped),
    120_000,
  )

  it.live("lose a job where nobody listens, so that a thread can do it", () =>
    Effect.gen(function* () {
      const { url } = yield* bareServer
      const lane = yield* laneAt(url)
      const lost = yield* failureOf(lane)
      assert.instanceOf(lost, LaneLost)
      assert.include(String(lost), "nobody listens")
    }).pipe(Effect.scoped),
  )

  it.live(
    "are refused by a worker whose models differ",
    () =>
      Effect.gen(function* () {
        const { url } = yield* bareServer
        const heard: Array<string> = []
        yield* workerHere(url, heard)
        const lane = yield* laneAt(url, { ...setting, models: "another accuracy model" })
        const lost = yield* failureOf(lane)
        assert.include(String(lost), "other models")
        assert.lengthOf(heard, 1)
      }).pipe(Effect.scoped),
    30_000,
  )

  it.live(
    "serve a training, whose curve is that of one worker",
    () =>
      Effect.gen(function* () {
        const { url } = yield* bareServer
        yield* workerHere(url)
        const cacheFolder = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "policy-bus-"))),
          (folder) => Effect.sync(() => rmSync(folder, { recursive: true })),
        )
        const options = {
          ...trainDefaults,
          iterations: 4,
          hidden,
          validateEvery: 2,
          validationCount: 8,
          oracle: { searchEvaluations: 50, polishEvaluations: 20, seed: 1 },
          cacheFolder,
        }
        const scores = (t: Training) => t.curve.map((r) => [r.steps, r.score, r.loss, r.rolloutReward])
        const alone = yield* Effect.promise(() => train(setting, options))
        const lanes = [yield* laneAt(url)]
        const shared = yield* Effect.promise(() => train(setting, { ...options, lanes }))
        assert.deepStrictEqual(scores(shared), scores(alone))
      }).pipe(Effect.scoped),
    60_000,
  )

  it("keep every bit of a job on the wire, and refuse genes that do not exist", () => {
    const sizes = rowSizesOf(setting)
    const job = { ...plan, version: 7, seed: 0xffff_ffff }
    const bytes = Codecs.rolloutRequest.encode(jobMessage(job))
    const message = Result.getOrThrow(Codecs.rolloutRequest.decode("rollout.x.job", bytes))
    assert.deepStrictEqual(jobOf(message, sizes), job)
    const wrong = Uint8Array.from(message.parents)
    wrong[0] = 200
    assert.throws(() => jobOf({ ...message, parents: wrong }, sizes), "gene 0 is 200")
    assert.throws(() => jobOf({ ...message, choose: new Uint8Array(9) }, sizes), "9 bytes")
  })
})
