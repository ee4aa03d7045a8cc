/**
 * A process of its own for shaped links, so that nobody's event loop stalls them. Commands on stdin, answers on stdout
 * (`ShaperProtocol.ts`); ends when stdin does. One process serves all links of a swarm in a box.
 *
 *   {"open":"pi-1","target":{"host":"127.0.0.1","port":7422},"set":{"up":{"mbps":50,"delayMs":10},"down":{"mbps":50,"delayMs":10}}}
 *   {"link":"pi-1","set":{"up":{"mbps":5}}}
 *   {"link":"pi-1","do":"cut"}
 */
import { createInterface } from "node:readline"
import { Result, Schema } from "effect"
import { type DirectionSettings, unlimited } from "./Direction.ts"
import { LinkShaper } from "./Shaper.ts"
import {
  type DirectionChange,
  type LinkChange,
  type ScriptStep,
  type ShaperAnswer,
  ShaperCommand,
} from "./ShaperProtocol.ts"

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(ShaperCommand))

interface Entry {
  readonly shaper: LinkShaper
  /** Steps of the script that plays. */
  timers: Array<NodeJS.Timeout>
}

const links = new Map<string, Entry>()

const settingsOf = (change: DirectionChange | undefined): Partial<DirectionSettings> => {
  if (change === undefined) return {}
  const { mbps, ...rest } = change
  return mbps === undefined ? rest : { ...rest, mbps: mbps ?? Infinity }
}

const apply = (shaper: LinkShaper, change: LinkChange) =>
  shaper.set({ up: settingsOf(change.up), down: settingsOf(change.down) })

const act = (shaper: LinkShaper, action: "cut" | "freeze" | "restore") => {
  if (action === "cut") shaper.cut()
  else if (action === "freeze") shaper.freeze()
  else shaper.restore()
}

const stopScript = (entry: Entry) => {
  for (const timer of entry.timers) clearTimeout(timer)
  entry.timers = []
}

/** Plays a script from its start; with `repeat`, again after its last step. */
const play = (entry: Entry, steps: ReadonlyArray<ScriptStep>, repeat: boolean) => {
  stopScript(entry)
  const lastMs = Math.max(0, ...steps.map((s) => s.atMs))
  entry.timers = steps.map((step) =>
    setTimeout(() => {
      if (step.set !== undefined) apply(entry.shaper, step.set)
      if (step.do !== undefined) act(entry.shaper, step.do)
    }, step.atMs),
  )
  // A script of no length would repeat without a pause.
  if (repeat) entry.timers.push(setTimeout(() => play(entry, steps, true), Math.max(100, lastMs)))
}

const open = async (command: Extract<ShaperCommand, { open: string }>): Promise<ShaperAnswer> => {
  if (links.has(command.open)) return { ok: false, error: `link ${command.open} is open already` }
  const shaper = new LinkShaper({
    target: command.target,
    port: command.port ?? 0,
    spin: command.spin ?? false,
    settings: {
      up: { ...unlimited, ...settingsOf(command.set?.up) },
      down: { ...unlimited, ...settingsOf(command.set?.down) },
    },
  })
  const port = await shaper.listen()
  links.set(command.open, { shaper, timers: [] })
  return { ok: true, port }
}

const obey = async (command: ShaperCommand): Promise<ShaperAnswer> => {
  if ("open" in command) return open(command)
  const entry = links.get(command.link)
  if (entry === undefined) return { ok: false, error: `no link ${command.link}` }
  if ("set" in command) apply(entry.shaper, command.set)
  else if ("play" in command) play(entry, command.play, command.repeat ?? false)
  else if ("stats" in command) {
    const { user, system } = process.cpuUsage()
    return { ok: true, stats: { ...entry.shaper.stats(), cpuMs: (user + system) / 1000 } }
  } else if (command.do === "close") {
    stopScript(entry)
    links.delete(command.link)
    await entry.shaper.close()
  } else act(entry.shaper, command.do)
  return { ok: true }
}

const answer = (value: ShaperAnswer) => process.stdout.write(`${JSON.stringify(value)}\n`)

/** Of a command that is none, so that whoever waits for its answer hears of it. */
const idOf = (line: string): { readonly id?: number } => {
  const id = Number(/"id":(\d+)/.exec(line)?.[1])
  return Number.isInteger(id) ? { id } : {}
}

const onLine = async (line: string) => {
  const decoded = decode(line)
  if (Result.isFailure(decoded)) {
    answer({ ...idOf(line), ok: false, error: decoded.failure.message })
    return
  }
  const id = decoded.success.id === undefined ? {} : { id: decoded.success.id }
  try {
    answer({ ...id, ...(await obey(decoded.success)) })
  } catch (error) {
    answer({ ...id, ok: false, error: error instanceof Error ? error.message : String(error) })
  }
}

const input = createInterface({ input: process.stdin })
input.on("line", (line) => void onLine(line))
input.on("close", () => process.exit(0))
// Whoever stops the process group also stops the owner of our stdin; until it is gone the link must hold.
process.on("SIGINT", () => undefined)
