/**
 * Control messages on the wire: CBOR (RFC 8949) or JSON, checked by Effect Schema on arrival. The first byte tells which:
 * a CBOR map never starts with `{` or white space. JSON carries binary fields as base64.
 *
 * Build a codec once per schema, at module level: schemas are compiled on first use.
 */
// oxlint-disable-next-line import/no-unassigned-import -- switches schema compilation on for the process
import "effect/schema/SchemaJITCompiler/enable"
import { Encoder, setSizeLimits } from "cbor-x"
import { Result, Schema, SchemaIssue } from "effect"

/** Plain CBOR: byte strings without tags, no record extension, the shortest map headers. */
const cbor = new Encoder({ useRecords: false, tagUint8Array: false, variableMapSize: true })
// Five bytes can announce an array of 100 million elements, and cbor-x makes room for them before it looks further.
setSizeLimits({ maxArraySize: 1_000_000, maxMapSize: 100_000, maxObjectSize: 100_000 })
const utf8 = new TextDecoder("utf-8", { fatal: true })

export type WireFormat = "cbor" | "json"

/** What arrived is not what the subject carries. `path` names the first field that is wrong, outermost first. */
export class BadMessage extends Schema.TaggedError<BadMessage>()("BadMessage", {
  subject: Schema.String,
  detail: Schema.String,
  path: Schema.Array(Schema.String),
}) {
  override get message() {
    return `${this.subject}: ${this.detail}`
  }
}

export interface Codec<A> {
  /** Throws for a value that breaks the schema: a fault of the program. */
  readonly encode: (value: A, format?: WireFormat) => Uint8Array
  /** The same, as CBOR, for values that a user made up: what is wrong with one is an error to be told. */
  readonly encodeChecked: (subject: string, value: A) => Result.Result<Uint8Array, BadMessage>
  readonly decode: (subject: string, bytes: Uint8Array) => Result.Result<A, BadMessage>
}

/** The form of a message, from its first byte; an empty message counts as CBOR. */
export const formatOf = (bytes: Uint8Array): WireFormat => {
  const first = bytes[0]
  return first === 0x7b || first === 0x20 || first === 0x0a || first === 0x0d || first === 0x09
    ? "json"
    : "cbor"
}

const pathOf = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * A message of the usual limit can be wrong in a million places: to find and describe them all took a device's only thread six
 * seconds, in which it neither beat nor answered.
 */
const toTheFirst = { errors: "first" } as const
/** Of an error's text: it quotes the value, which may be long. */
const detailLimit = 600
const shortened = (text: string): string =>
  text.length > detailLimit ? `${text.slice(0, detailLimit)} ...` : text

const badMessage = (subject: string, error: Schema.SchemaError): BadMessage => {
  const path = pathOf(error.issue).issues[0]?.path ?? []
  return new BadMessage({ subject, detail: shortened(error.message), path: path.map(String) })
}

const parse = (bytes: Uint8Array, format: WireFormat): unknown =>
  format === "json" ? JSON.parse(utf8.decode(bytes)) : cbor.decode(bytes)

export const codec = <A, I>(schema: Schema.Codec<A, I>): Codec<A> => {
  const json = Schema.toCodecJson(schema)
  const decoders = {
    cbor: Schema.decodeUnknownResult(schema, toTheFirst),
    json: Schema.decodeUnknownResult(json, toTheFirst),
  }
  const encodeCbor = Schema.encodeSync(schema)
  const encodeResult = Schema.encodeResult(schema, toTheFirst)
  const encodeJson = Schema.encodeSync(json)
  return {
    encode: (value, format = "cbor") =>
      format === "json"
        ? new TextEncoder().encode(JSON.stringify(encodeJson(value)))
        : cbor.encode(encodeCbor(value)),
    encodeChecked: (subject, value) =>
      Result.mapBoth(encodeResult(value), {
        onSuccess: (raw): Uint8Array => cbor.encode(raw),
        onFailure: (error) => badMessage(subject, error),
      }),
    decode: (subject, bytes) => {
      const format = formatOf(bytes)
      let raw: unknown
      try {
        raw = parse(bytes, format)
      } catch (cause) {
        const text = cause instanceof Error ? cause.message : String(cause)
        return Result.fail(new BadMessage({ subject, detail: `not ${format}: ${text}`, path: [] }))
      }
      return Result.mapError(decoders[format](raw), (error) => badMessage(subject, error))
    },
  }
}
