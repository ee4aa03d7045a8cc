/** Finds and reads the trace folders described in the data set's README; empty when they are not there. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseJellyfish, parseLumos, parseLumos5g, parseUplink, type Trace } from "./Traces.ts"

const files = (folder: string): ReadonlyArray<string> =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((f) => f.isFile())
        .map((f) => join(f.parentPath, f.name).slice(folder.length + 1))
        .sort()
    : []

const each = <A>(root: string, folder: string, read: (name: string, text: string) => A): ReadonlyArray<A> =>
  files(join(root, folder)).map((name) => read(name, readFileSync(join(root, folder, name), "utf8")))

/** All traces below `root`, the folder that holds `lumos-wifi-4g`, `lumos5g`, `uplink-5g-lte` and `jellyfish`. */
export const readTraces = (root: string): ReadonlyArray<Trace> => [
  ...each(root, "lumos-wifi-4g", parseLumos),
  ...each(root, "lumos5g", parseLumos5g),
  ...each(root, "uplink-5g-lte", parseUplink).flat(),
  // One of the three is synthetic.
  ...each(root, "jellyfish", parseJellyfish).filter((t) => !t.name.includes("synthetic")),
]
