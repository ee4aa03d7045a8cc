import { assert, describe, it } from "@effect/vitest"
import { fromHalf } from "../../supernet/Float16.ts"

describe("fromHalf", () => {
  it.each([
    [0x0000, 0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x7bff, 65_504],
    [0x0001, 2 ** -24],
    [0x3555, 0.333251953125],
  ])("decodes %i as %d", (bits, value) => {
    assert.strictEqual(fromHalf(bits), value)
  })
})
