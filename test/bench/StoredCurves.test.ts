import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { codeDigest } from "../../bench/CodeDigest.ts"
import { commitsOf, commitsText, readCurve } from "../../bench/StoredCurves.ts"

let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "curves-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

const write = (name: string, text: string): string => {
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

describe("a digest of code", () => {
  const digest = (main: string, other = 'export const link = "https://a/b"') => {
    write("other.ts", other)
    write("types.ts", "export type A = 1")
    return codeDigest([write("main.ts", main)])
  }
  const main =
    'import type { A } from "./types.ts"\nimport {\n  link,\n} from "./other.ts"\nexport const a = link + 1\n'

  it("is the same whatever is said about the code, and however it is laid out", () => {
    const said = main
      .replace("export", "// one\n/** two\n * three */\nexport")
      .replace("link + 1", "link+1 // four")
    expect(digest(said)).toBe(digest(main))
  })

  it("differs where the code does, or code that it imports; literals are no comments", () => {
    expect(digest(main.replace("+ 1", "+ 2"))).not.toBe(digest(main))
    expect(digest(main, 'export const link = "https://a/c"')).not.toBe(digest(main))
  })

  it("follows no types", () => {
    const before = digest(main)
    write("types.ts", "export type A = 2")
    expect(codeDigest([join(folder, "main.ts")])).toBe(before)
  })
})

describe("a stored curve", () => {
  it("comes back with its commit, and not where the code is another", () => {
    const file = write("curve.json", JSON.stringify({ commit: "abc", code: "same", curve: [] }))
    expect(readCurve(file, "same")).toEqual({ curve: [], commit: "abc" })
    expect(readCurve(file, "other")).toBeUndefined()
    expect(readCurve(join(folder, "none.json"), "same")).toBeUndefined()
  })

  it("that was stored alone is used, and said to be of a commit that nobody knows", () => {
    const old = readCurve(write("old.json", "[]"), "any")
    expect(old).toEqual({ curve: [] })
    const all = [old ?? { curve: [] }, { curve: [], commit: "abc" }, { curve: [], commit: "abc" }]
    expect(commitsOf(all)).toBe("an earlier commit, unknown; abc")
    expect(commitsText(all)).toContain(
      "3 trainings: 1 at an earlier commit, unknown, 2 at abc; unknown ones may",
    )
    expect(commitsText(all.slice(1))).toBe(
      "The curves of 2 trainings: 2 at abc, by the very code of this run.",
    )
  })
})
