/**
 * What a device says about the tasks of an attempt: done, the logits, failed, to the device that serves the request; given
 * up, from that one to the others.
 */
import { Effect } from "effect"
import { Bus } from "../subjects/Bus.ts"
import { resultMessage } from "../subjects/Codecs.ts"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import type { ErrorBody } from "../subjects/ErrorReply.ts"
import type { TaskTiming } from "../subjects/InferMessages.ts"
import { logitsBytes, type ResultMessage, type TaskResult } from "../subjects/PlanMessages.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { Strategy } from "../supernet/Strategy.ts"
import { Backlog } from "./Backlog.ts"
import { Results } from "./Results.ts"
import { originOf, type Running } from "./Running.ts"
import { Self } from "./Self.ts"

export interface Reports {
  /** A task is done; `logits`: of the head only. */
  readonly done: (r: Running, timing: TaskTiming, logits: Float32Array | undefined) => Effect.Effect<void>
  readonly failed: (r: Running, task: number, error: ErrorBody, blame: DeviceId) => Effect.Effect<void>
  /** To the other devices of an attempt that this one serves. */
  readonly givenUp: (requestId: RequestId, attempt: number, strategy: Strategy) => Effect.Effect<void>
}

export const makeReports = Effect.gen(function* () {
  const bus = yield* Bus
  const self = yield* Self
  const backlog = yield* Backlog
  const results = yield* Results
  const me = self.device

  const tell = (to: DeviceId, message: ResultMessage): Effect.Effect<void> =>
    bus
      .publish(Subjects.result(to, me), resultMessage.encode(message))
      .pipe(Effect.catch((e) => Effect.sync(() => self.noteError(e._tag, e.message))))
  const report = (r: Running, message: TaskResult): Effect.Effect<void> => {
    const origin = originOf(r)
    return origin === me ? results.deliver(message) : tell(origin, message)
  }
  const head = (r: Running) => ({
    requestId: r.requestId,
    strategyId: r.prepared.strategyId,
    attempt: r.attempt,
    device: me,
    othersMs: backlog.othersMs(originOf(r)),
  })
  const reports: Reports = {
    done: (r, timing, logits) =>
      report(
        r,
        logits === undefined
          ? { _tag: "TaskDone", ...head(r), timing }
          : { _tag: "Logits", ...head(r), logits: logitsBytes(logits), timing },
      ),
    failed: (r, task, error, blame) => {
      self.noteError(error.tag, error.message)
      return report(r, { _tag: "TaskFailed", ...head(r), task, blame, error })
    },
    givenUp: (requestId, attempt, { devices }) => {
      const message = { _tag: "GivenUp", requestId, attempt, device: me } as const
      return Effect.forEach(devices.slice(1), (d) => tell(d as DeviceId, message), { discard: true })
    },
  }
  return reports
})
