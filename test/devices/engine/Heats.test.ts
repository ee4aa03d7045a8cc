import { describe, expect, it } from "vitest"
import { Heats } from "../../../devices/engine/Heats.ts"

describe("heats", () => {
  it("count uses, of which half is left after a half-life of other uses", () => {
    const heats = new Heats(10)
    expect(heats.of("a")).toBe(0)
    heats.warm("a")
    expect(heats.of("a")).toBe(1)
    for (let i = 0; i < 10; i++) heats.warm("b")
    expect(heats.of("a")).toBeCloseTo(0.5, 9)
    heats.warm("a")
    expect(heats.of("a")).toBeCloseTo(2 ** -1.1 + 1, 9)
  })

  it("tend to the share of the uses times a constant, whatever the order", () => {
    const heats = new Heats(100)
    for (let i = 0; i < 3000; i++) heats.warm(i % 4 === 0 ? "quarter" : `rest ${i % 3}`)
    const [quarter, rest] = [heats.of("quarter"), heats.of("rest 1")]
    expect(quarter / rest).toBeCloseTo(1, 1)
    expect(quarter).toBeGreaterThan(30)
    expect(quarter).toBeLessThan(42)
  })

  it("forget the coldest when there are too many", () => {
    const heats = new Heats(1000, 8)
    for (let i = 0; i < 5; i++) heats.warm("often")
    for (let i = 0; i < 100; i++) heats.warm(`once ${i}`)
    expect(heats.of("often")).toBeGreaterThan(4)
    expect(heats.of("once 0")).toBe(0)
    expect(heats.of("once 99")).toBe(1)
  })
})
