import { assert, describe, it } from "@effect/vitest"
import { barChart, besides, heatGrid, svgDocument, xyChart } from "../../bench/Charts.ts"
import { scale } from "../../bench/Svg.ts"

const count = (svg: string, part: string) => svg.split(part).length - 1

describe("scale", () => {
  it("widens a linear axis to round numbers and maps its ends to the given pixels", () => {
    const s = scale([3, 97], 0, 100)
    assert.deepStrictEqual([s.at(0), s.at(100)], [0, 100])
    assert.deepStrictEqual(
      s.ticks.map((t) => t.label),
      ["0", "20", "40", "60", "80", "100"],
    )
  })

  it("places powers of ten evenly on a logarithmic axis", () => {
    const s = scale([1, 10_000], 0, 400, { log: true })
    assert.deepStrictEqual([1, 10, 100, 1000, 10_000].map(s.at), [0, 100, 200, 300, 400])
  })

  it("stays finite for constant and for empty data", () => {
    assert.isTrue(Number.isFinite(scale([5], 0, 10).at(5)))
    assert.isTrue(Number.isFinite(scale([], 0, 10).at(0.5)))
  })
})

describe("charts", () => {
  const labels = { title: "A < B & C", x: "time, s", y: "rate, Mbit/s" }

  it("draws a line, its band and a dot per point, with titles escaped", () => {
    const points = [0, 1, 2].map((x) => ({ x, y: x * x, low: x, high: x * x + 1 }))
    const svg = svgDocument(xyChart(labels, [{ name: "a", points, style: "both" }]))
    assert.strictEqual(count(svg, "<circle"), 3)
    assert.strictEqual(count(svg, "<polygon"), 1)
    assert.include(svg, "A &lt; B &amp; C")
    assert.notInclude(svg, "NaN")
  })

  it("leaves out bars without a value and cells where nothing complied", () => {
    const bars = barChart(labels, ["x", "y"], [{ name: "a", values: [1, null] }]).body
    assert.strictEqual(count(bars, "<rect"), 1)
    const grid = heatGrid(labels, ["1", "2"], ["1"], [[0.5, null]]).body
    assert.strictEqual(count(grid, 'fill="#ffffff"'), 2)
  })

  it("puts figures side by side", () => {
    const one = heatGrid(labels, ["1"], ["1"], [[0.5]])
    const both = besides([one, one, one], 2)
    assert.isAbove(both.width, 2 * one.width)
    assert.isAbove(both.height, 2 * one.height)
  })
})
