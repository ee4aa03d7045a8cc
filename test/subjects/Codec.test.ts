import { Encoder } from "cbor-x"
import { Result } from "effect"
import { assert, describe, it } from "vitest"
import * as Codecs from "../../subjects/Codecs.ts"
import { type BadMessage, formatOf } from "../../subjects/Codec.ts"
import { DeviceId, RequestId } from "../../subjects/DeviceId.ts"
import { seededRandom } from "../../supernet/Random.ts"

const failure = <A, E>(result: Result.Result<A, E>): E => {
  if (Result.isSuccess(result)) return assert.fail("decoded although it should not")
  return result.failure
}
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const request = {
  image: new Uint8Array([255, 216, 255, 0, 1]),
  slo: { latencyMs: 140 },
  topK: 5,
  include: [],
} as const

describe("infer request", () => {
  it.each(["cbor", "json"] as const)("round-trips as %s, image bytes included", (format) => {
    const bytes = Codecs.inferRequest.encode(request, format)
    assert.strictEqual(formatOf(bytes), format)
    const back = Result.getOrThrow(Codecs.inferRequest.decode("infer.request", bytes))
    assert.deepStrictEqual([...(back.image ?? [])], [...request.image])
    assert.deepStrictEqual(back.slo, request.slo)
  })

  it("has defaults, so that the shortest useful JSON request works", () => {
    const bytes = json({ image: Buffer.from(request.image).toString("base64"), slo: { accuracy: 0.8 } })
    const back = Result.getOrThrow(Codecs.inferRequest.decode("infer.request", bytes))
    assert.strictEqual(back.topK, 5)
    assert.deepStrictEqual(back.include, [])
    assert.deepStrictEqual([...(back.image ?? [])], [...request.image])
  })

  it.each([
    ["both SLOs", { image: "aGk=", slo: { latencyMs: 1, accuracy: 0.5 } }, "slo"],
    ["no SLO kind", { image: "aGk=", slo: {} }, "slo"],
    ["an unknown SLO kind", { image: "aGk=", slo: { energy: 3 } }, "slo"],
    ["an accuracy in percent", { image: "aGk=", slo: { accuracy: 85 } }, "slo"],
    ["a negative latency", { image: "aGk=", slo: { latencyMs: -1 } }, "slo"],
    ["a latency as text", { image: "aGk=", slo: { latencyMs: "140" } }, "slo"],
    ["no SLO", { image: "aGk=" }, "slo"],
    ["an image that is not base64", { image: "???", slo: { latencyMs: 1 } }, "image"],
    ["an id with a space", { id: "a b", image: "aGk=", slo: { latencyMs: 1 } }, "id"],
    ["a fractional topK", { image: "aGk=", topK: 1.5, slo: { latencyMs: 1 } }, "topK"],
    [
      "a tensor of the wrong size",
      { tensor: { width: 2, height: 2, data: "aGk=" }, slo: { latencyMs: 1 } },
      "tensor",
    ],
    ["neither image nor tensor", { slo: { latencyMs: 1 } }, undefined],
    [
      "a strategy with a wildcard device",
      {
        image: "aGk=",
        slo: { latencyMs: 1 },
        strategy: {
          submodel: { resolution: 96, depths: [], kernels: [], expands: [] },
          devices: ["*"],
          blocks: [],
        },
      },
      "strategy",
    ],
  ])("refuses %s and names the field", (_, body, field) => {
    const error = failure(Codecs.inferRequest.decode("infer.request", json(body)))
    assert.strictEqual(error._tag, "BadMessage")
    assert.strictEqual(error.path[0], field)
    assert.isNotEmpty(error.detail)
  })

  it.each(["cbor", "json"] as const)(
    "wrong in many places is told the first, and costs no more (%s)",
    (format) => {
      const include = Array.from({ length: 200_000 }, () => 0)
      const body = { image: format === "json" ? "aGk=" : new Uint8Array([1]), slo: { latencyMs: 1 }, include }
      const bytes =
        format === "json" ? json(body) : new Encoder({ useRecords: false, tagUint8Array: false }).encode(body)
      const error = failure(Codecs.inferRequest.decode("infer.request", bytes))
      assert.deepStrictEqual(error.path, ["include", "0"])
      assert.strictEqual(error.detail.split("at [").length, 2)
    },
  )
})

describe("every codec", () => {
  it("answers random bytes with BadMessage and never throws", () => {
    const random = seededRandom(7)
    for (let i = 0; i < 300; i++) {
      const bytes = Uint8Array.from({ length: Math.floor(random.next() * 200) }, () => random.next() * 256)
      for (const [name, codec] of Object.entries(Codecs)) {
        assert.strictEqual(failure<unknown, BadMessage>(codec.decode(name, bytes))._tag, "BadMessage")
      }
    }
  })

  it("answers truncated and flipped messages with a value or BadMessage and never throws", () => {
    const random = seededRandom(8)
    const good = Codecs.inferRequest.encode(request)
    const others = Array.from({ length: 1000 }, () => {
      const bytes = good.slice(0, 1 + Math.floor(random.next() * good.length))
      bytes[Math.floor(random.next() * bytes.length)] = random.next() * 256
      const result = Codecs.inferRequest.decode("infer.request", bytes)
      return Result.isFailure(result) && result.failure._tag !== "BadMessage"
    })
    assert.isFalse(others.includes(true))
  })
})

describe("probes", () => {
  it.each([-1, 1e300, Number.MAX_VALUE])("do not tell of %d ms", (ms) => {
    const from = DeviceId.make("pi-1")
    const ping = json({ from, seq: 1, kind: "ping", roundTripMs: ms })
    const pong = json({ device: from, seq: 1, processingMs: ms })
    assert.strictEqual(failure(Codecs.probeRequest.decode("probe", ping)).path[0], "roundTripMs")
    assert.strictEqual(failure(Codecs.probeReply.decode("probe", pong)).path[0], "processingMs")
  })
})

describe("results", () => {
  it("carry logits as bytes through CBOR", () => {
    const bytes = Codecs.resultMessage.encode({
      _tag: "Logits",
      requestId: RequestId.make("r1"),
      strategyId: "0123456789abcdef",
      attempt: 0,
      device: DeviceId.make("pi-1"),
      logits: new Uint8Array([1, 2, 3, 4]),
      timing: {
        task: 0,
        device: DeviceId.make("pi-1"),
        gatherMs: 0,
        queueMs: 0,
        computeMs: 1.5,
        packMs: 0,
        bytesIn: 1,
        bytesOut: 4,
      },
    })
    const back = Result.getOrThrow(Codecs.resultMessage.decode("result", bytes))
    assert.deepStrictEqual(back._tag === "Logits" ? [...back.logits] : [], [1, 2, 3, 4])
  })
})
