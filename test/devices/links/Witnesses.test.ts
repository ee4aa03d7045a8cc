import { assert, describe, it } from "@effect/vitest"
import { noWitness } from "../../../devices/links/Probing.ts"
import { Witnesses } from "../../../devices/links/Witnesses.ts"

const said = (reporter: string, peer: string, mbps: number, ageMs = 0) => ({ reporter, peer, mbps, ageMs })

describe("witnesses", () => {
  it("vouch for a peer's link with their newest measurement, whoever made it", () => {
    const w = new Witnesses()
    assert.deepEqual(w.of("c"), noWitness)
    w.heard(said("a", "c", 50, 400), 10_000)
    w.heard(said("b", "c", 20, 100), 10_000)
    assert.strictEqual(w.of("c").measuredMs, 9900)
    assert.strictEqual(w.of("c").movedMs, Number.NEGATIVE_INFINITY)
  })

  it("see a change where a reporter's own number moves, not where two reporters differ", () => {
    const w = new Witnesses()
    w.heard(said("a", "c", 50), 1000)
    w.heard(said("b", "c", 20), 2000)
    w.heard(said("a", "c", 45), 3000)
    assert.strictEqual(w.of("c").movedMs, Number.NEGATIVE_INFINITY)
    w.heard(said("a", "c", 10, 50), 4000)
    assert.strictEqual(w.of("c").movedMs, 3950)
  })

  it("are forgotten with their device, and so is what was said about it", () => {
    const w = new Witnesses()
    w.heard(said("a", "c", 50), 1000)
    w.heard(said("b", "c", 50), 2000)
    w.heard(said("a", "b", 50), 3000)
    w.forget("b")
    assert.strictEqual(w.of("c").measuredMs, 1000)
    assert.deepEqual(w.of("b"), noWitness)
  })
})
