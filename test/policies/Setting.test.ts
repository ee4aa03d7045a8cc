import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it, vi } from "vitest"
import { loadSetting } from "../../policies/Setting.ts"
import { tinySpec } from "../supernet/Tiny.ts"

describe("a scenario's setting", () => {
  afterEach(() => vi.unstubAllEnvs())

  it("is about the supernet that MURMURATION_SUPERNET names, where it names one", () => {
    const directory = mkdtempSync(join(tmpdir(), "murmuration-setting-"))
    writeFileSync(join(directory, "spec.json"), JSON.stringify(tinySpec))
    vi.stubEnv("MURMURATION_SUPERNET", directory)
    expect(loadSetting("swarm").world.space.spec).toEqual(tinySpec)
    expect(loadSetting("swarm-imagenet").world.space.spec.widthMultiplier).toBe(1.2)
    rmSync(directory, { recursive: true })
  })

  it("fails where the named one is not there, instead of training for another", () => {
    vi.stubEnv("MURMURATION_SUPERNET", "nowhere")
    expect(() => loadSetting("swarm")).toThrow("nowhere has no spec.json")
  })
})
