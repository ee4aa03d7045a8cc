/** The command as a process: what a person sees who stops a training. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import sharp from "sharp"
import { afterAll, describe, expect, it, vi } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import { readState } from "../../supernet/train/Checkpoint.ts"

const folder = mkdtempSync(join(tmpdir(), "murmuration-train-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** A data folder of plain colours: enough to take steps on. */
const makeImages = async () => {
  for (const part of ["train", "val"]) {
    for (const [name, background] of [
      ["n01", "#a33"],
      ["n02", "#3a3"],
    ] as const) {
      const to = join(folder, "data", part, name)
      mkdirSync(to, { recursive: true })
      for (let i = 0; i < 50; i++)
        await sharp({ create: { width: 32, height: 32, channels: 3, background } })
          .png()
          .toFile(join(to, `${i}.png`))
    }
  }
}

describe("murmuration supernet train", () => {
  it("writes its checkpoint when it is told to stop, and exits 0", { timeout: 120_000 }, async () => {
    await makeImages()
    const [data, run] = [join(folder, "data"), join(folder, "run")]
    const recipe = JSON.stringify({ batch: 4, largestResolutionWeights: { 96: 1 } })
    const args = ["supernet", "train", "--data", data, "--out", run, "--width", "0.25", "--recipe", recipe]
    const env = { ...process.env, MURMURATION_CACHE: join(folder, "cache") }
    const child = spawn(process.execPath, ["cli/main.ts", ...args], {
      cwd: projectRoot,
      stdio: "ignore",
      env,
    })
    const exited = once(child, "exit")
    const started = () => existsSync(join(run, "log.jsonl")) || child.exitCode !== null
    await vi.waitUntil(started, { timeout: 60_000, interval: 20 })
    child.kill("SIGTERM")
    expect(await exited).toEqual([0, null])
    expect(readState(join(run, "state.bin")).step).toBeGreaterThan(0)
  })
})
