/**
 * Builds the kernels with the AssemblyScript compiler and keeps the result in `.cache/`, named after the hash of the source:
 * about 5 seconds once, then nothing. The module imports its memory, so it can work inside tfjs-wasm's heap or its own.
 */
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { createMemoryStream, main as compileAssemblyScript } from "assemblyscript/asc"
import { depthwiseSource } from "./DepthwiseSource.ts"
import { productSource } from "./ProductSource.ts"
import type { Target } from "./Unroll.ts"

const here = dirname(fileURLToPath(import.meta.url))
const cacheFolder = join(here, "..", "..", ".cache")

const handWritten = ["Matrix", "Regions", "BatchNorm"]

// The stub runtime has no data segment and no allocator: nothing of it can land in tfjs's heap.
const baseFlags = "--importMemory --noExportMemory --noAssert -O3 --runtime stub --enable simd --use abort="

const flagsFor = ({ relaxedSimd }: Target): ReadonlyArray<string> =>
  `${baseFlags}${relaxedSimd ? " --enable relaxed-simd" : ""}`.split(" ")

/** `(module (func (param v128 v128 v128) (result v128) local.get 0 1 2 f32x4.relaxed_madd))` */
const relaxedProbe = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32,
  1, 32, 2, 253, 133, 2, 11,
])

/** What this JavaScript engine can run. */
const hostTarget = (): Target => ({ relaxedSimd: WebAssembly.validate(relaxedProbe) })

const kernelSources = (target: Target): ReadonlyMap<string, string> =>
  new Map([
    ...handWritten.map((name): [string, string] => [
      `${name}.ts`,
      readFileSync(join(here, "assembly", `${name}.ts`), "utf8"),
    ]),
    ["Depthwise.ts", depthwiseSource(target)],
    ["Product.ts", productSource(target)],
    [
      "index.ts",
      [...handWritten, "Depthwise", "Product"].map((name) => `export * from "./${name}"`).join("\n"),
    ],
  ])

const compile = async (
  sources: ReadonlyMap<string, string>,
  flags: ReadonlyArray<string>,
): Promise<Uint8Array> => {
  let binary: Uint8Array | undefined
  const stderr = createMemoryStream()
  const { error } = await compileAssemblyScript(["index.ts", "-o", "kernels.wasm", ...flags], {
    readFile: (name) => sources.get(name) ?? null,
    writeFile: (name, contents) => {
      if (name === "kernels.wasm" && typeof contents !== "string") binary = contents
    },
    listFiles: () => [],
    stderr,
  })
  if (binary === undefined)
    throw new Error(`AssemblyScript: ${error?.message ?? "no output"}\n${stderr.toString()}`)
  return binary
}

/** The compiled kernels: from the cache, or built now. */
export const compiledKernels = async (target = hostTarget()): Promise<WebAssembly.Module> => {
  const sources = kernelSources(target)
  const flags = flagsFor(target)
  const hash = createHash("sha256")
    .update(JSON.stringify([...sources, flags]))
    .digest("hex")
    .slice(0, 16)
  const file = join(cacheFolder, `kernels-${hash}.wasm`)
  try {
    return await WebAssembly.compile(readFileSync(file))
  } catch {
    const binary = await compile(sources, flags)
    mkdirSync(cacheFolder, { recursive: true })
    // Written aside and renamed: another process may be building the same file.
    const partial = `${file}.${process.pid}`
    writeFileSync(partial, binary)
    renameSync(partial, file)
    return await WebAssembly.compile(binary)
  }
}
