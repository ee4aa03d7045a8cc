/** Measuring, fitting and refining, as commands: what each leaves in the artifact. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import { readArtifact, writeArtifact } from "../../supernet/Artifact.ts"
import type { AccuracyTable } from "../../supernet/Evaluate.ts"
import { makeColourImages } from "../supernet/ColourImages.ts"
import { livelyWeights, tinySpec } from "../supernet/Tiny.ts"

const folder = mkdtempSync(join(tmpdir(), "murmuration-table-"))
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

const artifact = join(folder, "artifact")
const spec = { ...tinySpec, name: "colours", classes: ["blue", "red"], trained: true }

const supernet = async (command: string, ...args: ReadonlyArray<string>) => {
  const given = ["supernet", command, "--artifact", artifact, ...args]
  const env = { ...process.env, MURMURATION_CACHE: join(folder, "cache") }
  const { stdout } = await promisify(execFile)(process.execPath, ["cli/main.ts", ...given], {
    cwd: projectRoot,
    env,
  })
  return stdout
}

const tableNow = (): AccuracyTable =>
  JSON.parse(readFileSync(join(artifact, "accuracy-table.json"), "utf8")) as AccuracyTable

describe("murmuration supernet table, fit, refine", () => {
  it("measures, fits, and adds what searches choose", { timeout: 180_000 }, async () => {
    await makeColourImages(folder)
    const written = { training: "a test", weights: "float32" as const }
    await Effect.runPromise(writeArtifact(artifact, spec, livelyWeights(spec, 3), written))
    expect(await supernet("table", "--data", folder, "--strategies", "20")).toContain("supernet fit")
    expect(await supernet("fit")).toContain("supernet refine")
    const before = tableNow()
    expect(before.rows).toHaveLength(20)
    expect(await supernet("refine", "--data", folder, "--strategies", "1")).toMatch(
      /Of \d strategies that searches chose by it, the predictor was off by \d+\.\d\d points/,
    )
    const { rows } = tableNow()
    expect(rows.slice(0, 20)).toEqual(before.rows)
    const chosen = rows.slice(20)
    expect(chosen.length).toBeGreaterThan(0)
    expect(chosen.every((r) => r.chosen === true && r.top1 >= 0 && r.top1 <= 1)).toBe(true)
    // The new predictor is whole, and of this supernet.
    await Effect.runPromise(readArtifact(artifact))
    const predictor = JSON.parse(readFileSync(join(artifact, "accuracy-predictor.json"), "utf8")) as {
      readonly supernet: string
    }
    expect(predictor.supernet).toBe("colours 1")
  })
})
