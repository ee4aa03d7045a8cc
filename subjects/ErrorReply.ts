/**
 * What a request gets when it gets no answer: a typed error, on the same reply subject. A client may switch on `tag`;
 * `message` says what was needed and what was there, `hint` what to do next.
 */
import { Schema } from "effect"

/** Tags that the system itself replies with. Receivers accept others too: a newer device may know more. */
export const errorTags = [
  /** Not CBOR or JSON, or not of the expected shape. */
  "BadRequest",
  /** The image cannot be decoded: truncated, not an image, or of a format that is not supported. */
  "BadImage",
  /** More pixels or bytes than a device will decode. */
  "ImageTooLarge",
  /** The SLO is missing, contradictory, or of a kind or range that is not known. */
  "UnknownSlo",
  /** The request's deadline passed before an answer was ready. */
  "DeadlineExpired",
  /** Queues are full, or the predicted wait would break the deadline. */
  "Overloaded",
  /** No strategy can be run by the devices that are present. */
  "NoStrategy",
  /** A strategy id that this device has not been configured for. */
  "UnknownStrategy",
  /** A tile whose shape, sizes or indices contradict the strategy. */
  "BadTile",
  /** A device left while it held part of the request, and nobody could take over in time. */
  "DeviceLost",
  /** The peer speaks another protocol version, or has another supernet. */
  "Incompatible",
  /** The answer is larger than the server's payload limit. */
  "PayloadTooLarge",
  /** The device is shutting down and takes no more work. */
  "Leaving",
  /** A fault of the program. */
  "Internal",
] as const
export type ErrorTag = (typeof errorTags)[number]

export const ErrorBody = Schema.Struct({
  tag: Schema.String,
  message: Schema.String,
  /** True where the same request may succeed later or elsewhere. */
  retryable: Schema.Boolean,
  hint: Schema.String,
})
export type ErrorBody = typeof ErrorBody.Type

export const ErrorReply = Schema.Struct({ error: ErrorBody })
export type ErrorReply = typeof ErrorReply.Type

/** Errors may quote what they found, and lists of problems have no end; a reply or a beat that carries one must stay small. */
const longestText = 1000
export const shortText = (text: string): string =>
  text.length > longestText ? `${text.slice(0, longestText)} ...` : text

/** Header that marks a reply as an error, so that no body needs to be decoded to know. Value: the tag. */
export const errorHeader = "Murmuration-Error"

/**
 * A typed refusal: what a handler fails with to have exactly this sent as the error reply. Errors of other types become
 * `Internal`.
 */
export class Refusal extends Schema.TaggedError<Refusal>()("Refusal", {
  tag: Schema.String,
  detail: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.tag}: ${this.detail}`
  }
}

export const refusal = (tag: ErrorTag, detail: string, hint = "", retryable = false): Refusal =>
  new Refusal({ tag, detail, retryable, hint })

export const errorBodyOf = (refusal: Refusal): ErrorBody => ({
  tag: refusal.tag,
  message: shortText(refusal.detail),
  retryable: refusal.retryable,
  hint: refusal.hint,
})

/** Any failure as an error body. Unknown failures become `Internal` and keep only their text. */
export const errorBody = (failure: unknown): ErrorBody => {
  if (failure instanceof Refusal) return errorBodyOf(failure)
  const text = failure instanceof Error ? failure.message || failure.name : String(failure)
  const hint = "this is a fault of the serving device; its log has the details"
  return { tag: "Internal", message: shortText(text), retryable: true, hint }
}
