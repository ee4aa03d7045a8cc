/**
 * `murmuration policy train`: a policy for a scenario, trained where the command runs, with its learning curve. Interrupted,
 * it goes on from its last checkpoint when the same command is given again.
 */
import { join } from "node:path"
import { Console, Effect, FileSystem, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { learningCurves } from "../bench/LearningCurves.ts"
import { algorithms } from "../policies/Algorithms.ts"
import { busLane } from "../policies/BusLane.ts"
import { CheckpointRefused } from "../policies/Checkpoint.ts"
import type { Lane } from "../policies/Crew.ts"
import { writePolicy } from "../policies/PolicyArtifact.ts"
import { publishTraining } from "../policies/Publish.ts"
import { stepUnits, unitsMultiple } from "../policies/PolicyShape.ts"
import { supremeDefaults } from "../policies/Supreme.ts"
import { scenarioNames } from "../policies/ScenarioFiles.ts"
import { loadSetting, type Setting } from "../policies/Setting.ts"
import { train, trainDefaults, type TrainOptions, type ValidationReport } from "../policies/Train.ts"
import { intFrom, positive } from "./Bounds.ts"
import { connectedBus, connectionFlags } from "./Connection.ts"
import { nextCommand } from "./Next.ts"
import { policyWorkerCommand } from "./PolicyWorker.ts"
import { withShownDefault } from "./Settings.ts"
import { percent, progressBar } from "./Text.ts"

export class TrainingFailed extends Schema.TaggedError<TrainingFailed>()("TrainingFailed", {
  scenario: Schema.String,
  reason: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `training for ${this.scenario} failed: ${this.reason}`
  }
}

const progressLine = (r: ValidationReport, iterations: number): string =>
  [
    progressBar(iterations === 0 ? 1 : r.iteration / iterations),
    `${r.steps} steps`,
    `reward ${percent(r.overOracle.reward)}`,
    `compliance ${percent(r.overOracle.compliance)} of the oracle's`,
    `${Math.round(r.seconds)} s`,
  ].join("  ")

/** What `policy train` is told. */
export const trainFlags = {
  scenario: Flag.String("scenario").pipe(
    Flag.withDescription(`A shipped scenario (${scenarioNames.join(", ")}) or a scenario file (.json)`),
  ),
  algorithm: withShownDefault(
    Flag.Literals("algorithm", algorithms),
    "How it learns; the others are baselines",
    "supreme" as const,
  ),
  slo: withShownDefault(
    Flag.Literals("slo", ["latency", "accuracy"]),
    "What requests ask for: a policy decides for one kind",
    "latency" as const,
  ),
  seed: withShownDefault(Flag.Int("seed"), "Seed of all random choices", 1),
  iterations: withShownDefault(
    intFrom(0, "iterations"),
    "Iterations of the training; 0 with --from: judge and package an earlier training under the present models",
    trainDefaults.iterations,
  ),
  hidden: withShownDefault(
    Flag.Int("hidden").pipe(
      Flag.filter(
        (n) => n > 0 && n % unitsMultiple === 0,
        () => `a multiple of ${unitsMultiple}, such as 64 or 256`,
      ),
    ),
    "Units of the LSTM, a multiple of 8",
    trainDefaults.hidden,
  ),
  stepPer: withShownDefault(
    Flag.Literals("step-per", stepUnits),
    "What the LSTM takes a step for: each block, or as in the paper each decision",
    trainDefaults.stepPer,
  ),
  batch: intFrom(1, "batch").pipe(
    Flag.withDescription("Trajectories per update; default: the algorithm's own"),
    Flag.optional,
  ),
  mutations: withShownDefault(
    intFrom(0, "mutations"),
    "SUPREME: strategies made by mutation in an iteration; more find better ones; six times as many take a third longer",
    supremeDefaults.mutations,
  ),
  rate: positive("rate").pipe(
    Flag.withDescription("Learning rate at the start; default: the algorithm's own"),
    Flag.optional,
  ),
  from: Flag.String("from").pipe(
    Flag.withDescription(
      "Checkpoint to start from, such as one trained with another accuracy model (default: none)",
    ),
    Flag.withDefault(""),
  ),
  workers: withShownDefault(
    intFrom(1, "workers"),
    "Threads, which share roll-outs and updates. The policy is the same for any number",
    trainDefaults.workers,
  ),
  nats: Flag.String("nats").pipe(
    Flag.withDescription(
      "nats-server over which 'murmuration policy worker' on other machines rolls out too; with --credentials their server is taken (default: none, only this machine)",
    ),
    Flag.withDefault(""),
  ),
  credentials: connectionFlags.credentials,
  out: withShownDefault(
    Flag.String("out"),
    "Directory for the policy, its curve and its checkpoint",
    ".train/policies",
  ),
}

type Given = Command.Command.Config.Infer<typeof trainFlags>

const failed = ({ scenario }: Given, cause: unknown, retryable: boolean, hint: string) => {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new TrainingFailed({ scenario, reason, retryable, hint })
}

const optionsOf = (given: Given, folder: string): TrainOptions => ({
  ...trainDefaults,
  algorithm: given.algorithm,
  kind: given.slo,
  seed: given.seed,
  iterations: given.iterations,
  hidden: given.hidden,
  stepPer: given.stepPer,
  ...Option.match(given.batch, { onNone: () => ({}), onSome: (batch) => ({ batch }) }),
  ...Option.match(given.rate, { onNone: () => ({}), onSome: (rate) => ({ rate }) }),
  checkpoint: join(folder, "checkpoint.bin"),
  supreme: { mutations: given.mutations },
  workers: given.workers,
  ...(given.from === "" ? {} : { startFrom: given.from }),
  onReport: (r) => console.log(progressLine(r, given.iterations)),
})

/** Trains here, and where there is a bus also on the machines that listen on it. */
const trained = (given: Given, setting: Setting, options: TrainOptions) => {
  const trainOver = (lanes: ReadonlyArray<Lane>) =>
    Effect.tryPromise({
      try: () => train(setting, lanes.length === 0 ? options : { ...options, lanes }),
      catch: (cause) => {
        if (cause instanceof CheckpointRefused) return failed(given, cause, false, cause.hint)
        const hint = `Give the same command again to go on from ${options.checkpoint ?? "the start"}.`
        return failed(given, cause, true, hint)
      },
    })
  if (given.nats === "") return trainOver([])
  const { scenario } = setting
  const task = { scenario, kind: given.slo, hidden: given.hidden, stepPer: given.stepPer }
  return Effect.flatMap(busLane(setting, task), (lane) => trainOver([lane])).pipe(
    Effect.scoped,
    Effect.provide(connectedBus(given)),
  )
}

const trainCommand = Command.make("train", trainFlags, (given) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    if (given.iterations === 0 && given.from === "")
      return yield* failed(
        given,
        "0 iterations of nothing",
        false,
        "Give --iterations, or --from CHECKPOINT.",
      )
    const setting = yield* Effect.try({
      try: () => loadSetting(given.scenario),
      catch: (cause) => failed(given, cause, false, `Shipped scenarios: ${scenarioNames.join(", ")}.`),
    })
    const { name, description } = setting.scenario
    const folder = join(given.out, `${name}-${given.slo}-${given.algorithm}-${given.seed}`)
    yield* fs.makeDirectory(folder, { recursive: true })
    yield* Console.log(`${description}\nAccuracy: ${setting.accuracyName}. Searching for the oracle ...`)
    const options = optionsOf(given, folder)
    const training = yield* trained(given, setting, options)
    const { curve } = training
    writePolicy(folder, publishTraining(setting, options, training, given.scenario))
    const svg = learningCurves(
      `${name}, ${given.slo} SLO`,
      `${given.algorithm}, seed ${given.seed}, modelled`,
      [{ name: given.algorithm, curves: [curve] }],
    )
    yield* fs.writeFileString(join(folder, "curve.svg"), svg)
    yield* fs.writeFileString(join(folder, "curve.json"), `${JSON.stringify(curve)}\n`)
    yield* Console.log(
      `Policy and curve are in ${folder}. Give it to a swarm: ${nextCommand(`policy push ${folder} --credentials OPERATOR.json`)}`,
    )
  }),
).pipe(
  Command.withDescription(
    "Train a policy for a scenario, for the supernet that MURMURATION_SUPERNET names (default: the one that comes with the project); the same command again resumes it",
  ),
)

export const policyTrainingCommands = [trainCommand, policyWorkerCommand] as const
