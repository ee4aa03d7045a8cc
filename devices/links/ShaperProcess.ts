/** A shaper process and its links, for programs: spawn, open, change, stop. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Result, Schema } from "effect"
import type { Link } from "../latency/Condition.ts"
import { type LinkChange, type ScriptStep, ShaperAnswer, type ShaperCommand } from "./ShaperProtocol.ts"

export class ShaperFailed extends Schema.TaggedError<ShaperFailed>()("ShaperFailed", {
  link: Schema.String,
  reason: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `link ${this.link}: ${this.reason}. ${this.hint}`
  }
}

export type LinkStats = NonNullable<ShaperAnswer["stats"]>

export interface ShapedLink {
  readonly name: string
  /** Where the leaf connects instead of to the hub. */
  readonly port: number
  readonly set: (change: LinkChange) => Promise<void>
  readonly cut: () => Promise<void>
  readonly freeze: () => Promise<void>
  readonly restore: () => Promise<void>
  /** Plays changes at their times; replaces a script that plays. */
  readonly play: (steps: ReadonlyArray<ScriptStep>, repeat?: boolean) => Promise<void>
  readonly stats: () => Promise<LinkStats>
  readonly close: () => Promise<void>
}

export interface OpenLink {
  readonly name: string
  readonly target: { readonly host: string; readonly port: number }
  readonly set?: LinkChange
  readonly port?: number
  readonly spin?: boolean
}

export interface ShaperProcess {
  readonly pid: number
  readonly open: (link: OpenLink) => Promise<ShapedLink>
  /** Ends the process and with it all its links. */
  readonly stop: () => Promise<void>
}

/** A condition's link as a shaper's change. */
export const linkChange = (link: Link, jitterMs = 0): LinkChange => {
  const direction = (mbps: number) => ({
    mbps: mbps === Infinity ? null : mbps,
    delayMs: link.delayMs,
    jitterMs,
  })
  return { up: direction(link.upMbps), down: direction(link.downMbps) }
}

// One request shape per command, without the id that `ask` adds.
type WithoutId<C> = C extends unknown ? Omit<C, "id"> : never

const decodeAnswer = Schema.decodeUnknownResult(Schema.fromJsonString(ShaperAnswer))

/** Starts a shaper process. It ends with this process, at the latest. */
export const startShaper = (): ShaperProcess => {
  const main = join(import.meta.dirname, "shaper-main.ts")
  const child = spawn(process.execPath, [main], { stdio: ["pipe", "pipe", "inherit"] })
  const waiting = new Map<number, { resolve: (a: ShaperAnswer) => void; reject: (e: ShaperFailed) => void }>()
  const failed = (link: string, reason: string) =>
    new ShaperFailed({ link, reason, retryable: false, hint: "See the shaper process's error output." })
  let lastId = 0
  let hasExited = false
  const rejectAll = (reason: string) => {
    for (const w of waiting.values()) w.reject(failed("all", reason))
    waiting.clear()
  }
  createInterface({ input: child.stdout }).on("line", (line) => {
    const decoded = decodeAnswer(line)
    const answer = Result.isSuccess(decoded) ? decoded.success : undefined
    // Nobody knows whose answer it is, and whoever waits for it would wait for ever.
    if (answer?.id === undefined) return rejectAll(`an unreadable answer: ${line.slice(0, 200)}`)
    waiting.get(answer.id)?.resolve(answer)
    waiting.delete(answer.id)
  })
  const exited = new Promise<void>((resolve) => {
    child.once("close", () => {
      hasExited = true
      rejectAll("the shaper process ended")
      resolve()
    })
  })
  child.on("error", () => undefined)
  child.stdin.on("error", () => undefined)

  const ask = async (link: string, command: WithoutId<ShaperCommand>): Promise<ShaperAnswer> => {
    if (hasExited) throw failed(link, "the shaper process has ended")
    const id = ++lastId
    const answer = await new Promise<ShaperAnswer>((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      child.stdin.write(`${JSON.stringify({ id, ...command })}\n`)
    })
    if (!answer.ok) throw failed(link, answer.error ?? "refused")
    return answer
  }

  const open = async ({ name, ...rest }: OpenLink): Promise<ShapedLink> => {
    const { port } = await ask(name, { open: name, ...rest })
    if (port === undefined) throw failed(name, "no port in the answer")
    const tell = async (command: WithoutId<ShaperCommand>) => void (await ask(name, command))
    return {
      name,
      port,
      set: (change) => tell({ link: name, set: change }),
      cut: () => tell({ link: name, do: "cut" }),
      freeze: () => tell({ link: name, do: "freeze" }),
      restore: () => tell({ link: name, do: "restore" }),
      play: (steps, repeat = false) => tell({ link: name, play: steps, repeat }),
      close: () => tell({ link: name, do: "close" }),
      stats: async () => {
        const { stats } = await ask(name, { link: name, stats: true })
        if (stats === undefined) throw failed(name, "no stats in the answer")
        return stats
      },
    }
  }
  const stop = async () => {
    child.stdin.end()
    await exited
  }
  return { pid: child.pid ?? 0, open, stop }
}
