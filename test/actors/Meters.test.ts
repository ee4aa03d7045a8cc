import { assert, describe, it } from "vitest"
import { silenceJudge } from "../../actors/Meters.ts"

describe("the silence of others", () => {
  it("is not judged just after a pause of this process", () => {
    const mayJudge = silenceJudge(250)
    assert.deepStrictEqual([10, 5000, 300, 20].map(mayJudge), [true, false, false, true])
  })

  it("is judged now and then by a process that is always late", () => {
    const mayJudge = silenceJudge(250)
    const judged = Array.from({ length: 10 }, () => mayJudge(400))
    assert.strictEqual(judged.filter((j) => j).length, 2)
    assert.deepStrictEqual(judged.slice(0, 5), [false, false, false, false, true])
  })
})
