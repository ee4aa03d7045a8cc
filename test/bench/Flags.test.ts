import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import * as Flags from "../../bench/Flags.ts"
import { flagProblem, helpText, parsedFlags } from "../../bench/Flags.ts"

const chaos = {
  name: "chaos",
  flags: { rate: Flags.positive("N: requests a second"), write: Flags.toggle("writes") },
}
const problem = (...args: ReadonlyArray<string>) => flagProblem(chaos, parsedFlags(args))

const benchFiles = () => {
  const folder = join(projectRoot, "bench")
  const files = readdirSync(folder).filter((f) => /^[a-z-]+\.ts$/.test(f) && f !== "main.ts")
  return files.map((file) => ({ file, text: readFileSync(join(folder, file), "utf8") }))
}

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
  })

  it("are refused with a value that they do not take, naming those that they do", () => {
    expect(problem("--seed", "one")).toBe("--seed must be a whole number, and got 'one'")
    expect(problem("--quick", "yes")).toBe("--quick must be without a value, and got 'yes'")
    for (const bad of ["fast", "0", "-1", "NaN", "Infinity", ""])
      expect(problem(`--rate=${bad}`)).toBe(`--rate must be a number above 0, and got '${bad}'`)
    expect(problem("--rate", "--write")).toContain("--rate must be a number above 0")
    expect(problem("--rate", "0.5")).toBeUndefined()
  })

  it("have no seed where a bench has no random choices", () => {
    const engine = { name: "engine", unseeded: true } as const
    expect(flagProblem(engine, parsedFlags(["--seed", "2"]))).toBe(
      "engine has no flag --seed; it has --quick",
    )
    expect(flagProblem(engine, parsedFlags(["--quick"]))).toBeUndefined()
    expect(helpText({ ...engine, proves: "", takes: "" })).not.toContain("--seed")
  })

  it("are all in its help, with what it proves and how long it takes", () => {
    const text = helpText({ ...chaos, proves: "nothing is lost", takes: "16 minutes" })
    for (const part of ["nothing is lost", "16 minutes", "--rate", "--quick", "--seed"])
      expect(text).toContain(part)
  })

  it("are declared by each bench that reads some", () => {
    const read = /\b(?:given|arguments)\.get\("([\w-]+)"\)|\bnumber\("([\w-]+)"/g
    for (const { file, text } of benchFiles()) {
      const declared = text.slice(text.indexOf("export const bench: BenchModule"))
      for (const [, plain, numeric] of text.matchAll(read)) {
        const name = plain ?? numeric ?? ""
        expect(declared, `${file} --${name}`).toMatch(new RegExp(`\\b${name}"?:`))
      }
    }
  })

  it("have a seed in exactly the benches that use it", () => {
    const uses = /\{[^{}]*\bseed\b[^{}]*\}: BenchOptions|(?<![.\w])(?:options|o)\.seed\b|await compare\(/
    const wrong = benchFiles().filter(({ text }) => text.includes("unseeded: true") === uses.test(text))
    expect(wrong.map(({ file }) => file)).toEqual([])
  })
})

describe("flags of trainings", () => {
  const training = { name: "supreme", flags: Flags.trainingFlags }
  const refused = (...args: ReadonlyArray<string>) => flagProblem(training, parsedFlags(args))

  it("take known kinds and scenarios, one or more, and counts", () => {
    const all = [
      "--slo",
      "latency,accuracy",
      "--scenarios",
      "swarm,my.json",
      "--seeds",
      "2",
      "--workers",
      "2",
    ]
    expect(refused(...all)).toBeUndefined()
    expect(refused("--slo", "latancy")).toContain("one or more of latency, accuracy")
    expect(refused("--slo", "latency,")).toContain("--slo must be")
    expect(refused("--scenarios", "swarm,swarn")).toContain("augmented-imagenet, swarm-imagenet")
    for (const bad of ["0", "1.5", "many"])
      expect(refused("--seeds", bad)).toContain("a whole number from 1 on")
  })
})
