/**
 * How a device asks for memory (decision 26): by jemalloc where the machine has it (Debian's package `libjemalloc2`), which gives
 * back what requests of many sizes leave in pieces; otherwise by glibc, told to keep what an inference will ask for again.
 */
import { existsSync } from "node:fs"

const triplets: Readonly<Record<string, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" }

const places = [`/usr/lib/${triplets[process.arch] ?? process.arch}`, "/usr/lib64", "/usr/lib"]

/** Path of jemalloc's library; undefined where it is not installed, or on another system than Linux. */
export const jemalloc = (): string | undefined =>
  process.platform === "linux"
    ? places.map((place) => `${place}/libjemalloc.so.2`).find((path) => existsSync(path))
    : undefined

/** For people. */
export const allocatorText = (): string => (jemalloc() === undefined ? "glibc's malloc" : "jemalloc")

/** As in the systemd unit. */
const jemallocSettings = "narenas:1,background_thread:true"

const glibcSettings = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "16777216",
  MALLOC_TRIM_THRESHOLD_: "67108864",
}

/** Whether this process was started with it. */
export const hasMemoryEnvironment = (): boolean =>
  Object.entries(glibcSettings).every(([name, value]) => process.env[name] === value)

/** Environment of a device's process; beside what the user has there. */
export const memoryEnvironment = (
  library: string | undefined = jemalloc(),
  given: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv => ({
  ...glibcSettings,
  ...(library === undefined
    ? {}
    : {
        LD_PRELOAD: [library, given["LD_PRELOAD"] ?? ""].filter((l) => l !== "").join(":"),
        MALLOC_CONF: given["MALLOC_CONF"] ?? jemallocSettings,
      }),
  // Small nurseries, so that half of what V8 holds is not garbage.
  NODE_OPTIONS: `--max-semi-space-size=2 ${given["NODE_OPTIONS"] ?? ""}`.trim(),
})
