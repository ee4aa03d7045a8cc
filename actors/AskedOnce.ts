/** Requests that a client sends again: because no answer has come, it asks for what is being answered already. */
import { Cause, Deferred, Effect, Exit } from "effect"
import type { Refusal } from "../subjects/ErrorReply.ts"
import type { InferReply, InferRequest } from "../subjects/InferMessages.ts"
import type { Arrival } from "../subjects/Serve.ts"

type Infer = (request: InferRequest, arrival: Arrival) => Effect.Effect<InferReply, Refusal>

/** What became of the first; undefined where it was called off, which says nothing about the request. */
type Outcome = Exit.Exit<InferReply, Refusal> | undefined

/** Who asks again, with the same key, gets the answer that is being made; where that was called off, one of its own. */
export const askedOnce = (infer: Infer): Infer => {
  const running = new Map<string, Deferred.Deferred<Outcome>>()
  const first = (key: string, request: InferRequest, arrival: Arrival) => {
    const outcome = Deferred.makeUnsafe<Outcome>()
    running.set(key, outcome)
    return infer(request, arrival).pipe(
      Effect.onExit((exit) => {
        running.delete(key)
        const isCalledOff = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
        return Deferred.succeed(outcome, isCalledOff ? undefined : exit)
      }),
    )
  }
  const asked: Infer = (request, arrival) =>
    Effect.suspend(() => {
      if (request.key === undefined) return infer(request, arrival)
      const key = `${arrival.client}/${request.key}`
      const before = running.get(key)
      return before === undefined
        ? first(key, request, arrival)
        : Effect.flatMap(Deferred.await(before), (outcome) => outcome ?? asked(request, arrival))
    })
  return asked
}
