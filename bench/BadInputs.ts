/**
 * What a device must survive: messages that no well-meaning program sends, one or more for every field of every subject.
 * `bench badinput` throws them at a real process, the tests at a device in their own.
 */
import { Encoder } from "cbor-x"
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ErrorTag } from "../subjects/ErrorReply.ts"
import { protocolVersion } from "../subjects/SwarmMessages.ts"
import * as Subjects from "../subjects/Subjects.ts"
import type { SupernetSpec } from "../supernet/Spec.ts"
import { localStrategy, normalizeStrategy, type Strategy, strategyId } from "../supernet/Strategy.ts"
import { maxSubmodel } from "../supernet/Submodel.ts"

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
const pack = (value: unknown): Uint8Array => cbor.encode(value)
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const bytes = (...values: ReadonlyArray<number>): Uint8Array => Uint8Array.from(values)
/** [[[[ ... ]]]] */
const nestedCbor = (levels: number): Uint8Array => new Uint8Array(levels).fill(0x81)
const nestedJson = (levels: number): Uint8Array => text(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`)

/** Bytes that are no message of any subject. */
const noise: ReadonlyArray<readonly [string, Uint8Array]> = [
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

const on = (
  subject: string,
  label: string,
  expect: Expectation,
  inputs: ReadonlyArray<readonly [string, Uint8Array]>,
): ReadonlyArray<BadInput> =>
  inputs.map(([name, body]) => ({ name: `${label}: ${name}`, subject, body, expect }))

const request = (...tags: ReadonlyArray<ErrorTag>): Expectation => ({ kind: "request", tags })

/** Wrong in one field; everything else of the request is right. */
const inferInputs = (t: Target): ReadonlyArray<BadInput> => {
  const good = { image: t.image, slo: { latencyMs: 300 } }
  const { image: _image, ...withoutImage } = good
  const tensor = (width: unknown, height: unknown, length: number) => ({
    ...withoutImage,
    tensor: { width, height, data: new Uint8Array(length) },
  })
  const one = (name: string, body: unknown, ...tags: ReadonlyArray<ErrorTag>): BadInput => ({
    name: `infer: ${name}`,
    subject: Subjects.inferAt(t.device),
    body: body instanceof Uint8Array ? body : pack(body),
    expect: request(...tags),
  })
  const slo = (name: string, value: unknown) =>
    one(`SLO ${name}`, { image: t.image, slo: value }, "UnknownSlo")
  return [
    one("no SLO", { image: t.image }, "UnknownSlo"),
    slo("empty", {}),
    slo("null", null),
    slo("with both objectives", { latencyMs: 100, accuracy: 0.8 }),
    slo("of an unknown kind", { energyJ: 2 }),
    slo("latency NaN", { latencyMs: Number.NaN }),
    slo("latency infinite", { latencyMs: Infinity }),
    slo("latency negative", { latencyMs: -5 }),
    slo("latency zero", { latencyMs: 0 }),
    slo("latency as text", { latencyMs: "100" }),
    slo("latency of a century", { latencyMs: 3e12 }),
    slo("accuracy in percent", { accuracy: 80 }),
    slo("accuracy NaN", { accuracy: Number.NaN }),
    slo("an array", [100]),
    one("no picture", withoutImage, "BadRequest"),
    one("two pictures", { ...tensor(4, 4, 48), image: t.image }, "BadRequest"),
    one("an empty picture", { ...good, image: new Uint8Array(0) }, "BadImage"),
    one("a number for a picture", { ...good, image: 7 }, "BadImage"),
    one("a picture that is text", { ...good, image: text("<svg>not a picture</svg>") }, "BadImage"),
    one("a truncated picture", { ...good, image: t.image.subarray(0, t.image.length >> 1) }, "BadImage"),
    one("a picture with a broken middle", { ...good, image: broken(t.image) }, "BadImage"),
    one("a picture of 100 megapixels", { ...good, image: t.bomb }, "ImageTooLarge"),
    one("pixels that lack a row", tensor(10, 10, 270), "BadRequest", "BadImage"),
    one("pixels of a negative width", tensor(-10, 10, 300), "BadRequest", "BadImage"),
    one("pixels of half a width", tensor(10.5, 10, 315), "BadRequest", "BadImage"),
    one("a picture that is not base64", text('{"image":"%%%","slo":{"latencyMs":100}}'), "BadImage"),
    one("a deadline in the past", { ...good, deadlineMs: -1 }, "BadRequest"),
    one("a deadline NaN", { ...good, deadlineMs: Number.NaN }, "BadRequest"),
    one("a deadline as text", { ...good, deadlineMs: "soon" }, "BadRequest"),
    one("a deadline too short for anything", { ...good, deadlineMs: 0.1 }, "DeadlineExpired"),
    one("topK 0", { ...good, topK: 0 }, "BadRequest"),
    one("topK of a billion", { ...good, topK: 1e9 }, "BadRequest"),
    one("topK as text", { ...good, topK: "five" }, "BadRequest"),
    one("an unknown extra", { ...good, include: ["weights"] }, "BadRequest"),
    one(
      "100 000 unknown extras",
      { ...good, include: Array.from({ length: 100_000 }, () => 7) },
      "BadRequest",
    ),
    one("an id with wildcards", { ...good, id: "a.>*" }, "BadRequest"),
    one("an id of 100 letters", { ...good, id: "x".repeat(100) }, "BadRequest"),
    one("an id that is a number", { ...good, id: 5 }, "BadRequest"),
    ...strategyInputs(t).map(([name, strategy]) =>
      one(`strategy ${name}`, { ...good, strategy }, "BadRequest", "NoStrategy"),
    ),
  ]
}

const broken = (image: Uint8Array): Uint8Array =>
  image.map((b, i) => (i > image.length * 0.1 && i < image.length * 0.9 ? 0xff : b))

/** Everything local and uncut: right in every way. */
const goodStrategy = (t: Target): Strategy => localStrategy(t.spec, maxSubmodel(t.spec), t.device)

const strategyInputs = (t: Target): ReadonlyArray<readonly [string, unknown]> => {
  const good = goodStrategy(t)
  const { submodel, blocks } = good
  const change = (at: number, plan: object) => blocks.map((b, i) => (i === at ? { ...b, ...plan } : b))
  const last = blocks.length - 1
  return [
    ["of another supernet", { ...good, submodel: { ...submodel, resolution: 1024 } }],
    ["with a resolution that is text", { ...good, submodel: { ...submodel, resolution: "224" } }],
    ["with a depth too many", { ...good, submodel: { ...submodel, depths: [...submodel.depths, 2] } }],
    [
      "with depths of a million",
      { ...good, submodel: { ...submodel, depths: submodel.depths.map(() => 1e6) } },
    ],
    ["with kernels of 9", { ...good, submodel: { ...submodel, kernels: submodel.kernels.map(() => 9) } }],
    ["without kernels", { ...good, submodel: { ...submodel, kernels: [] } }],
    [
      "with an unknown device",
      { ...good, devices: [t.device, "nobody"], blocks: change(3, { placement: [1] }) },
    ],
    ["with a device id that is a wildcard", { ...good, devices: [t.device, "*.>"] }],
    [
      "with a device twice",
      { ...good, devices: [t.device, t.device], blocks: change(2, { placement: [1] }) },
    ],
    ["of another device", { ...good, devices: [t.peer] }],
    ["without devices", { ...good, devices: [] }],
    ["with a cut head", { ...good, blocks: change(last, { grid: "2x2", placement: [0, 0, 0, 0] }) }],
    ["with an unknown grid", { ...good, blocks: change(2, { grid: "3x3" }) }],
    ["with 7 bits", { ...good, blocks: change(2, { bits: 7 }) }],
    ["with a tile on device 9", { ...good, blocks: change(2, { placement: [9] }) }],
    ["with a tile on device -1", { ...good, blocks: change(2, { placement: [-1] }) }],
    ["with a tile on device 0.5", { ...good, blocks: change(2, { placement: [0.5] }) }],
    ["with more tiles than cells", { ...good, blocks: change(2, { placement: [0, 0, 0, 0, 0, 0] }) }],
    ["with a block missing", { ...good, blocks: blocks.slice(1) }],
    ["with 20 000 blocks", { ...good, blocks: Array.from({ length: 20_000 }, () => blocks[0]) }],
    ["that is text", "run it everywhere"],
  ]
}

const planInputs = (t: Target): ReadonlyArray<BadInput> => {
  const good = { requestId: "r", slo: { latencyMs: 100 }, exclude: [] }
  return on(Subjects.plan(t.device), "plan", request("BadRequest"), [
    ...noise,
    ["no SLO", pack({ requestId: "r", exclude: [] })],
    ["excluding a wildcard", pack({ ...good, exclude: ["*"] })],
    ["excluding a number", pack({ ...good, exclude: 4 })],
  ])
}

const reconfigInputs = (t: Target): ReadonlyArray<BadInput> => {
  const { name, version } = t.spec
  const strategy = goodStrategy(t)
  const good = {
    from: t.peer,
    strategyId: strategyId(t.spec, strategy),
    strategy,
    supernet: { name, version },
  }
  const at = Subjects.reconfig(t.device)
  const one = (what: string, change: object, ...tags: ReadonlyArray<ErrorTag>): BadInput => ({
    name: `reconfig: ${what}`,
    subject: at,
    body: pack({ ...good, ...change }),
    expect: request(...tags),
  })
  const elsewhere = localStrategy(t.spec, strategy.submodel, t.peer)
  return [
    ...on(at, "reconfig", request("BadRequest"), noise),
    one("another supernet", { supernet: { name: "other", version } }, "Incompatible"),
    one("another version", { supernet: { name, version: "99" } }, "Incompatible"),
    one("an id that is not the strategy's", { strategyId: "0123456789abcdef" }, "Incompatible"),
    one("an id that is no hash", { strategyId: "../../etc" }, "BadRequest"),
    one("a strategy without this device", { strategy: elsewhere }, "NoStrategy", "Incompatible"),
    ...strategyInputs(t)
      .filter(([what]) => what !== "with an unknown device")
      .map(([what, bad]) =>
        one(`strategy ${what}`, { strategy: bad }, "BadRequest", "NoStrategy", "Incompatible"),
      ),
  ]
}

const probeInputs = (t: Target): ReadonlyArray<BadInput> => {
  const good = { from: t.peer, seq: 1, kind: "ping" }
  return on(Subjects.probe(t.device), "probe", request("BadRequest"), [
    ...noise,
    ["of an unknown kind", pack({ ...good, kind: "flood" })],
    ["that wants a gigabyte back", pack({ ...good, kind: "bulk", echoBytes: 1e9 })],
    ["from nobody", pack({ ...good, from: "" })],
  ])
}

/** A strategy in which the peer sends this device a tile: the stem there, the rest here. */
export const tileStrategy = (t: Target): Strategy => {
  const local = localStrategy(t.spec, maxSubmodel(t.spec, Math.min(...t.spec.resolutions)), t.peer)
  return normalizeStrategy(t.spec, {
    ...local,
    devices: [t.peer, t.device],
    blocks: local.blocks.map((b, i) => ({ ...b, bits: 8, placement: [i < 2 ? 0 : 1] })),
  })
}

const tileInputs = (t: Target): ReadonlyArray<BadInput> => {
  const id = strategyId(t.spec, tileStrategy(t))
  const side = Math.min(...t.spec.resolutions) / 2
  const total = 2 * side * side
  // prettier-ignore
  const wire = (change: ReadonlyArray<readonly [number, unknown]>) => {
    const fields: Array<unknown> = [1, "r-1", 0, id, 1, 2, side, side, 8, 0.5, 3, total, 0, 500, new Uint8Array(total)]
    for (const [at, value] of change) fields[at] = value
    return pack(fields)
  }
  const at = Subjects.tile(t.device, t.peer)
  const bad: Expectation = { kind: "tile", tags: ["BadTile"] }
  const huge = 4096
  return [
    ...on(at, "tile", bad, noise),
    ...on(at, "tile", bad, [
      ["of another layout", wire([[0, 9]])],
      ["with a request id that is a wildcard", wire([[1, "*"]])],
      ["with a negative attempt", wire([[2, -1]])],
      ["with a strategy id that is no hash", wire([[3, "x"]])],
      ["of edge 60 000", wire([[4, 60_000]])],
      ["of edge -1", wire([[4, -1]])],
      ["whose shape is not the edge's", wire([])],
      ["whose shape does not make its size", wire([[5, 7]])],
      [
        "of a gigabyte",
        wire([
          [5, 8192],
          [6, huge],
          [7, huge],
          [11, 8192 * huge * huge],
        ]),
      ],
      ["with a side of 1e9", wire([[6, 1e9]])],
      ["with 7 bits", wire([[8, 7]])],
      ["with scale 0", wire([[9, 0]])],
      ["with scale NaN", wire([[9, Number.NaN]])],
      ["with zero point 300", wire([[10, 300]])],
      ["that claims more bytes than it has room for", wire([[12, 100]])],
      ["with a negative offset", wire([[12, -4]])],
      ["with a budget NaN", wire([[13, Number.NaN]])],
      ["with text for bytes", wire([[14, "bytes"]])],
      ["with one field too many", pack(Array.from({ length: 16 }, () => 1))],
    ]),
    ...on(at, "tile", { kind: "tile", tags: ["UnknownStrategy"] }, [
      ["of an unknown strategy", wire([[3, "00000000deadbeef"]])],
    ]),
    ...on(Subjects.tile(t.device, "Not_an_Id" as DeviceId), "tile", bad, [
      ["of a sender that is no device", wire([])],
    ]),
  ]
}

const notices = (t: Target): ReadonlyArray<BadInput> => {
  const timing = {
    task: 0,
    device: t.peer,
    gatherMs: 0,
    queueMs: 0,
    computeMs: 0,
    packMs: 0,
    bytesIn: 0,
    bytesOut: 0,
  }
  const head = { requestId: "gone", strategyId: "0123456789abcdef", attempt: 0, device: t.peer }
  const logits = { _tag: "Logits", ...head, logits: new Uint8Array(12), timing }
  const result = Subjects.result(t.device, t.peer)
  const swarm = Subjects.swarm(t.peer)
  const notice: Expectation = { kind: "notice" }
  const farewell = { _tag: "Farewell", device: t.peer, nonce: "n", reason: "r", drainMs: Number.NaN }
  const future = { _tag: "Hello", protocol: protocolVersion + 1 }
  return [
    ...on(result, "result", notice, noise.slice(0, 8)),
    ...on(result, "result", notice, [
      ["of a request that is over", pack(logits)],
      ["in the name of another device", pack({ ...logits, device: t.device })],
      ["with a time NaN", pack({ ...logits, timing: { ...timing, computeMs: Number.NaN } })],
      ["of an unknown kind", pack({ ...logits, _tag: "Gossip" })],
    ]),
    ...on(swarm, "swarm", notice, noise.slice(0, 8)),
    ...on(swarm, "swarm", notice, [
      ["a farewell with a time NaN", pack(farewell)],
      ["a hello that says nothing", pack(future)],
    ]),
    ...on(Subjects.link(t.peer), "link", { kind: "unheard" }, noise.slice(0, 4)),
    // A Planner listens to the forecasts of its own device only.
    ...on(Subjects.forecast(t.device), "forecast", notice, noise.slice(0, 4)),
    ...on(Subjects.forecast(t.peer), "forecast of another", { kind: "unheard" }, noise.slice(0, 4)),
  ]
}

/** What makes the device know the strategy of the tiles: without it all of them would be of an unknown one. */
export const tileReconfig = (t: Target): { readonly subject: string; readonly body: Uint8Array } => {
  const strategy = tileStrategy(t)
  const { name, version } = t.spec
  const supernet = { name, version }
  const body = pack({ from: t.peer, strategyId: strategyId(t.spec, strategy), strategy, supernet })
  return { subject: Subjects.reconfig(t.device), body }
}

export const badInputs = (t: Target): ReadonlyArray<BadInput> => [
  ...on(Subjects.inferAt(t.device), "infer", request("BadRequest", "UnknownSlo"), noise),
  ...inferInputs(t),
  ...planInputs(t),
  ...reconfigInputs(t),
  ...probeInputs(t),
  ...tileInputs(t),
  ...notices(t),
]
