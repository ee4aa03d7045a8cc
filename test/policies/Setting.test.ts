import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it, vi } from "vitest"
import { settingsOf } from "../../policies/Algorithms.ts"
import { imagenetNumbers } from "../../policies/ImagenetWorldAccuracy.ts"
import { defaultReplay } from "../../policies/ReplayBuffer.ts"
import { loadSetting } from "../../policies/Setting.ts"
import { trainDefaults } from "../../policies/Train.ts"
import { accuracyFit, partitionPenalty } from "../../supernet/imagenet/ImagenetAccuracy.ts"
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

  it("names the numbers behind its accuracies, so that caches of other numbers are not used", () => {
    expect(loadSetting("swarm-imagenet").models).toContain(imagenetNumbers())
    const dearer = { ...partitionPenalty, bits: { ...partitionPenalty.bits, "8": 0.5 } }
    expect(imagenetNumbers(accuracyFit, dearer)).not.toBe(imagenetNumbers())
    const wide = accuracyFit.models["1.2"]
    const models = { ...accuracyFit.models, "1.2": { ...wide, base: wide.base + 0.001 } }
    expect(imagenetNumbers({ models })).not.toBe(imagenetNumbers())
  })
})

describe("the settings of a training", () => {
  it("say every default of SUPREME's replay buffer, beside what was chosen", () => {
    const supreme = { replay: { margin: 0.1 } }
    expect(settingsOf({ ...trainDefaults, supreme })).toMatchObject({
      replay: { ...defaultReplay, margin: 0.1 },
    })
  })
})
