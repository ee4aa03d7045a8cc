import { describe, expect, it } from "vitest"
import { canonicalize, decodeGenome, devicesUsed, localGenome } from "../../policies/Genome.ts"
import { mutate } from "../../policies/Moves.ts"
import { seededRandom } from "../../supernet/Random.ts"
import { strategyProblems } from "../../supernet/Strategy.ts"
import { sampleSubmodel } from "../../supernet/Submodel.ts"
import { tinySpace, tinySpec } from "./TinyWorld.ts"

const ids = ["a", "b", "c", "d", "e"]

describe("moves", () => {
  it("always give a valid canonical strategy over the usable devices alone", () => {
    const random = seededRandom(5)
    const usable = [0, 2, 3]
    const problems: Array<string> = []
    let genome = localGenome(tinySpace, sampleSubmodel(tinySpec, random))
    for (let n = 0; n < 3000; n++) {
      const next = mutate(tinySpace, genome, usable, random)
      expect(canonicalize(tinySpace, next.slice())).toEqual(next)
      expect(devicesUsed(tinySpace, next) & 0b10010).toBe(0)
      if (n % 20 === 0) problems.push(...strategyProblems(tinySpec, decodeGenome(tinySpace, next, ids)))
      genome = n % 50 === 0 ? localGenome(tinySpace, sampleSubmodel(tinySpec, random)) : next
    }
    expect(problems).toEqual([])
  })

  it("leave the parent as it was", () => {
    const random = seededRandom(6)
    const genome = localGenome(tinySpace, sampleSubmodel(tinySpec, random))
    const copy = genome.slice()
    for (let n = 0; n < 100; n++) mutate(tinySpace, genome, [0, 1, 2], random, 3)
    expect(genome).toEqual(copy)
  })
})
