/** What a child process prints, line by line: a line that arrives in two pieces is still one. */
import type { ChildProcess } from "node:child_process"
import { createInterface } from "node:readline"

/** Calls `onLine` for every line of both outputs that is not blank. */
export const eachLine = ({ stdout, stderr }: ChildProcess, onLine: (line: string) => void): void => {
  for (const input of [stdout, stderr]) {
    if (input === null) continue
    createInterface({ input }).on("line", (line) => (line.trim() === "" ? undefined : onLine(line)))
  }
}
