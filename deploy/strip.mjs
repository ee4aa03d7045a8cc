// Keeps our TypeScript as the JavaScript that Node makes of it:
//   node --import ./deploy/strip.mjs PROGRAM.ts    in this process and its threads
//   node deploy/strip.mjs                          ahead of time, of all the project's files, as an install does
// Node loads a compiler of its own into every thread that imports a .ts file: 8 MB each, and half a second on a device's start
// here. With what is kept it is never loaded. One file for each source, which ends with a digest of what it was made from and
// by: after a change it is made again. Where nothing can be written, all works as without. What is kept is run by whoever starts a
// program here, root among them: an install keeps the folder root's (deploy/install.sh).
import { createHash } from "node:crypto"
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { registerHooks, stripTypeScriptTypes } from "node:module"
import { dirname, join, relative, sep } from "node:path"
import { fileURLToPath } from "node:url"
import { threadId } from "node:worker_threads"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const kept = join(root, ".cache", "stripped")

const read = (path) => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

/** Whole or not at all: other processes and threads read and write the same files. */
function keep(path, text) {
  const unfinished = `${path}.${process.pid}-${threadId}`
  try {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(unfinished, text)
    renameSync(unfinished, path)
  } catch {
    try {
      rmSync(unfinished, { force: true })
    } catch {
      // There is nothing that could be taken away.
    }
  }
}

function stripped(path) {
  const source = readFileSync(path, "utf8")
  const mark = `\n// ${createHash("sha256").update(process.version).update(source).digest("hex")}\n`
  const target = join(kept, `${relative(root, path)}.js`)
  const known = read(target)
  if (known.endsWith(mark)) return known
  const made = stripTypeScriptTypes(source) + mark
  keep(target, made)
  return made
}

const isOurs = (path) =>
  path.endsWith(".ts") && path.startsWith(root + sep) && !path.includes(`${sep}node_modules${sep}`)

function load(url, context, next) {
  const path = url.startsWith("file:") ? fileURLToPath(url) : ""
  if (!isOurs(path)) return next(url, context)
  return { format: "module", source: stripped(path), shortCircuit: true }
}

/** Some of the files are not for Node: the kernels are AssemblyScript. */
function stripAhead(path) {
  try {
    stripped(path)
  } catch (error) {
    if (error.code !== "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX") throw error
  }
}

if (process.argv[1]?.endsWith(join("deploy", "strip.mjs"))) {
  const folders = ["actors", "bench", "cli", "deploy", "devices", "policies", "subjects", "supernet"]
  for (const folder of folders) for (const file of globSync(join(root, folder, "**/*.ts"))) stripAhead(file)
} else registerHooks({ load })
