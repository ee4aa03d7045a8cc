import { spawn } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "vitest"
import { eachLine } from "../../deploy/Lines.ts"

it("gives a line that was written in pieces as one, and no blank ones", async () => {
  const program = `
    process.stdout.write("pi-1 is ")
    setTimeout(() => process.stdout.write("up\\n\\nand "), 30)
    setTimeout(() => process.stdout.write("running"), 60)`
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "pipe"] })
  const lines: Array<string> = []
  eachLine(child, (line) => void lines.push(line))
  await once(child, "close")
  expect(lines).toEqual(["pi-1 is up", "and running"])
})
