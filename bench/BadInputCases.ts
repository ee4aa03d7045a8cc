/**
 * What nobody should send, and what each sender must be told. Each case is bytes for one subject and the tags that are
 * right answers; `[]` marks input that looks strange but is fine, and must be answered.
 */
import { deflateRawSync, crc32 } from "node:zlib"
import { Encoder } from "cbor-x"
import sharp from "sharp"
import { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { encodeTileChunk, type TileChunk } from "../subjects/TileCodec.ts"

export interface BadCase {
  readonly group:
    | "bytes"
    | "image"
    | "slo"
    | "fields"
    | "strategy"
    | "deadline"
    | "tile"
    | "reconfig"
    | "probe"
  readonly name: string
  readonly subject: string
  readonly bytes: Uint8Array
  /** Tags of a right refusal; empty: it must be answered. */
  readonly expect: ReadonlyArray<string>
}

const cbor = new Encoder({ useRecords: false, tagUint8Array: false })
const text = (value: string) => new TextEncoder().encode(value)
const slo = { latencyMs: 5000 }

/** A valid little JPEG. */
export const goodImage = (): Promise<Buffer> =>
  sharp({ create: { width: 240, height: 200, channels: 3, background: { r: 200, g: 90, b: 30 } } })
    .jpeg()
    .toBuffer()

/** A PNG of a few hundred bytes whose header claims 10000 x 10000 pixels. */
const pngBomb = (): Uint8Array => {
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type), data])
    const head = Buffer.alloc(4)
    head.writeUInt32BE(data.length)
    const tail = Buffer.alloc(4)
    tail.writeUInt32BE(crc32(body))
    return Buffer.concat([head, body, tail])
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(10_000, 0)
  header.writeUInt32BE(10_000, 4)
  header.set([8, 2, 0, 0, 0], 8)
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10])
  const pixels = deflateRawSync(Buffer.alloc(1000))
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", pixels),
    chunk("IEND", Buffer.alloc(0)),
  ])
}

const byteCases = (subject: string): ReadonlyArray<Omit<BadCase, "group">> => {
  const bad = ["BadRequest"]
  const cases: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["nothing", new Uint8Array()],
    ["a zero byte", new Uint8Array(1)],
    ["noise", Uint8Array.from({ length: 300 }, (_, i) => (i * 197 + 13) % 256)],
    ["plain text", text("hello")],
    ["cut CBOR", cbor.encode({ image: new Uint8Array(99), slo }).subarray(0, 40)],
    ["CBOR of another shape", cbor.encode([1, 2, 3])],
    ["CBOR with an absurd length", new Uint8Array([0x9b, 255, 255, 255, 255, 255, 255, 255, 255])],
    ["100,000 nested arrays", new Uint8Array(100_000).fill(0x81)],
    ["cut JSON", text('{"slo":')],
    ["JSON that is not UTF-8", new Uint8Array([0x7b, 0xff, 0xfe, 0x7d])],
    ["JSON after __proto__", text('{"__proto__":{"image":"aGk="}}')],
  ]
  return cases.map(([name, bytes]) => ({ name, subject, bytes, expect: bad }))
}

const requestCases = (device: DeviceId, good: Uint8Array): ReadonlyArray<BadCase> => {
  const subject = Subjects.inferAt(device)
  const of =
    (group: BadCase["group"], expect: ReadonlyArray<string>) =>
    (name: string, body: unknown): BadCase => ({
      group,
      name,
      subject,
      bytes: cbor.encode(body),
      expect,
    })
  const sloCase = of("slo", ["UnknownSlo"])
  const field = of("fields", ["BadRequest"])
  const plan = of("strategy", ["NoStrategy", "BadRequest"])
  const image = good
  const submodel = { resolution: 96, depths: [2, 2, 2, 2, 2], kernels: [], expands: [] }
  return [
    sloCase("none", { image }),
    sloCase("empty", { image, slo: {} }),
    sloCase("both", { image, slo: { latencyMs: 100, accuracy: 0.5 } }),
    sloCase("another kind", { image, slo: { energyJ: 3 } }),
    sloCase("negative latency", { image, slo: { latencyMs: -5 } }),
    sloCase("zero latency", { image, slo: { latencyMs: 0 } }),
    sloCase("infinite latency", { image, slo: { latencyMs: Infinity } }),
    sloCase("NaN accuracy", { image, slo: { accuracy: NaN } }),
    sloCase("accuracy in percent", { image, slo: { accuracy: 85 } }),
    sloCase("text", { image, slo: "fast" }),
    sloCase("latency as text", { image, slo: { latencyMs: "140" } }),
    field("neither image nor tensor", { slo }),
    field("image and tensor", { image, tensor: { width: 1, height: 1, data: new Uint8Array(3) }, slo }),
    field("tensor too short", { tensor: { width: 9, height: 9, data: new Uint8Array(3) }, slo }),
    field("tensor without width", { tensor: { height: 9, data: new Uint8Array(3) }, slo }),
    field("tensor of negative size", { tensor: { width: -1, height: -3, data: new Uint8Array(9) }, slo }),
    field("topK zero", { image, slo, topK: 0 }),
    field("topK as text", { image, slo, topK: "5" }),
    field("an id with a wildcard", { image, slo, id: "a>b *" }),
    field("an id of 1000 letters", { image, slo, id: "a".repeat(1000) }),
    field("something unknown to include", { image, slo, include: ["weights"] }),
    field("a negative deadline", { image, slo, deadlineMs: -1 }),
    plan("of no shape", { image, slo, strategy: 7 }),
    plan("of another supernet", { image, slo, strategy: { submodel, devices: [device], blocks: [] } }),
    plan("with a wildcard device", { image, slo, strategy: { submodel, devices: ["*"], blocks: [] } }),
    of("deadline", ["DeadlineExpired"])("0.1 ms", { image, slo, deadlineMs: 0.1 }),
  ]
}

