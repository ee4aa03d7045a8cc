import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "vitest"
import { compileKernels, kernelSources } from "../../policies/kernels/Kernels.ts"

const folder = join(import.meta.dirname, "..", "..", "policies", "kernels")

// Where this fails the sources were changed: put the new file from `.cache` in the place of the old one.
it(
  "the policy's kernels that are shipped are what their sources compile to",
  { timeout: 60_000 },
  async () => {
    const { sources, name } = kernelSources()
    expect(readdirSync(folder).filter((file) => file.endsWith(".wasm"))).toEqual([name])
    const binary = await compileKernels(sources)
    expect(Buffer.compare(readFileSync(join(folder, name)), binary)).toBe(0)
  },
)
