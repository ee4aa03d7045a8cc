import { assert, describe, it } from "@effect/vitest"
import { isBusy, prices } from "../../actors/Congestion.ts"
import { Ledger } from "../../actors/Ledger.ts"
import type { Condition, Slo } from "../../policies/Condition.ts"
import { localStrategy } from "../../supernet/Strategy.ts"
import { chooseBusy, type Choose, conditionAt, portfolioOf, runSwarm, spec, wholeOn } from "./BusySwarm.ts"

const ids = ["a", "b", "c", "d", "e"]
const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN

describe("the books", () => {
  it("add up what is promised, cross off what is done, and are empty when everything is closed", () => {
    const books = new Ledger()
    const items = [
      { task: 0, account: "a", ms: 10 },
      { task: 1, account: "b", ms: 20 },
      { task: 2, account: "a", ms: 5 },
    ]
    books.book("r1", items)
    books.book("r2", items)
    books.book("r2", items)
    assert.deepStrictEqual([books.ms("a"), books.ms("b"), books.ms("c")], [30, 40, 0])
    books.done("r1", 0)
    books.done("r1", 0)
    books.done("unknown", 0)
    assert.deepStrictEqual([books.ms("a"), books.ms("b")], [20, 40])
    books.close("r1")
    books.close("r2")
    assert.strictEqual(books.all().size, 0)
  })
})

describe("the price of work", () => {
  it("is nothing on idle devices and grows with the square of the requests that wait", () => {
    const busy = conditionAt(ids, (id) => (id === "b" ? 60 : id === "c" ? 120 : id === "d" ? 6000 : 1))
    assert.deepStrictEqual(prices(busy, 60), [0, 1, 4, 20, 0])
    assert.isTrue(isBusy(busy))
    assert.isFalse(isBusy(conditionAt(ids, () => 1)))
  })
})

describe("a swarm that is asked for more than one thing at a time", () => {
  const accuracySlo: Slo = { kind: "accuracy", accuracy: 0.6 }
  const latencySlo: Slo = { kind: "latency", latencyMs: 60 }
  const planned =
    (known: ReturnType<typeof portfolioOf>, slo: Slo): Choose =>
    (now, typicalMs) =>
      isBusy(now) ? (chooseBusy(known.known, now, slo, typicalMs)?.strategy ?? known.split) : known.split
  /** The same network, whole, on each device in turn: what a swarm without splits can do at best. */
  const inTurn = (known: ReturnType<typeof portfolioOf>): Choose => {
    let next = 0
    return () => wholeOn(known.split.submodel, ids, next++ % ids.length)
  }

  it("answers a lone request as fast as the best strategy for an idle swarm", () => {
    const known = portfolioOf(ids, accuracySlo)
    const alone = runSwarm(ids, 1, 1000, planned(known, accuracySlo))
    const best = runSwarm(ids, 1, 1000, () => known.split)
    assert.approximately(median(alone.latenciesMs), median(best.latenciesMs), 1e-9)
  })

  it("answers as many as whole networks on all devices would, though all clients ask one device", () => {
    const known = portfolioOf(ids, accuracySlo)
    for (const inFlight of [5, 16]) {
      const busy = runSwarm(ids, inFlight, 1000, planned(known, accuracySlo))
      const whole = runSwarm(ids, inFlight, 1000, inTurn(known))
      assert.isAtLeast(busy.perSecond, 0.97 * whole.perSecond, `${inFlight} in flight`)
    }
  })

  it("answers as many as each device alone would, where clients ask all devices", () => {
    const knownTo = new Map(
      ids.map((id) => [id, portfolioOf([id, ...ids.filter((other) => other !== id)], accuracySlo)]),
    )
    const local = (now: Condition) => now.devices[0]?.id ?? ""
    const knownAt = (now: Condition) => knownTo.get(local(now)) ?? portfolioOf(ids, accuracySlo)
    const choose: Choose = (now, typicalMs) => planned(knownAt(now), accuracySlo)(now, typicalMs)
    const alone: Choose = (now) => localStrategy(spec, knownAt(now).split.submodel, local(now))
    for (const inFlight of [8, 16]) {
      const busy = runSwarm(ids, inFlight, 4000, choose, ids)
      const each = runSwarm(ids, inFlight, 4000, alone, ids)
      assert.isAtLeast(busy.perSecond, 0.97 * each.perSecond, `${inFlight} in flight`)
    }
  })

  it("keeps a latency objective with many in flight, by smaller networks, where one split for all would miss it", () => {
    const known = portfolioOf(ids, latencySlo)
    const busy = runSwarm(ids, 16, 1500, planned(known, latencySlo))
    const kept = busy.latenciesMs.filter((ms) => ms <= 60).length / busy.latenciesMs.length
    const split = runSwarm(ids, 16, 1500, () => known.split)
    assert.isAtLeast(kept, 0.95)
    assert.isAbove(median(split.latenciesMs), 2 * 60)
    assert.isAbove(busy.perSecond, 2 * split.perSecond)
  })
})
