/**
 * Clients of a swarm under test: the project's own (`subjects/Client.ts`), with its rules for asking again, its pauses and its key;
 * only their inbox is kept here, so that every reply is counted (`Replies.ts`). What a call comes to is an answer, a typed error,
 * or silence: that is a lost request.
 */
import { Effect, Result } from "effect"
import { Bus, type BusShape } from "../../subjects/Bus.ts"
import { infer, type InferError } from "../../subjects/Client.ts"
import type { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferReply, Slo } from "../../subjects/InferMessages.ts"
import { type Call, Mailbox } from "./Replies.ts"

export interface Wish {
  readonly image: Uint8Array
  /** Which of the pictures: names the expected answer. */
  readonly picture: number
  readonly slo: Slo
  readonly deadlineMs: number
}

export interface Outcome {
  readonly wish: Wish
  readonly sentMs: number
  readonly doneMs: number
  /** How often the client asked. */
  readonly tries: number
  readonly end:
    | { readonly kind: "answer"; readonly reply: InferReply }
    | { readonly kind: "error"; readonly tag: string; readonly message: string }
    /** The client waited for a reply until it gave up; `wasAnswered` tells whether one came after that. */
    | { readonly kind: "silence"; readonly wasAnswered: () => boolean }
}

const failed = (error: InferError, { replies }: Call): Outcome["end"] => {
  if (error._tag === "Late") {
    const inTime = replies.length
    return { kind: "silence", wasAnswered: () => replies.length > inTime }
  }
  const tag = error._tag === "Refused" ? error.tag : error._tag
  return { kind: "error", tag, message: error.message }
}

export class Client {
  readonly device: DeviceId
  readonly bus: BusShape
  private readonly mailbox: Mailbox

  constructor(device: DeviceId, bus: BusShape) {
    this.device = device
    this.bus = bus
    this.mailbox = new Mailbox(bus)
  }

  /** All that it has made. */
  get calls(): ReadonlyArray<Call> {
    return this.mailbox.calls
  }

  ask(wish: Wish): Effect.Effect<Outcome> {
    return Effect.gen({ self: this }, function* () {
      const { call, bus } = this.mailbox.call()
      const { image, slo, deadlineMs } = wish
      const sentMs = performance.now()
      const asked = infer({ image, slo, deadlineMs, topK: 1, include: ["logits", "strategy"] })
      const result = yield* Effect.result(Effect.provideService(asked, Bus, bus))
      const doneMs = performance.now()
      const end = Result.isSuccess(result)
        ? ({ kind: "answer", reply: result.success } as const)
        : failed(result.failure, call)
      return { wish, sentMs, doneMs, tries: call.asked, end }
    })
  }
}

export interface Stream {
  readonly perSecond: number
  readonly count: number
  readonly wish: (index: number) => Wish
}

/** Sends at a steady rate whatever comes back, the clients in turn; resolves when every request has its end. */
export const stream = Effect.fnUntraced(function* (
  clients: ReadonlyArray<Client>,
  { perSecond, count, wish }: Stream,
  onDone: (outcome: Outcome) => void = () => undefined,
) {
  const outcomes: Array<Outcome> = []
  const startMs = performance.now()
  yield* Effect.forEach(
    Array.from({ length: count }, (_, i) => i),
    (i) =>
      Effect.gen(function* () {
        yield* Effect.sleep(Math.max(0, startMs + (i * 1000) / perSecond - performance.now()))
        const client = clients[i % clients.length]
        if (client === undefined) return
        const outcome = yield* client.ask(wish(i))
        outcomes.push(outcome)
        onDone(outcome)
      }),
    { concurrency: "unbounded", discard: true },
  )
  return outcomes
})
