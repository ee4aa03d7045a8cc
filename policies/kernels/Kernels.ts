/**
 * The dense kernels that train the policy network and decode it, as functions over one WebAssembly memory, and that memory's
 * allocator. Pointers are bytes, sizes are elements. `assembly/` says what each computes. What they compile to lies beside this file,
 * so that a device compiles nothing; while the sources are being changed, AssemblyScript builds them anew (about 3 s) into
 * `.cache/`. None checks its arguments: the callers (`PolicyNetwork.ts`, `ConstraintEncoder.ts`, `PolicyParameters.ts`) pass only
 * what they allocated.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

/** The part of the WebAssembly API used here: the type library for servers leaves it out. */
interface WasmMemory {
  readonly buffer: ArrayBuffer
  readonly grow: (pages: number) => number
}
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number }) => WasmMemory
  readonly compile: (bytes: Uint8Array) => Promise<object>
  readonly instantiate: (
    module: object,
    imports: { env: { memory: WasmMemory } },
  ) => Promise<{ readonly exports: unknown }>
}

export type Pointer = number

/** Table or rows to read, indices [rows, perRow], rows or table to add to. */
type RowsOf = (
  from: Pointer,
  indices: Pointer,
  perRow: number,
  to: Pointer,
  rows: number,
  columns: number,
) => void

export interface Kernels {
  readonly product: (
    x: Pointer,
    w: Pointer,
    y: Pointer,
    rows: number,
    inner: number,
    columns: number,
    scratch: Pointer,
    accumulate: 0 | 1,
  ) => void
  readonly pack: (w: Pointer, packed: Pointer, inner: number, columns: number) => void
  readonly packedProduct: (
    x: Pointer,
    packed: Pointer,
    y: Pointer,
    rows: number,
    inner: number,
    columns: number,
    accumulate: 0 | 1,
  ) => void
  readonly transposedProduct: (
    a: Pointer,
    b: Pointer,
    out: Pointer,
    rows: number,
    inner: number,
    columns: number,
    scratch: Pointer,
  ) => void
  readonly transpose: (from: Pointer, to: Pointer, rows: number, columns: number) => void
  readonly cellForward: (
    gates: Pointer,
    before: Pointer,
    cell: Pointer,
    squashed: Pointer,
    hidden: Pointer,
    rows: number,
    size: number,
  ) => void
  readonly cellBackward: (
    gates: Pointer,
    before: Pointer,
    squashed: Pointer,
    dHidden: Pointer,
    dCell: Pointer,
    rows: number,
    size: number,
  ) => void
  readonly gatherRows: RowsOf
  readonly scatterRows: RowsOf
  /** to += from */
  readonly accumulate: (from: Pointer, to: Pointer, count: number) => void
  readonly rectify: (x: Pointer, count: number) => void
  readonly rectifyBackward: (x: Pointer, d: Pointer, count: number) => void
  readonly sumOfSquares: (x: Pointer, count: number) => number
  readonly adam: (
    w: Pointer,
    g: Pointer,
    m: Pointer,
    v: Pointer,
    count: number,
    rate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    scale: number,
  ) => void
}

const here = dirname(fileURLToPath(import.meta.url))
const cacheFolder = join(here, "..", "..", ".cache")
const files = ["Products", "Lstm", "Rows"]
const flags =
  "--importMemory --noExportMemory --noAssert -O3 --runtime stub --enable simd,relaxed-simd --use abort="

/** What is used of the compiler. */
interface Compiler {
  readonly main: (
    options: ReadonlyArray<string>,
    host: {
      readonly readFile: (name: string) => string | null
      readonly writeFile: (name: string, contents: string | Uint8Array) => void
      readonly listFiles: () => ReadonlyArray<string>
    },
  ) => Promise<{ readonly error: Error | null }>
}

type Sources = ReadonlyMap<string, string>

/** The kernels' sources, and the name of the file that they are built into: with their hash. */
export const kernelSources = (): { readonly sources: Sources; readonly name: string } => {
  const sources = new Map(
    files.map((n) => [`${n}.ts`, readFileSync(join(here, "assembly", `${n}.ts`), "utf8")]),
  )
  sources.set("index.ts", files.map((n) => `export * from "./${n}"`).join("\n"))
  const hash = createHash("sha256")
    .update(JSON.stringify([...sources, flags]))
    .digest("hex")
  return { sources, name: `policy-kernels-${hash.slice(0, 16)}.wasm` }
}

export const compileKernels = async (sources: Sources): Promise<Uint8Array> => {
  // A name that the type checker does not follow: the compiler's declarations would take the place of Node's `console`.
  const compiler: string = "assemblyscript/asc"
  const { default: asc } = (await import(compiler)) as { readonly default: Compiler }
  let binary: Uint8Array | undefined
  const { error } = await asc.main(["index.ts", "-o", "policy.wasm", ...flags.split(" ")], {
    readFile: (name) => sources.get(name) ?? null,
    writeFile: (name, contents) => {
      if (name === "policy.wasm" && typeof contents !== "string") binary = contents
    },
    listFiles: () => [],
  })
  if (binary === undefined) throw new Error(`AssemblyScript: ${error?.message ?? "no output"}`)
  return binary
}

const compiled = async (): Promise<Uint8Array> => {
  const { sources, name } = kernelSources()
  const known = [here, cacheFolder].map((folder) => join(folder, name)).find((file) => existsSync(file))
  if (known !== undefined) return readFileSync(known)
  const binary = await compileKernels(sources)
  mkdirSync(cacheFolder, { recursive: true })
  // Written aside and renamed: another process may be building the same file.
  const file = join(cacheFolder, name)
  const partial = `${file}.${process.pid}`
  writeFileSync(partial, binary)
  renameSync(partial, file)
  return binary
}

const pageBytes = 65_536

export interface Memory {
  readonly kernels: Kernels
  /** Zeroed, 16-byte aligned. Gotcha: growing detaches views taken before; take them anew with `view`. */
  readonly allocate: (floats: number) => Pointer
  readonly view: (at: Pointer, floats: number) => Float32Array
  /** The same memory as int32. */
  readonly integers: (at: Pointer, count: number) => Int32Array
}

/** Kernels over a memory of their own (up to 4 GB). */
export const loadKernels = async (): Promise<Memory> => {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65_536 })
  const module = await WebAssembly.compile(await compiled())
  const instance = await WebAssembly.instantiate(module, { env: { memory } })
  let top = 64
  return {
    kernels: instance.exports as Kernels,
    allocate: (floats) => {
      const at = top
      top += Math.ceil(floats / 4) * 16 + 16
      const short = top - memory.buffer.byteLength
      if (short > 0) memory.grow(Math.ceil(short / pageBytes))
      return at
    },
    view: (at, floats) => new Float32Array(memory.buffer, at, floats),
    integers: (at, count) => new Int32Array(memory.buffer, at, count),
  }
}
