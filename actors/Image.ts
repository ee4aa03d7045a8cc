/**
 * From whatever a client sends (JPEG, PNG, WebP, or raw RGB) to the pixels that a submodel takes: RGB bytes, square,
 * shorter side scaled to the resolution and the middle cut out, as ImageNet evaluation does it.
 *
 * Bad images must not hurt anybody: bytes are looked at before they are decoded (format, pixel count), decoding runs on
 * libuv's threads where there is room for it (`DecodingRoom.ts`), and a truncated or corrupt file is an error, never a grey half.
 */
import { Effect, Schema } from "effect"
import sharp, { type Metadata, type Sharp } from "sharp"
import { middleSquare } from "../supernet/Pixels.ts"
import { type DecodingRoom, endlessRoom } from "./DecodingRoom.ts"

export class BadImage extends Schema.TaggedError<BadImage>()("BadImage", {
  message: Schema.String,
  hint: Schema.String,
}) {}

export class ImageTooLarge extends Schema.TaggedError<ImageTooLarge>()("ImageTooLarge", {
  message: Schema.String,
  hint: Schema.String,
}) {}

/** A decoded picture before it is scaled: 3 bytes per pixel, row by row. */
export interface RawImage {
  readonly width: number
  readonly height: number
  readonly data: Uint8Array
}

/** 50 megapixels: beyond any camera on a drone; a decoded image of this size takes 150 MB for a moment. */
const maxPixels = 50_000_000

const formats = new Set(["jpeg", "png", "webp"])

// One thread per image: many requests are in flight at once, and the cores belong to inference.
sharp.concurrency(1)
sharp.cache(false)

const tooLarge = (width: number, height: number) =>
  new ImageTooLarge({
    message: `the image has ${width} x ${height} pixels; at most ${maxPixels} are decoded`,
    hint: "scale it down before sending: the network sees 224 x 224 pixels at most",
  })

const badImage = (reason: string) =>
  new BadImage({
    message: `the image cannot be decoded: ${reason}`,
    hint: "send a complete JPEG, PNG or WebP file, or raw RGB bytes with width and height",
  })

const scaled = (image: Sharp, resolution: number) =>
  Effect.tryPromise({
    try: () => middleSquare(image, resolution).toBuffer({ resolveWithObject: true }),
    catch: (cause) => badImage(String(cause instanceof Error ? cause.message : cause).split("\n")[0] ?? ""),
  }).pipe(
    Effect.filterOrFail(
      ({ info }) => info.channels === 3,
      ({ info }) => badImage(`it has ${info.channels} channels, not 3`),
    ),
    Effect.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  )

const open = (bytes: Uint8Array) =>
  sharp(bytes, {
    failOn: "warning",
    limitInputPixels: maxPixels,
    sequentialRead: true,
    pages: 1,
  })

const decodedBytes = ({ width, height, channels, depth }: Metadata): number =>
  width * height * channels * (depth === "ushort" ? 2 : 1)

/** Encoded image (JPEG, PNG, WebP) -> resolution x resolution x 3 bytes (HWC, RGB). */
export const decodeImage = Effect.fnUntraced(function* (
  bytes: Uint8Array,
  resolution: number,
  room: DecodingRoom = endlessRoom,
) {
  if (bytes.byteLength === 0) return yield* badImage("it is empty")
  const meta = yield* Effect.tryPromise({
    try: () => sharp(bytes, { limitInputPixels: false }).metadata(),
    catch: () => badImage(`its ${bytes.byteLength} bytes are no image file`),
  })
  if (!formats.has(meta.format)) return yield* badImage(`format ${meta.format} is not supported`)
  if (meta.width * meta.height > maxPixels) return yield* tooLarge(meta.width, meta.height)
  return yield* room(decodedBytes(meta))(scaled(open(bytes), resolution))
})

/** Raw RGB bytes (HWC) -> resolution x resolution x 3 bytes. */
export const scaleImage = Effect.fnUntraced(function* (image: RawImage, resolution: number) {
  const { width, height, data } = image
  if (width < 1 || height < 1) return yield* badImage(`${width} x ${height} pixels`)
  if (width * height > maxPixels) return yield* tooLarge(width, height)
  if (data.byteLength !== width * height * 3) {
    return yield* badImage(
      `${data.byteLength} bytes for ${width} x ${height} RGB pixels (${width * height * 3} wanted)`,
    )
  }
  if (width === resolution && height === resolution) return data
  return yield* scaled(sharp(data, { raw: { width, height, channels: 3 } }), resolution)
})
