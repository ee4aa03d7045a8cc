import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { jemalloc, memoryEnvironment } from "../../deploy/Allocator.ts"

const unit = readFileSync(new URL("../../deploy/systemd/murmuration.service", import.meta.url), "utf8")

describe("how a device asks for memory", () => {
  it("is the same in the systemd unit and in a swarm in a box", () => {
    const settings = memoryEnvironment("libjemalloc.so.2", {})
    for (const [name, value] of Object.entries(settings)) expect(unit).toContain(`${name}=${value}`)
  })

  it("leaves what the user preloads and sets where it is", () => {
    const given = { LD_PRELOAD: "/lib/other.so", MALLOC_CONF: "narenas:4", NODE_OPTIONS: "--trace-gc" }
    expect(memoryEnvironment("/lib/j.so", given)).toMatchObject({
      LD_PRELOAD: "/lib/j.so:/lib/other.so",
      MALLOC_CONF: "narenas:4",
      NODE_OPTIONS: "--max-semi-space-size=2 --trace-gc",
    })
  })

  it.runIf(jemalloc() !== undefined)("loads jemalloc where it is installed", () => {
    const program = "process.stdout.write(require('node:fs').readFileSync('/proc/self/maps', 'utf8'))"
    const env = { ...process.env, ...memoryEnvironment() }
    expect(spawnSync(process.execPath, ["-e", program], { env, encoding: "utf8" }).stdout).toContain(
      "jemalloc",
    )
  })
})
