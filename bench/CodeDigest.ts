/**
 * A digest of what a program runs: modules and all modules of the project that they import, without comments and white space.
 * What was computed under the same digest was computed by the same code, whatever was written about it since.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { projectRoot } from "./Bench.ts"

/**
 * Literals, so that `//` in one is no comment, and comments. A template in a template is taken for two, which at worst makes code
 * look changed.
 */
const literalsAndComments =
  /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\/[^\n]*|\/\*[\s\S]*?\*\//g

const withoutComments = (source: string): string =>
  source.replace(literalsAndComments, (_, literal: string | undefined) => literal ?? "")

/** Types alone are not followed: they run nothing. */
const imports = /^(?:import|export)\s(?!type\s)(?:[^"']*\sfrom\s)?\s*"(\.[^"]+\.ts)"/gm

const importsOf = (file: string, code: string): ReadonlyArray<string> =>
  [...code.matchAll(imports)].map(([, to = ""]) => join(dirname(file), to))

/** Of these files and what they import. */
export const codeDigest = (entries: ReadonlyArray<string>): string => {
  const codes = new Map<string, string>()
  const waiting = [...entries]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (codes.has(file)) continue
    const code = withoutComments(readFileSync(file, "utf8"))
    codes.set(file, code.replaceAll(/\s+/g, ""))
    waiting.push(...importsOf(file, code))
  }
  const named = [...codes].map(([file, code]) => [relative(projectRoot, file), code] as const)
  const sorted = named.toSorted(([a], [b]) => (a < b ? -1 : 1))
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex").slice(0, 16)
}
