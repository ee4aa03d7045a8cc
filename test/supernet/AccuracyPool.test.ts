import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { AccuracyPool } from "../../supernet/AccuracyPool.ts"
import { writeArtifact } from "../../supernet/Artifact.ts"
import { batchesOf, HeldOutImages, measureTable, tableStrategies } from "../../supernet/Evaluate.ts"
import { Reference } from "../../supernet/Reference.ts"
import { localStrategy } from "../../supernet/Strategy.ts"
import { maxSubmodel } from "../../supernet/Submodel.ts"
import { makeColourImages } from "./ColourImages.ts"
import { livelyWeights, tinySpec } from "./Tiny.ts"

let folder = ""
const weights = livelyWeights(tinySpec, 3)
const strategies = tableStrategies(tinySpec, 9, 5)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "murmuration-pool-"))
  process.env["MURMURATION_CACHE"] = join(folder, "cache")
  await makeColourImages(folder)
  await Effect.runPromise(
    writeArtifact(join(folder, "artifact"), tinySpec, weights, {
      training: "untrained",
      weights: "float32",
    }),
  )
})
afterAll(() => {
  delete process.env["MURMURATION_CACHE"]
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

const poolOf = (limit?: number) =>
  new AccuracyPool(join(folder, "artifact"), new HeldOutImages(folder, limit), 3)

describe("accuracies by several threads", () => {
  it("are those of one thread, cut or not, though the images do not divide evenly", async () => {
    const pool = poolOf(47)
    const reference = new Reference(tinySpec, weights)
    try {
      for (const strategy of strategies) {
        const images = await pool.images.at(strategy.submodel.resolution)
        const right = await reference.rightAnswers(strategy, batchesOf(images))
        expect(await pool.accuracy(strategy)).toBe(right / 47)
      }
    } finally {
      await pool.close()
    }
  })

  it("fill a table in its order, and tell of every row", async () => {
    const pool = poolOf()
    try {
      const told: Array<number> = []
      const table = await measureTable(tinySpec, pool, strategies, 5, (_row, done) => told.push(done))
      expect(table.images).toBe(48)
      expect(table.rows.map((r) => r.submodel)).toEqual(strategies.map((s) => s.submodel))
      expect(told).toEqual(strategies.map((_, i) => i + 1))
      expect(table.rows[2]?.top1).toBe(await pool.accuracy(strategies[2]!))
    } finally {
      await pool.close()
    }
  })

  it("refuse a strategy that the supernet does not have, and go on", async () => {
    const pool = poolOf()
    const good = localStrategy(tinySpec, maxSubmodel(tinySpec), "a")
    try {
      await expect(pool.accuracy({ ...good, blocks: [] })).rejects.toThrow(RangeError)
      expect(await pool.accuracy(good)).toBeGreaterThanOrEqual(0)
    } finally {
      await pool.close()
    }
  })
})
