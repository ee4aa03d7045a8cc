/** What `murmuration profile` prints and writes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { Command } from "effect/cli"
import { comparison, profileCommand } from "../../cli/Profile.ts"
import { dilated } from "../../devices/profiles/DeviceProfile.ts"
import { decodeProfile } from "../../devices/profiles/ProfileSchema.ts"
import { shippedProfile, shippedProfileNames } from "../../devices/profiles/Shipped.ts"
import { writeArtifact } from "../../supernet/Artifact.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { randomWeights } from "../../supernet/Weights.ts"
import { printed } from "../support/Printed.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const spec = ofaMobileNetV3({ name: "half", version: "1", widthMultiplier: 0.5, classes: ["a", "b"] })

/** Name, and ms of the smallest and the largest submodel, of each line below the header. */
const rowsOf = (text: string) =>
  text
    .split("\n")
    .slice(1)
    .map((line) => {
      const [name = "", smallest = "", largest = ""] = line.split(/ {2,}/)
      return { name, smallestMs: Number.parseFloat(smallest), largestMs: Number.parseFloat(largest) }
    })

describe("the comparison of a profile", () => {
  it("has the profile first, then all shipped ones, each faster with the smallest submodel than with the largest", () => {
    const pi = shippedProfile("raspberry-pi-4")
    const rows = rowsOf(comparison({ ...dilated(pi, 2), name: "mine" }, spec))
    assert.deepStrictEqual(
      rows.map((r) => r.name),
      ["mine", ...shippedProfileNames],
    )
    for (const { smallestMs, largestMs } of rows) {
      assert.isAbove(smallestMs, 0)
      assert.isAbove(largestMs, smallestMs)
    }
    const [mine, same] = [rows[0], rows.find((r) => r.name === pi.name)]
    assert(mine !== undefined && same !== undefined)
    assert.closeTo(mine.largestMs / same.largestMs, 2, 0.01)
  })
})

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true })),
)

describe("murmuration profile", () => {
  it.live("measures, says how well that fits, compares, and writes a file that reads back", () =>
    Effect.gen(function* () {
      const here = yield* directory
      const [artifact, out] = [join(here, "tiny"), join(here, "mine.json")]
      const how = { training: "untrained", weights: "float32" } as const
      yield* writeArtifact(artifact, tinySpec, randomWeights(tinySpec, 1), how)
      const args = ["--quick", "--name", "mine", "--supernet", artifact, "--out", out]
      const text = yield* printed(Command.runWith(profileCommand, { version: "1" })(args))
      const profile = Result.getOrThrow(decodeProfile(JSON.parse(readFileSync(out, "utf8"))))
      assert.match(profile.name, /^mine-[0-9a-f]{8}$/)
      assert.include(text, `${profile.name}: ${profile.title}`)
      assert.match(text, /fit: median error \d+\.\d % over single blocks and segments/)
      assert.include(text, comparison(profile, tinySpec))
      assert.include(text, `wrote ${out}; use it with: `)
      assert.match(text, /up --profile \S*mine\.json/)
      assert.notInclude(text, "published")
    }).pipe(Effect.provide(NodeServices.layer), Effect.scoped),
  )
})
