import { describe, expect, it } from "vitest"
import { asTyped, nextCommand } from "../../cli/Next.ts"

const throughNpm = { npm_lifecycle_event: "murmuration" }

describe("a command that is advised", () => {
  it("can be typed as the program was started", () => {
    expect(nextCommand("supernet eval", {}, throughNpm)).toBe("npm run murmuration -- supernet eval")
    expect(nextCommand("supernet eval", {}, {})).toBe("murmuration supernet eval")
    expect(asTyped("see 'murmuration doctor'", throughNpm)).toBe("see 'npm run murmuration -- doctor'")
  })

  it("keeps the flags that have a value, quoted where a shell would take them apart", () => {
    const flags = { data: "my birds", credentials: "", run: undefined, out: ".train/birds" }
    expect(nextCommand("supernet export", flags, {})).toBe(
      "murmuration supernet export --data 'my birds' --out .train/birds",
    )
  })

  it("leaves alone what is no command", () => {
    for (const text of ["murmuration 0.1.0", "systemctl status murmuration", "npm run murmuration -- up"]) {
      expect(asTyped(text, throughNpm)).toBe(text)
    }
  })
})
