/** What a bad input is, what is expected of a device that gets one, and bytes that are no message of any subject. */
import { Encoder } from "cbor-x"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ErrorTag } from "../subjects/ErrorReply.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"

/**
 * `request`: must be answered with one of these tags. `tile`: as a request, in the tiles' own form of answers. `notice`:
 * nobody waits for an answer; the device must count it as dropped. `unheard`: devices do not listen, and go on unharmed.
 */
export type Expectation =
  | { readonly kind: "request" | "tile"; readonly tags: ReadonlyArray<ErrorTag> }
  | { readonly kind: "notice" | "unheard" }

export interface BadInput {
  readonly name: string
  readonly subject: string
  readonly body: Uint8Array
  readonly expect: Expectation
}

export interface Target {
  readonly spec: SupernetSpec
  /** Who is attacked, and who the messages claim to come from. */
  readonly device: DeviceId
  readonly peer: DeviceId
  /** A picture that can be decoded (JPEG), and one that must not be (a PNG of 100 megapixels). */
  readonly image: Uint8Array
  readonly bomb: Uint8Array
}

const cbor = new Encoder({ useRecords: false, tagUint8Array: false, variableMapSize: true })
export const pack = (value: unknown): Uint8Array => cbor.encode(value)
export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.from(values)
/** [[[[ ... ]]]] */
const nestedCbor = (levels: number): Uint8Array => new Uint8Array(levels).fill(0x81)
const nestedJson = (levels: number): Uint8Array => text(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`)

/** Bytes that are no message of any subject. */
export const noise: ReadonlyArray<readonly [string, Uint8Array]> = [
  ["nothing at all", new Uint8Array(0)],
  ["plain text", text("hello, is anybody there?")],
  ["random bytes", bytes(0x9f, 0x41, 0xc3, 0x28, 0xff, 0x00, 0xfe, 0x5b, 0x83, 0x1a)],
  ["a number", pack(42)],
  ["null", bytes(0xf6)],
  ["an array of the wrong things", pack(["a", { b: 1 }, null])],
  ["an empty map", pack({})],
  [
    "CBOR that stops in the middle",
    pack({ slo: { latencyMs: 100 }, image: new Uint8Array(99) }).subarray(0, 40),
  ],
  ["CBOR with something behind it", bytes(...pack({ a: 1 }), ...pack({ b: 2 }))],
  ["an array that announces 4 billion elements", bytes(0x9a, 0xff, 0xff, 0xff, 0xff)],
  ["an array that announces 30 million elements", bytes(0x9a, 0x01, 0xc9, 0xc3, 0x80)],
  ["a map that announces 2^60 entries", bytes(0xbb, 0x10, 0, 0, 0, 0, 0, 0, 0)],
  ["a byte string that announces a terabyte", bytes(0x5b, 0, 0, 1, 0, 0, 0, 0, 0, 1)],
  ["arrays nested 200 000 deep", nestedCbor(200_000)],
  ["JSON nested 50 000 deep", nestedJson(50_000)],
  ["JSON that stops in the middle", text('{"slo":{"latencyMs":')],
]

/** The same expectation for several bodies on one subject. */
export const on = (
  subject: string,
  label: string,
  expect: Expectation,
  inputs: ReadonlyArray<readonly [string, Uint8Array]>,
): ReadonlyArray<BadInput> =>
  inputs.map(([name, body]) => ({ name: `${label}: ${name}`, subject, body, expect }))

export const request = (...tags: ReadonlyArray<ErrorTag>): Expectation => ({ kind: "request", tags })
