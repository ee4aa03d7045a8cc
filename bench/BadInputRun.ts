/** Throws bad inputs at one device while another client asks for answers, and judges what comes back. */
import { crc32, deflateSync } from "node:zlib"
import { Effect, Ref, Result } from "effect"
import sharp from "sharp"
import { errorReply, swarmMessage } from "../subjects/Codecs.ts"
import type { BusShape } from "../subjects/Bus.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { errorHeader } from "../subjects/ErrorReply.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { decodeTileAck } from "../subjects/TileAck.ts"
import type { BadInput, Target } from "./BadMessage.ts"
import { tileReconfig } from "./BadInputs.ts"

/** `tag`: a typed error. `counted`: dropped, and the device says so. `silent`: neither. `unheard`: nobody listens. */
export interface Verdict {
  readonly input: BadInput
  readonly outcome: "tag" | "counted" | "silent" | "unheard" | "accepted"
  readonly tag: string
  readonly message: string
  readonly replyBytes: number
  readonly ms: number
  readonly right: boolean
}

const waitMs = 8000

const nothing = { tag: "", message: "", replyBytes: 0 }

const judgeRequest = (bus: BusShape, input: BadInput) =>
  Effect.promise(async () => {
    try {
      const reply = await bus.nats.request(input.subject, input.body, { timeout: waitMs })
      const replyBytes = reply.data.length
      if (input.expect.kind === "tile") {
        const ack = decodeTileAck(reply.data)
        if (ack?._tag !== "Refused") return { ...nothing, outcome: "accepted" as const, replyBytes }
        const { tag, message } = ack.error
        return { outcome: "tag" as const, tag, message, replyBytes }
      }
      const tag = reply.headers?.get(errorHeader) ?? ""
      if (tag === "") return { ...nothing, outcome: "accepted" as const, replyBytes }
      const body = errorReply.decode(input.subject, reply.data)
      const message = Result.isSuccess(body) ? body.success.error.message : "(unreadable)"
      return { outcome: "tag" as const, tag, message, replyBytes }
    } catch (cause) {
      return { ...nothing, outcome: "silent" as const, message: String(cause) }
    }
  })

/** The device's own count of what it dropped, from its beats. */
const droppedBy = (bus: BusShape, device: DeviceId) =>
  Effect.gen(function* () {
    const dropped = yield* Ref.make(-1)
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        bus.nats.subscribe(Subjects.swarm(device), {
          callback: (_, message) => {
            const beat = swarmMessage.decode(message.subject, message.data)
            if (Result.isSuccess(beat) && beat.success._tag === "Beat")
              Effect.runSync(Ref.set(dropped, beat.success.status.counts.dropped))
          },
        }),
      ),
      (s) => Effect.sync(() => s.unsubscribe()),
    )
    const above = (level: number) =>
      Ref.get(dropped).pipe(
        Effect.delay("20 millis"),
        Effect.repeat({ until: (n: number) => n > level }),
        Effect.timeoutOption(waitMs),
        Effect.map((found) => found._tag === "Some"),
      )
    yield* above(-1)
    return { now: Ref.get(dropped), above }
  })

const judgeNotice = Effect.fnUntraced(function* (
  bus: BusShape,
  input: BadInput,
  dropped: Effect.Success<ReturnType<typeof droppedBy>>,
) {
  const before = yield* dropped.now
  bus.nats.publish(input.subject, input.body)
  if (input.expect.kind === "unheard") return { ...nothing, outcome: "unheard" as const }
  const counted = yield* dropped.above(before)
  return { ...nothing, outcome: counted ? ("counted" as const) : ("silent" as const) }
})

/** `bus` may publish everything that a device may. One after the other; the verdicts are in the order of the inputs. */
export const throwAll = (bus: BusShape, target: Target, inputs: ReadonlyArray<BadInput>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const dropped = yield* droppedBy(bus, target.device)
      const { subject, body } = tileReconfig(target)
      yield* bus.request(subject, body, { timeoutMs: waitMs })
      return yield* Effect.forEach(inputs, (input) =>
        Effect.gen(function* () {
          const startMs = performance.now()
          const { expect } = input
          const asks = expect.kind === "request" || expect.kind === "tile"
          const seen = yield* asks ? judgeRequest(bus, input) : judgeNotice(bus, input, dropped)
          const right =
            expect.kind === "request" || expect.kind === "tile"
              ? seen.outcome === "tag" && expect.tags.some((t) => t === seen.tag) && seen.message !== ""
              : seen.outcome === (expect.kind === "notice" ? "counted" : "unheard")
          const verdict: Verdict = { input, ...seen, ms: performance.now() - startMs, right }
          return verdict
        }),
      )
    }),
  )

/** A white PNG of so many pixels a side, 1 bit each: a few kilobytes as a file, `side * side * 3` bytes decoded. */
export const whitePng = (side: number): Uint8Array => {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data])
    const frame = Buffer.alloc(body.length + 8)
    frame.writeUInt32BE(data.length, 0)
    body.copy(frame, 4)
    frame.writeUInt32BE(crc32(body), body.length + 4)
    return frame
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  header[8] = 1
  const rows = deflateSync(Buffer.alloc((1 + Math.ceil(side / 8)) * side))
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return new Uint8Array(
    Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]),
  )
}

/** A photograph's worth of noise as JPEG, and a picture of 100 megapixels. */
export const pictures = async () => {
  const noise = { type: "gaussian" as const, mean: 128, sigma: 40 }
  const image = await sharp({ create: { width: 160, height: 120, channels: 3, background: "grey", noise } })
    .jpeg({ quality: 80 })
    .toBuffer()
  return { image: new Uint8Array(image), bomb: whitePng(10_000) }
}
