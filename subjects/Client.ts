/**
 * The client: one call per image, one answer or one typed error per call. `infer` is for programs in Effect;
 * `MurmurationClient` for everyone else.
 *
 *   const { servers, user, password } = JSON.parse(await readFile("client.json", "utf8")) // from `deploy init`
 *   const client = await MurmurationClient.connect({ servers, user, password })
 *   const answer = await client.infer({ image: await readFile("cat.jpg"), slo: { latencyMs: 140 } })
 *   console.log(answer.classes[0]?.name, answer.latencyMs)
 *   await client.close()
 */
import { randomUUID } from "node:crypto"
import { Effect, Layer, ManagedRuntime } from "effect"
import { Bus, type BusOptions } from "./Bus.ts"
import type { CannotConnect, RequestError } from "./BusErrors.ts"
import { BadMessage } from "./Codec.ts"
import { inferReply, inferRequest } from "./Codecs.ts"
import { isDeviceId, RequestId } from "./DeviceId.ts"
import type { InferReply, InferRequest } from "./InferMessages.ts"
import { retried } from "./Retry.ts"
import * as Subjects from "./Subjects.ts"

/** A request as a client writes it: exactly one of `image` (JPEG, PNG, WebP) and `tensor` (RGB bytes), and an SLO. */
export type InferInput = Omit<InferRequest, "id" | "key" | "topK" | "include"> & {
  /** To recognise the answer in logs. */
  readonly id?: string
  readonly topK?: number
  readonly include?: InferRequest["include"]
  /** Ask this device instead of the nearest one. */
  readonly device?: string
  /** How often it is asked at most, within the deadline. Default 4; 1 asks once. */
  readonly attempts?: number
}

export type InferError = RequestError | BadMessage

/** Time for the way to the device and back, on top of the request's own deadline. */
const wayMs = 1000
const defaultDeadlineMs = 30_000
const defaultAttempts = 4

/**
 * Asks the swarm, and asks again where that can help, until the deadline (`Retry.ts`); there is one answer however often it
 * was asked. Errors: `Refused` (with the swarm's own tag: BadImage, UnknownSlo, Overloaded ...), `NobodyListens` (no device
 * is reachable), `Late`, `BusDown`, `PayloadTooLarge`; `BadMessage` for an input that cannot be sent (an accuracy of 85, both
 * `image` and `tensor`), and for an answer of another protocol version.
 */
export const infer = (input: InferInput): Effect.Effect<InferReply, InferError, Bus> =>
  Effect.gen(function* () {
    const bus = yield* Bus
    const { device, id, attempts = defaultAttempts, ...rest } = input
    if (device !== undefined && !isDeviceId(device))
      return yield* new BadMessage({
        subject: "infer",
        detail: `'${device}' is no device id`,
        path: ["device"],
      })
    const subject = device === undefined ? Subjects.infer : Subjects.inferAt(device)
    const request = {
      topK: 5,
      include: [],
      ...rest,
      // Checked when it is encoded.
      ...(id === undefined ? {} : { id: id as RequestId }),
      key: RequestId.make(randomUUID()),
    }
    const ask = Effect.fnUntraced(function* (leftMs: number, isFirst: boolean) {
      // The first message says what the client said; a device's own default counts where it said nothing.
      const body = isFirst ? request : { ...request, deadlineMs: leftMs }
      const encoded = yield* Effect.fromResult(inferRequest.encodeChecked(subject, body))
      const bytes = yield* bus.request(subject, encoded, { timeoutMs: leftMs + wayMs })
      return yield* Effect.fromResult(inferReply.decode(subject, bytes))
    })
    return yield* retried(ask, { attempts, deadlineMs: input.deadlineMs ?? defaultDeadlineMs })
  })

/** A connection to the swarm for programs that use promises. Rejections are the tagged errors of `infer`. */
export class MurmurationClient {
  private readonly runtime: ManagedRuntime.ManagedRuntime<Bus, CannotConnect>

  private constructor(runtime: ManagedRuntime.ManagedRuntime<Bus, CannotConnect>) {
    this.runtime = runtime
  }

  /** Connects within 10 s or rejects with `CannotConnect`. Later losses of the connection are repaired for ever. */
  static async connect(options: BusOptions): Promise<MurmurationClient> {
    const layer = Bus.layer({ name: "murmuration-client", firstConnectMs: 10_000, ...options })
    const runtime = ManagedRuntime.make(Layer.fresh(layer))
    await runtime.runPromise(Effect.asVoid(Bus))
    return new MurmurationClient(runtime)
  }

  infer(input: InferInput): Promise<InferReply> {
    return this.runtime.runPromise(infer(input))
  }

  close(): Promise<void> {
    return this.runtime.dispose()
  }
}
