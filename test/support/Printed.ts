/** What a program prints: a command of the CLI, run in this process. */
import { Console, Effect } from "effect"

/** Runs it, and gives the lines that it would have shown. */
export const printed = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<string, E, R> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const sink: Console.Console = Object.assign(Object.create(console), {
      log: (...parts: ReadonlyArray<unknown>) => void lines.push(parts.map(String).join(" ")),
    })
    return Effect.map(Effect.provideService(program, Console.Console, sink), () => lines.join("\n"))
  })
