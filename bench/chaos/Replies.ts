/**
 * Replies to the project's own client, all of them. The client takes the first answer and hears of no other; here every message
 * of it gets a reply subject of an inbox that the bench keeps, so that replies are counted, wanted or not, however late.
 */
import { createHash } from "node:crypto"
import { Deferred, Effect, Option, Result } from "effect"
import { createInbox, type Msg } from "nats"
import { againAtStart, type BusShape, replyBytes } from "../../subjects/Bus.ts"
import { Late, NobodyListens, type RequestError } from "../../subjects/BusErrors.ts"
import { clientInbox } from "../../subjects/Subjects.ts"

interface Reply {
  /** Of the message that it replies to. */
  readonly subject: string
  /** The same for the same bytes; undefined: a typed error. */
  readonly answer: string | undefined
}

/** One call of the client, of one message or more. */
export interface Call {
  /** How often the client asked, messages that could not be sent among them. */
  asked: number
  readonly replies: Array<Reply>
}

/** The server's word that nobody listens: no reply. */
const isNobody = (message: Msg): boolean => message.data.length === 0 && message.headers?.code === 503

const answerOf = (subject: string, message: Msg): string | undefined =>
  Result.isFailure(replyBytes(subject, message))
    ? undefined
    : createHash("sha1").update(message.data).digest("base64")

const bytesOf = (subject: string, message: Msg): Result.Result<Uint8Array, RequestError> =>
  isNobody(message) ? Result.fail(new NobodyListens({ subject })) : replyBytes(subject, message)

/** The inbox of one client. */
export class Mailbox {
  readonly calls: Array<Call> = []
  private readonly bus: BusShape
  private readonly prefix = createInbox(clientInbox)
  private readonly callOf = new Map<string, Call>()
  private readonly waiting = new Map<string, Deferred.Deferred<Msg>>()
  private next = 0

  constructor(bus: BusShape) {
    this.bus = bus
    bus.nats.subscribe(`${this.prefix}.*`, {
      callback: (error, message) => {
        if (error === null) this.take(message)
      },
    })
  }

  private take(message: Msg): void {
    const { subject } = message
    if (!isNobody(message))
      this.callOf.get(subject)?.replies.push({ subject, answer: answerOf(subject, message) })
    const waiting = this.waiting.get(subject)
    if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.succeed(message))
  }

  /** A new call, and the bus to make it on: as the client's own, but for where replies come to. */
  call(): { readonly call: Call; readonly bus: BusShape } {
    const call: Call = { asked: 0, replies: [] }
    this.calls.push(call)
    const request: BusShape["request"] = (subject, bytes, { timeoutMs }) =>
      Effect.suspend(() => {
        call.asked++
        return againAtStart(this.bus.state, this.message(call, subject, bytes, timeoutMs))
      })
    return { call, bus: { ...this.bus, request } }
  }

  private message(
    call: Call,
    subject: string,
    bytes: Uint8Array,
    timeoutMs: number,
  ): Effect.Effect<Uint8Array, RequestError> {
    return Effect.suspend(() => {
      const reply = `${this.prefix}.${this.next++}`
      const came = Deferred.makeUnsafe<Msg>()
      this.callOf.set(reply, call)
      this.waiting.set(reply, came)
      return this.bus.publish(subject, bytes, reply).pipe(
        Effect.andThen(Effect.timeoutOption(Deferred.await(came), Math.max(1, timeoutMs))),
        Effect.flatMap((message) =>
          Option.isSome(message)
            ? Effect.fromResult(bytesOf(subject, message.value))
            : Effect.fail<RequestError>(new Late({ subject, timeoutMs })),
        ),
        Effect.ensuring(Effect.sync(() => this.waiting.delete(reply))),
      )
    })
  }
}

/** Calls for which more was done than asked, and those that asked twice and were told the same twice. */
export interface Doubled {
  /** A message had more than one reply. */
  readonly twice: number
  /** Messages of one call had answers that differ: it was computed more than once. */
  readonly differing: number
  /** Messages of one call had one and the same answer: the device knew the key. */
  readonly alike: number
}

export const doubledOf = (calls: ReadonlyArray<Call>): Doubled => {
  let [twice, differing, alike] = [0, 0, 0]
  for (const { replies } of calls) {
    const answers = replies.flatMap(({ answer }) => answer ?? [])
    if (new Set(replies.map(({ subject }) => subject)).size < replies.length) twice++
    else if (new Set(answers).size > 1) differing++
    else if (answers.length > 1) alike++
  }
  return { twice, differing, alike }
}
