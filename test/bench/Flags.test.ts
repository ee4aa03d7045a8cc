import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import { flagProblem, helpText, parsedFlags } from "../../bench/Flags.ts"

const chaos = { name: "chaos", flags: { rate: "N: requests a second", write: "writes" } }
const problem = (...args: ReadonlyArray<string>) => flagProblem(chaos, parsedFlags(args))

describe("flags of a bench", () => {
  it("are taken with their values, in both forms", () => {
    const { given, strays } = parsedFlags(["--rate", "12", "--seed=3", "--write", "--quick"])
    expect(Object.fromEntries(given)).toEqual({ rate: "12", seed: "3", write: "true", quick: "true" })
    expect(strays).toEqual([])
    expect(problem("--rate", "12", "--seed=3", "--write", "--quick")).toBeUndefined()
  })

  it("are refused where the bench has none of that name, with those that it has", () => {
    expect(problem("--quik")).toBe("chaos has no flag --quik; it has --rate, --write, --quick, --seed")
    expect(problem("--constructor", "1")).toContain("no flag --constructor")
    expect(problem("-q")).toContain("no flag -q")
    expect(problem("soak")).toContain("takes no 'soak'")
    expect(problem("--seed", "one")).toBe("--seed one is not a number")
    expect(problem("--quick", "yes")).toContain("takes no value")
  })

  it("are all in its help, with what it proves and how long it takes", () => {
    const text = helpText({ ...chaos, proves: "nothing is lost", takes: "16 minutes" })
    for (const part of ["nothing is lost", "16 minutes", "--rate", "--quick", "--seed"])
      expect(text).toContain(part)
  })

  it("are declared by each bench that reads some", () => {
    const read = /\b(?:given|arguments)\.get\("([\w-]+)"\)|\bnumber\("([\w-]+)"/g
    const folder = join(projectRoot, "bench")
    for (const file of readdirSync(folder).filter((f) => /^[a-z-]+\.ts$/.test(f) && f !== "main.ts")) {
      const text = readFileSync(join(folder, file), "utf8")
      const declared = text.slice(text.indexOf("export const bench: BenchModule"))
      for (const [, plain, numeric] of text.matchAll(read)) {
        const name = plain ?? numeric ?? ""
        expect(declared, `${file} --${name}`).toMatch(new RegExp(`\\b${name}"?:`))
      }
    }
  })
})
