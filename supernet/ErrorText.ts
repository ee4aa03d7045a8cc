/**
 * What went wrong, in words, whatever was thrown. A worker's error arrives as a copy that may be no `Error` any more, and
 * may have no way to become a string: in a handler of "error" that would end the whole process.
 */
import { inspect } from "node:util"

export const errorText = (cause: unknown): string => {
  if (cause instanceof Error) return cause.message
  const message = typeof cause === "object" && cause !== null && "message" in cause ? cause.message : cause
  return typeof message === "string" ? message : inspect(message, { depth: 1, breakLength: Infinity })
}

/** How many names, and at most six of them. */
export const someOf = (names: ReadonlyArray<string>): string =>
  `${names.length} (${names.slice(0, 6).join(", ")}${names.length > 6 ? ", ..." : ""})`
