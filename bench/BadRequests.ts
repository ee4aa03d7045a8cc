/** Requests of clients that are wrong in one field: the SLO, the picture, the deadline, a strategy. */
import type { ErrorTag } from "../subjects/ErrorReply.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { localStrategy, type Strategy } from "../supernet/Strategy.ts"
import { maxSubmodel } from "../supernet/Submodel.ts"
import { type BadInput, pack, request, type Target, text } from "./BadMessage.ts"

/** Wrong in one field; everything else of the request is right. */
export const inferInputs = (t: Target): ReadonlyArray<BadInput> => {
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
export const goodStrategy = (t: Target): Strategy => localStrategy(t.spec, maxSubmodel(t.spec), t.device)

/** Strategies that this device must not run, by what is wrong with them. */
export const strategyInputs = (t: Target): ReadonlyArray<readonly [string, unknown]> => {
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
