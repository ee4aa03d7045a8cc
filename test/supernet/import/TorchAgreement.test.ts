import { assert, describe, it } from "@effect/vitest"
import { compareWithTorch } from "../../../bench/import.ts"

describe("an imported checkpoint in ONNX Runtime", () => {
  it.each(["legacy", "zip"] as const)(
    "computes PyTorch's logits to 1e-4 for eight submodels of every kernel, expand and depth (%s form)",
    async (form) => {
      const rows = await compareWithTorch(form)
      assert.strictEqual(rows.length, 8)
      for (const row of rows) {
        assert.isBelow(Number(row["maxAbsDiff"]), 1e-4, JSON.stringify(row))
        // Otherwise small differences would prove nothing.
        assert.isAbove(Number(row["largestLogit"]), 0.5)
      }
    },
  )
})
