/** `murmuration demo` from its start to its table, short: real processes, a shaped link, every phase of the script. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Command } from "effect/cli"
import sharp from "sharp"
import { demoCommand } from "../../cli/Demo.ts"
import { demoPhases } from "../../cli/DemoScript.ts"
import { image } from "../supernet/Tiny.ts"
import { printed } from "../support/Printed.ts"

/** A folder of pictures whose class its name tells. */
const pictures = Effect.acquireRelease(
  Effect.promise(async () => {
    const root = mkdtempSync(join(tmpdir(), "murmuration-"))
    mkdirSync(join(root, "church"))
    const raw = { width: 96, height: 96, channels: 3 } as const
    const jpeg = await sharp(image(96, 1), { raw }).jpeg().toBuffer()
    writeFileSync(join(root, "church", "one.jpg"), jpeg)
    return root
  }),
  (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true })),
)

describe("murmuration demo", () => {
  it.live(
    "answers in every phase of its script, and ends with its table and who found the strategies",
    () =>
      Effect.gen(function* () {
        const root = yield* pictures
        const args = ["--devices", "2", "--seconds", "2", "--profile", "raspberry-pi-4", "--images", root]
        const text = yield* printed(Command.runWith(demoCommand, { version: "1" })(args))
        assert.include(text, "2 leaf nodes, 1 shaped links and 2 devices")
        assert.include(text, `images of ${root}`)
        const [before = "", table = "", end = ""] = text.split(/\n\n(?=links|Strategies)/)
        const [header = [], ...rows] = table.split("\n").map((line) => line.split(/ {2,}/))
        assert.deepStrictEqual(
          rows.map(([phase]) => phase),
          [...demoPhases.map((p) => p.title), "all"],
        )
        const column = (name: string) => rows.map((row) => row[header.indexOf(name)] ?? "")
        const requests = column("requests").map(Number)
        const all = requests.pop() ?? 0
        assert.strictEqual(
          requests.reduce((a, b) => a + b, 0),
          all,
        )
        for (const latency of column("latency")) assert.match(latency, /^\d+ ms$/)
        for (const share of [...column("SLO met"), ...column("right")]) assert.match(share, /^[\d.]+ %$/)
        // A line for each answer, under the title of its phase.
        for (const { title } of demoPhases) assert.include(before, `\n${title}\n`)
        const lines = before.split("\n").filter((line) => /^ {2}[<>]= /.test(line))
        const errors = Number(column("errors").at(-1))
        assert.strictEqual(lines.length, all - errors)
        assert.match(end, /^Strategies were found by: .+\. [\d.]+ % of the answers waited for a decision\./)
      }).pipe(Effect.provide(NodeServices.layer), Effect.scoped),
    120_000,
  )
})
