/**
 * What a device must survive: messages that no well-meaning program sends, one or more for every field of every subject.
 * `bench badinput` throws them at a real process, the tests at a device in their own.
 */
import type { DeviceId } from "../subjects/DeviceId.ts"
import type { ErrorTag } from "../subjects/ErrorReply.ts"
import { protocolVersion } from "../subjects/SwarmMessages.ts"
import * as Subjects from "../subjects/Subjects.ts"
import { localStrategy, normalizeStrategy, type Strategy, strategyId } from "../supernet/Strategy.ts"
import { maxSubmodel } from "../supernet/Submodel.ts"
import { type BadInput, type Expectation, noise, on, pack, request, type Target } from "./BadMessage.ts"
import { goodStrategy, inferInputs, strategyInputs } from "./BadRequests.ts"

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
    ["that took a year", pack({ ...good, roundTripMs: 3.2e10 })],
    ["from nobody", pack({ ...good, from: "" })],
  ])
}

/** A strategy in which the peer sends this device a tile: the stem there, the rest here. */
const tileStrategy = (t: Target): Strategy => {
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
