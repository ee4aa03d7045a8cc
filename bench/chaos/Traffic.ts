/**
 * Clients of a swarm under test. Each request has its own reply subjects, one per try, so that every reply is seen and
 * counted, wanted or not. As the project's own client, they ask up to four times where that can help (nobody listens, a retryable
 * error, silence for half of the time that is left); what there is in the end is an answer, a typed error, or silence: that is
 * a lost request.
 */
import { Effect, Result } from "effect"
import type { BusShape } from "../../subjects/Bus.ts"
import { replyBytes } from "../../subjects/Bus.ts"
import { inferReply, inferRequest } from "../../subjects/Codecs.ts"
import type { DeviceId } from "../../subjects/DeviceId.ts"
import type { InferReply, Slo } from "../../subjects/InferMessages.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { createInbox, type Msg } from "nats"

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
  readonly tries: number
  readonly end:
    | { readonly kind: "answer"; readonly reply: InferReply }
    | { readonly kind: "error"; readonly tag: string; readonly message: string }
    /** No reply in time; `wasAnswered` tells whether one came at all, long after the deadline. */
    | { readonly kind: "silence"; readonly wasAnswered: () => boolean }
}

interface TryEnd {
  readonly end: Outcome["end"]
  readonly retry: boolean
}

const failed = (tag: string, message: string, retry: boolean): TryEnd => ({
  end: { kind: "error", tag, message },
  retry,
})

const maxTries = 4
/** For a typed refusal to be worth another try: the device had time to recover. */
const pauseMs = 50

const read = (subject: string, message: Msg): TryEnd => {
  if (message.data.length === 0 && message.headers?.code === 503)
    return failed("NobodyListens", "no device is reachable", true)
  const bytes = replyBytes(subject, message)
  if (Result.isFailure(bytes)) {
    const { tag, detail, retryable } = bytes.failure
    return failed(tag, detail, retryable)
  }
  const reply = inferReply.decode(subject, bytes.success)
  return Result.isSuccess(reply)
    ? { end: { kind: "answer", reply: reply.success }, retry: false }
    : failed("BadMessage", reply.failure.message, false)
}

export class Client {
  readonly device: DeviceId
  readonly bus: BusShape
  private readonly prefix = createInbox(Subjects.clientInbox)
  private readonly waiting = new Map<string, (message: Msg) => void>()
  private readonly replies = new Map<string, number>()
  private next = 0

  constructor(device: DeviceId, bus: BusShape) {
    this.device = device
    this.bus = bus
    bus.nats.subscribe(`${this.prefix}.*`, {
      callback: (error, message) => {
        if (error !== null) return
        const isStatus = message.data.length === 0 && message.headers?.code === 503
        if (!isStatus) this.replies.set(message.subject, (this.replies.get(message.subject) ?? 0) + 1)
        this.waiting.get(message.subject)?.(message)
      },
    })
  }

  /** Tries that were answered more than once. */
  get doubled(): number {
    return [...this.replies.values()].filter((n) => n > 1).length
  }

  ask(wish: Wish): Effect.Effect<Outcome> {
    return Effect.gen({ self: this }, function* () {
      const sentMs = performance.now()
      const endMs = sentMs + wish.deadlineMs
      let tries = 0
      while (true) {
        tries++
        const leftMs = endMs - performance.now()
        const isLast = tries === maxTries
        const limitMs = Math.max(1, isLast ? leftMs : leftMs / 2)
        const { end, retry } = yield* this.once(wish, limitMs, limitMs + (isLast ? wayMs : 0))
        const doneMs = performance.now()
        const over = isLast || !retry || endMs - doneMs < 2 * pauseMs
        if (over) return { wish, sentMs, doneMs, tries, end }
        yield* Effect.sleep(pauseMs)
      }
    })
  }

  private once(wish: Wish, limitMs: number, patienceMs: number): Effect.Effect<TryEnd> {
    return Effect.callback<TryEnd>((resume) => {
      const { image, slo } = wish
      const body = { image, slo, deadlineMs: limitMs, topK: 1, include: ["logits", "strategy"] as const }
      const reply = `${this.prefix}.${this.next++}`
      const finish = (end: TryEnd) => {
        clearTimeout(timer)
        this.waiting.delete(reply)
        resume(Effect.succeed(end))
      }
      const wasAnswered = () => this.replies.has(reply)
      const silence: TryEnd = { end: { kind: "silence", wasAnswered }, retry: true }
      const timer = setTimeout(() => finish(silence), patienceMs)
      this.waiting.set(reply, (message) => finish(read(reply, message)))
      if (this.bus.isUp()) {
        this.bus.nats.publish(Subjects.infer, inferRequest.encode(body), { reply })
        return
      }
      finish(failed("BusDown", "this client's leaf is down", true))
    })
  }
}

/** A device gives up at the deadline and says so: for that reply's way, and for a busy machine to send it. */
const wayMs = 2000

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
