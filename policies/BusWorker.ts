/**
 * A worker that rolls out for any training on the bus. It learns what a training is about from its trainer when the first
 * job comes, and fetches weights when a job names a version that it does not have.
 */
import { Effect, type Scope } from "effect"
import { Bus } from "../subjects/Bus.ts"
import type { Codec } from "../subjects/Codec.ts"
import * as Codecs from "../subjects/Codecs.ts"
import { refusal } from "../subjects/ErrorReply.ts"
import type { RolloutSetup } from "../subjects/RolloutMessages.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { rowSizesOf } from "./BusLane.ts"
import { jobOf, resultMessage } from "./RolloutWire.ts"
import { decodeScenario } from "./ScenarioFiles.ts"
import { modelsDigest, settingFor } from "./Setting.ts"
import { jobDoer } from "./ThreadLane.ts"

const timeoutMs = 2000
/** Trainings that are kept ready; the one that was met first goes first. */
const trainingsKept = 4

const ask = <In, Out>(subject: string, message: In, input: Codec<In>, output: Codec<Out>) =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const bytes = yield* bus.request(subject, input.encode(message), { timeoutMs })
    return yield* Effect.fromResult(output.decode(subject, bytes))
  }).pipe(
    // The trainer has gone, or has gone on: either way nobody waits for this job any more.
    Effect.mapError(({ message: reason }) =>
      refusal("DeadlineExpired", reason, "give the job out again", true),
    ),
  )

const prepare = (setup: RolloutSetup) =>
  Effect.tryPromise({
    try: async () => {
      const setting = settingFor(decodeScenario(JSON.parse(setup.scenario)))
      const { kind, hidden, stepPer } = setup
      const perform = await jobDoer({ scenario: setting.scenario, kind, hidden, stepPer }, setting)
      return { perform, sizes: rowSizesOf(setting), models: modelsDigest(setting), version: -1 }
    },
    catch: (cause) => refusal("Incompatible", String(cause), "use the trainer's version of murmuration"),
  }).pipe(
    Effect.filterOrFail(
      ({ models }) => models === setup.models,
      () =>
        refusal(
          "Incompatible",
          "this installation has other models than the trainer's: results would differ",
          "use the trainer's version of murmuration, with the same supernet and profiles",
        ),
    ),
  )
type Prepared = Effect.Success<ReturnType<typeof prepare>>

/** All weights of a version, part by part. */
const weightsOf = (training: string, version: number) =>
  Effect.gen(function* () {
    const subject = Subjects.rolloutWeights(training)
    const parts: Array<Uint8Array> = []
    for (let offset = 0, total = 1; offset < total;) {
      const { rolloutWeightsRequest, rolloutWeights } = Codecs
      const reply = yield* ask(subject, { version, offset }, rolloutWeightsRequest, rolloutWeights)
      if (reply.part.length === 0) {
        return yield* refusal(
          "DeadlineExpired",
          `no weights at ${offset} of ${total}`,
          "is the trainer well?",
          true,
        )
      }
      total = reply.total
      offset += reply.part.length
      parts.push(reply.part)
    }
    return new Float32Array(Uint8Array.from(Buffer.concat(parts)).buffer)
  })

/** Serves jobs until the scope closes; `onTraining` hears of every training at its first job. */
export const rolloutWorker = (onTraining: (training: string, setup: RolloutSetup) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const ready = new Map<string, Prepared>()
    const join = (training: string) =>
      Effect.gen(function* () {
        const known = ready.get(training)
        if (known !== undefined) return known
        const subject = Subjects.rolloutSetup(training)
        const setup = yield* ask(subject, {}, Codecs.rolloutSetupRequest, Codecs.rolloutSetup)
        yield* onTraining(training, setup)
        const prepared = yield* prepare(setup)
        const [oldest] = ready.keys()
        if (ready.size >= trainingsKept && oldest !== undefined) ready.delete(oldest)
        ready.set(training, prepared)
        return prepared
      })
    return yield* serve({
      subject: Subjects.rolloutJob("*"),
      queue: Subjects.rolloutQueue,
      // One at a time, one that waits: a job is better done elsewhere than late.
      capacity: 1,
      input: Codecs.rolloutRequest,
      output: Codecs.rolloutReply,
      handle: (message, { subject }) =>
        Effect.gen(function* () {
          const training = Subjects.trainingOf(subject)
          const prepared = yield* join(training)
          const isNew = message.version !== prepared.version
          const newer = isNew ? yield* weightsOf(training, message.version) : undefined
          prepared.version = message.version
          return yield* Effect.try({
            try: () => resultMessage(prepared.perform(jobOf(message, prepared.sizes), newer)),
            catch: (cause) => refusal("BadRequest", String(cause), "is the trainer of the same version?"),
          })
        }),
    })
  }) satisfies Effect.Effect<unknown, never, Bus | Scope.Scope>
