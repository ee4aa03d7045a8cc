/**
 * A lane over the bus: jobs go to a queue group, so any number of workers on any number of machines (`murmuration policy
 * worker`) may come and go. The trainer serves what they need: the training's setup, and weights by version.
 */
import { randomBytes } from "node:crypto"
import { Effect, type Scope } from "effect"
import { Bus } from "../subjects/Bus.ts"
import type { RequestError } from "../subjects/BusErrors.ts"
import type { BadMessage } from "../subjects/Codec.ts"
import * as Codecs from "../subjects/Codecs.ts"
import { refusal } from "../subjects/ErrorReply.ts"
import { serve } from "../subjects/Serve.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { type Lane, LaneLost, type VersionedWeights } from "./Crew.ts"
import type { RolloutJob } from "./Rollouts.ts"
import { jobMessage, resultOf, type RowSizes } from "./RolloutWire.ts"
import { dimensions } from "./Scenario.ts"
import { modelsDigest, type Setting } from "./Setting.ts"
import type { RolloutTask } from "./ThreadLane.ts"

export const rowSizesOf = ({ scenario, world }: Setting): RowSizes => ({
  dimensions: dimensions(scenario),
  space: world.space,
  devices: 1 + scenario.remotes.length,
})

/** A worker answers within some ms; later than this it is taken for lost, and the job is done elsewhere. */
const lateMs = 1000
/** Leaves room for the message around it in nats-server's default of 1 MiB. */
const partBytes = 768 * 1024

/** How long the lane rests after a failure: nobody there needs patience, a lost worker does not. */
const restMs = (error: RequestError | BadMessage): number =>
  error._tag === "Late" ? 0 : error._tag === "Refused" && error.retryable ? 20 : 1000

export const busLane = (
  setting: Setting,
  { scenario, kind, hidden, stepPer }: RolloutTask,
): Effect.Effect<Lane, never, Bus | Scope.Scope> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const context = yield* Effect.context()
    const training = randomBytes(6).toString("hex")
    const sizes = rowSizesOf(setting)
    // The version of jobs that run, and the one before.
    let known: ReadonlyArray<VersionedWeights> = []
    yield* serve({
      subject: Subjects.rolloutSetup(training),
      input: Codecs.rolloutSetupRequest,
      output: Codecs.rolloutSetup,
      handle: () =>
        Effect.succeed({
          scenario: JSON.stringify(scenario),
          kind,
          hidden,
          stepPer,
          models: modelsDigest(setting),
        }),
    })
    yield* serve({
      subject: Subjects.rolloutWeights(training),
      input: Codecs.rolloutWeightsRequest,
      output: Codecs.rolloutWeights,
      handle: ({ version, offset }) => {
        const values = known.find((w) => w.version === version)?.values
        if (values === undefined) {
          return Effect.fail(refusal("DeadlineExpired", `weights ${version} are gone`, "take a newer job"))
        }
        const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
        return Effect.succeed({ total: bytes.length, part: bytes.subarray(offset, offset + partBytes) })
      },
    })
    const subject = Subjects.rolloutJob(training)
    const ask = (job: RolloutJob) =>
      bus.request(subject, Codecs.rolloutRequest.encode(jobMessage(job)), { timeoutMs: lateMs }).pipe(
        Effect.flatMap((bytes) => Effect.fromResult(Codecs.rolloutReply.decode(subject, bytes))),
        Effect.mapError((error) => new LaneLost(error.message, restMs(error))),
        Effect.flatMap((reply) =>
          Effect.try({
            try: () => resultOf(reply, job, sizes),
            catch: (cause) => new LaneLost(String(cause), 1000),
          }),
        ),
      )
    return {
      run: (job, weights) => {
        if (known[0]?.version !== weights.version) known = [weights, ...known.slice(0, 1)]
        return Effect.runPromiseWith(context)(ask(job))
      },
      close: () => Promise.resolve(),
    }
  })
