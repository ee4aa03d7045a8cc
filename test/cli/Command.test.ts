/** The command as it is installed: a small program that any folder and any Node can start. */
import { execFileSync, spawnSync } from "node:child_process"
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"

describe("murmuration", () => {
  it("is the executable that the package names, and runs from another folder", () => {
    const { bin, version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as {
      readonly bin: { readonly murmuration: string }
      readonly version: string
    }
    const command = join(projectRoot, bin.murmuration)
    accessSync(command, constants.X_OK)
    const printed = execFileSync(process.execPath, [command, "--version"], {
      cwd: tmpdir(),
      encoding: "utf8",
    })
    expect(printed.trim()).toBe(`murmuration v${version}`)
  })

  it("asks for nats-server only where a command starts one", () => {
    const run = (...args: ReadonlyArray<string>) =>
      spawnSync(process.execPath, [join(projectRoot, "deploy/setup.mjs"), "--run", "cli/main.ts", ...args], {
        cwd: projectRoot,
        // Neither a server nor apt-get, which would install one.
        env: { PATH: "/nowhere", NATS_SERVER: "/nowhere/nats-server" },
        encoding: "utf8",
      })
    expect(run("plan", "--help")).toMatchObject({ status: 0, stderr: "" })
    const demo = run("demo")
    expect(demo.status).toBe(1)
    expect(demo.stderr).toContain("NATS_SERVER")
  })

  it("ends as the program does that it runs: with its code, or with the signal that ended it", () => {
    const directory = mkdtempSync(join(tmpdir(), "murmuration-"))
    const statusOf = (program: string) => {
      const file = join(directory, "program.mjs")
      writeFileSync(file, program)
      return spawnSync(process.execPath, [join(projectRoot, "deploy/setup.mjs"), "--run", file]).status
    }
    expect(statusOf("process.exit(3)")).toBe(3)
    expect(statusOf("process.kill(process.pid, 'SIGKILL')")).toBe(137)
    expect(statusOf("process.kill(process.pid, 'SIGUSR2'); setTimeout(() => {}, 5000)")).toBe(140)
    rmSync(directory, { recursive: true })
  })
})