const imageCases = async (device: DeviceId, good: Buffer): Promise<ReadonlyArray<BadCase>> => {
  const subject = Subjects.inferAt(device)
  const bad = ["BadImage"]
  const png = await sharp(good).png().toBuffer()
  const webp = await sharp(good).webp().toBuffer()
  const tiny = await sharp(good).resize(1, 1).png().toBuffer()
  const grey = await sharp(good).greyscale().toColourspace("b-w").jpeg().toBuffer()
  const alpha = await sharp(good).ensureAlpha(0.5).webp().toBuffer()
  const cases: ReadonlyArray<readonly [string, Uint8Array | number | string, ReadonlyArray<string>]> = [
    ["a JPEG cut in half", good.subarray(0, good.length / 2), bad],
    ["the first 20 bytes of a JPEG", good.subarray(0, 20), bad],
    ["a PNG cut in half", png.subarray(0, png.length / 2), bad],
    ["a WebP cut in half", webp.subarray(0, webp.length / 2), bad],
    ["100 megapixels in a kilobyte", pngBomb(), ["ImageTooLarge"]],
    ["noise", Uint8Array.from({ length: 5000 }, (_, i) => (i * 31) % 256), bad],
    ["an SVG with a script", text('<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'), bad],
    ["a PDF", text("%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"), bad],
    ["a number", 3, ["BadImage", "BadRequest"]],
    ["text", "cat.jpg", ["BadImage", "BadRequest"]],
    ["one pixel", tiny, []],
    ["grey", grey, []],
    ["half transparent", alpha, []],
  ]
  return cases.map(([name, image, expect]) => ({
    group: "image",
    name,
    subject,
    bytes: cbor.encode({ image, slo }),
    expect,
  }))
}

const tileCases = (device: DeviceId): ReadonlyArray<BadCase> => {
  const subject = Subjects.tile(device, DeviceId.make("pi-2"))
  const good: TileChunk = {
    requestId: RequestId.make("badinput"),
    attempt: 0,
    strategyId: "0123456789abcdef",
    edge: 0,
    shape: [4, 8, 8],
    bits: 8,
    scale: 0.5,
    zeroPoint: 0,
    budgetMs: 1000,
    total: 256,
    offset: 0,
    bytes: new Uint8Array(256),
  }
  const of = (name: string, change: Readonly<Record<string, unknown>>, expect = ["BadTile"]): BadCase => ({
    group: "tile",
    name,
    subject,
    bytes: encodeTileChunk({ ...good, ...change }),
    expect,
  })
  return [
    of("an unknown strategy", {}, ["UnknownStrategy"]),
    of("a lying shape", { shape: [4, 8, 9] }),
    of("a lying total", { total: 255 }),
    of("bytes beyond the region", { offset: 8 }),
    of("a gigantic map", { shape: [8192, 4096, 4096], total: 8192 * 4096 * 4096 }),
    of("7 bits", { bits: 7 }),
    of("an infinite scale", { scale: Infinity }),
    of("bytes that are text", { bytes: "abc" }),
    ...byteCases(subject).map((c) => ({
      ...c,
      group: "tile" as const,
      name: `bytes: ${c.name}`,
      expect: ["BadTile"],
    })),
  ]
}

/** All cases against one device. */
export const badCases = async (device: DeviceId): Promise<ReadonlyArray<BadCase>> => {
  const good = await goodImage()
  const grouped = (group: BadCase["group"], subject: string) =>
    byteCases(subject).map((c) => ({ ...c, group, name: `bytes: ${c.name}` }))
  const unknownSlo = (c: BadCase) => ({ ...c, expect: [...c.expect, "UnknownSlo"] })
  const other = { name: "another", version: "9" }
  const reconfig = {
    from: "pi-2",
    strategyId: "0123456789abcdef",
    strategy: {
      submodel: { resolution: 96, depths: [], kernels: [], expands: [] },
      devices: ["pi-2"],
      blocks: [],
    },
    supernet: other,
  }
  return [
    ...byteCases(Subjects.infer).map((c) => unknownSlo({ ...c, group: "bytes" })),
    ...(await imageCases(device, good)),
    ...requestCases(device, good),
    ...tileCases(device),
    ...grouped("reconfig", Subjects.reconfig(device)),
    {
      group: "reconfig",
      name: "another supernet",
      subject: Subjects.reconfig(device),
      bytes: cbor.encode(reconfig),
      expect: ["Incompatible"],
    },
    ...grouped("probe", Subjects.probe(device)),
    {
      group: "probe",
      name: "asks for a gigabyte back",
      subject: Subjects.probe(device),
      bytes: cbor.encode({ from: "pi-2", seq: 0, kind: "bulk", echoBytes: 1e9 }),
      expect: ["BadRequest"],
    },
  ]
}

/** Garbage for subjects that nobody answers: it must be counted. */
export const oneWayGarbage = (device: DeviceId): ReadonlyArray<Omit<BadCase, "group">> =>
  [Subjects.result(device, DeviceId.make("pi-2")), Subjects.swarm(DeviceId.make("pi-2"))].flatMap(byteCases)
