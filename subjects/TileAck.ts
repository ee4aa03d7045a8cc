/** The answer to one chunk: taken, with the time it took the receiver, or refused with a typed error. CBOR, a few bytes. */
import { Encoder } from "cbor-x"
import type { ErrorBody } from "./ErrorReply.ts"

export type TileAck =
  | { readonly _tag: "Taken"; readonly processingMs: number }
  | { readonly _tag: "Refused"; readonly error: ErrorBody }

const cbor = new Encoder({ useRecords: false })

export const encodeTaken = (processingMs: number): Uint8Array => cbor.encode([0, processingMs])

export const encodeRefused = (e: ErrorBody): Uint8Array =>
  cbor.encode([1, e.tag, e.message, e.retryable, e.hint])

/** Undefined for anything that is not an acknowledgement. Never throws. */
export const decodeTileAck = (bytes: Uint8Array): TileAck | undefined => {
  let a: unknown
  try {
    a = cbor.decode(bytes)
  } catch {
    return undefined
  }
  if (!Array.isArray(a)) return undefined
  const [kind, second, message, retryable, hint]: ReadonlyArray<unknown> = a
  if (kind === 0 && typeof second === "number" && second >= 0 && Number.isFinite(second))
    return { _tag: "Taken", processingMs: second }
  if (kind !== 1 || typeof second !== "string" || typeof message !== "string") return undefined
  const error = {
    tag: second,
    message,
    retryable: retryable === true,
    hint: typeof hint === "string" ? hint : "",
  }
  return { _tag: "Refused", error }
}
