/**
 * The receiving process of `bench wire`: the same tiles over the bus and over gRPC, each decoded and checked on arrival.
 * Notes for every tile when it was in hand, on the machine's monotonic clock, which both processes share.
 */
import { Effect, Result } from "effect"
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall } from "@grpc/grpc-js"
import { collectRarely } from "../actors/Garbage.ts"
import { Bus } from "../subjects/Bus.ts"
import type { BusOptions } from "../subjects/Connection.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { decodeTileChunk, type TileChunk } from "../subjects/TileCodec.ts"
import { makeTileReceiver } from "../subjects/TileReceiver.ts"

/** Times by edge number, ns, of the tiles since the last `collect`. */
export type FromReceiver =
  | { readonly _tag: "Ready"; readonly grpcPort: number }
  | { readonly _tag: "Arrivals"; readonly at: ReadonlyArray<readonly [number, string]> }
export type ToReceiver =
  | { readonly _tag: "Start"; readonly bus: BusOptions; readonly device: string }
  | { readonly _tag: "Collect" }

export const grpcPath = "/murmuration.Tiles/Send"
export const grpcMaxBytes = 16 * 1024 * 1024

let arrivals: Array<readonly [number, string]> = []
const note = (edge: number) => arrivals.push([edge, process.hrtime.bigint().toString()])
const say = (message: FromReceiver) => process.send?.(message)

/** Decodes in gRPC's deserialiser, as a generated message class would. */
const decode = (bytes: Buffer): TileChunk => Result.getOrThrow(decodeTileChunk(bytes))

const grpcServer = (): Promise<number> => {
  const server = new Server({ "grpc.max_receive_message_length": grpcMaxBytes })
  const send = {
    path: grpcPath,
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: decode,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (value: Buffer) => value,
  }
  server.addService(
    { send },
    {
      send: (call: ServerUnaryCall<TileChunk, Buffer>, reply: sendUnaryData<Buffer>) => {
        note(call.request.edge)
        reply(null, Buffer.alloc(0))
      },
    },
  )
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
}

const start = (options: BusOptions, device: string) =>
  Effect.gen(function* () {
    yield* makeTileReceiver({
      device: DeviceId.make(device),
      accept: (tile) => {
        note(tile.edge)
        return undefined
      },
    })
    const grpcPort = yield* Effect.promise(grpcServer)
    say({ _tag: "Ready", grpcPort })
    return yield* Effect.never
  }).pipe(Effect.scoped, Effect.provide(Bus.layer(options)))

if (process.send !== undefined) {
  // As a device does.
  collectRarely()
  process.on("message", (message: ToReceiver) => {
    if (message._tag === "Start") Effect.runFork(start(message.bus, message.device))
    else {
      say({ _tag: "Arrivals", at: arrivals })
      arrivals = []
    }
  })
  process.on("disconnect", () => process.exit(0))
}
