import { assert, describe, it } from "vitest"
import { Experience } from "../../actors/Experience.ts"

const after = (...ratios: ReadonlyArray<number>): number => {
  const experience = new Experience()
  for (const r of ratios) experience.observe(100, 100 * r)
  return experience.factor()
}

describe("experience", () => {
  it("leaves a little until four answers have come, and nothing while answers are as fast as predicted", () => {
    assert.strictEqual(after(), 1.05)
    assert.strictEqual(after(1.4, 1.4, 1.4), 1.05)
    assert.strictEqual(after(0.8, 0.9, 0.95, 1), 1)
  })

  it("aims lower by the usual excess, in steps of 0.05, whatever a single outlier did", () => {
    assert.closeTo(after(1.1, 1.12, 1.11, 1.13, 9), 1.15, 1e-9)
    assert.closeTo(after(1.05, 1.05, 1.05, 1.05), 1.05, 1e-9)
  })

  it("aims so that most answers are right and in time: all but the rare ones that would cost more than they are worth", () => {
    const late = (count: number, ratio: number) =>
      Array.from({ length: 64 }, (_, i) => (i < count ? ratio : 1))
    assert.closeTo(after(...late(6, 1.3)), 1.3, 1e-9)
    assert.closeTo(after(...late(2, 1.2)), 1.2, 1e-9)
    // One in 64 more in time is not worth a third of the time, which costs 1.8 % of the right answers.
    assert.strictEqual(after(...late(2, 1.45)), 1)
    assert.closeTo(after(...late(3, 1.45)), 1.45, 1e-9)
    assert.strictEqual(after(...late(1, 1.2)), 1)
  })

  it("never plans with more than one and a half times the prediction", () => {
    assert.strictEqual(after(4, 4, 4, 4), 1.5)
  })

  it("does not go back and forth by a single step", () => {
    const experience = new Experience()
    const all = (ratio: number) => {
      for (let i = 0; i < 64; i++) experience.observe(100, 100 * ratio)
      return experience.factor()
    }
    assert.closeTo(all(1.2), 1.2, 1e-9)
    assert.closeTo(all(1.15), 1.2, 1e-9)
    assert.closeTo(all(1.25), 1.25, 1e-9)
    assert.closeTo(all(1.15), 1.15, 1e-9)
  })

  it("forgets what is long ago", () => {
    assert.strictEqual(
      after(...Array.from({ length: 64 }, () => 1.4), ...Array.from({ length: 64 }, () => 1)),
      1,
    )
  })

  it("ignores times that are no times", () => {
    const experience = new Experience()
    for (const bad of [Number.NaN, 0, -1]) for (let i = 0; i < 8; i++) experience.observe(bad, bad)
    assert.strictEqual(experience.factor(), after())
  })
})
