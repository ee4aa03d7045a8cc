/** What `murmuration swarm` shows of a swarm that runs, and of none. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { swarmCommand } from "../../cli/SwarmView.ts"
import { bareServer } from "../../deploy/LocalServer.ts"
import { users } from "../../deploy/Swarm.ts"
import { ask, sharedDevices, tensorOf, type TestSwarm } from "../support/Devices.ts"
import { printed } from "../support/Printed.ts"
import { tinySpec } from "../supernet/Tiny.ts"

const inSwarm = sharedDevices(2)

const shown = (...args: ReadonlyArray<string>) =>
  printed(Command.runWith(swarmCommand, { version: "1" })(args)).pipe(Effect.provide(NodeServices.layer))

/** A credentials file as 'deploy init' writes it for the operator. */
const operatorFile = ({ servers }: TestSwarm) =>
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "murmuration-"))),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
  ).pipe(
    Effect.map((directory) => {
      const path = join(directory, "operator.json")
      const { operatorPassword: password } = servers.swarm().hub
      const credentials = { servers: servers.hub.url, user: users.operator, password }
      writeFileSync(path, JSON.stringify(credentials), { mode: 0o600 })
      return path
    }),
  )

/** Cells of each line of a table. */
const cells = (text: string) => text.split("\n").map((line) => line.split(/ {2,}/))

interface Shown {
  readonly devices: ReadonlyArray<{
    readonly identity: { readonly device: string }
    readonly state: string
    readonly heardMs: number
  }>
  readonly links: ReadonlyArray<{ readonly device: string; readonly links: ReadonlyArray<object> }>
}

describe("murmuration swarm", () => {
  it.live("shows every device with its state, its load and what it runs, and the paths between them", () =>
    inSwarm((swarm) =>
      Effect.gen(function* () {
        const file = yield* operatorFile(swarm)
        yield* ask(swarm.clients[0], { tensor: tensorOf(64, 1) })
        // Links are reported from time to time: it looks again until it has heard of both.
        let text = ""
        for (let n = 0; n < 10 && !(text.includes("pi-1 -> pi-2") && text.includes("pi-2 -> pi-1")); n++)
          text = yield* shown("--credentials", file)
        const [members = "", paths = ""] = text.split("\n\n")
        const [header = [], first = [], second = []] = cells(members)
        assert.deepStrictEqual([first[0], second[0]], ["pi-1", "pi-2"])
        for (const row of [first, second]) {
          const value = (name: string) => row[header.indexOf(name)] ?? ""
          assert.strictEqual(value("state"), "present")
          assert.match(value("heard"), /^\d\.\d s$/)
          assert.strictEqual(value("profile"), "raspberry-pi-4")
          assert.strictEqual(value("supernet"), `${tinySpec.name} ${tinySpec.version} untrained`)
          assert.strictEqual(value("policy"), "search")
          assert.match(value("memory"), /^\d+ MB$/)
        }
        const counts = header.indexOf("ok/refused/replans")
        assert.deepStrictEqual([first[counts], second[counts]], ["1/0/0", "0/0/0"])
        const [titles, ...links] = cells(paths)
        assert.deepStrictEqual(titles, ["path", "delay", "bandwidth", "confidence", "age", "source"])
        for (const [, delay, bandwidth, confidence] of links) {
          assert.match(delay ?? "", /^\d+\.\d ms$/)
          assert.match(bandwidth ?? "", /^\d+\.\d Mbps$/)
          assert.match(confidence ?? "", /^\d+ %$/)
        }
      }),
    ),
  )

  it.live("gives the same as JSON", () =>
    inSwarm((swarm) =>
      Effect.gen(function* () {
        const text = yield* shown("--json", "--credentials", yield* operatorFile(swarm))
        const { devices, links } = JSON.parse(text) as Shown
        assert.sameMembers(
          devices.map((d) => `${d.identity.device} ${d.state}`),
          ["pi-1 present", "pi-2 present"],
        )
        for (const { heardMs } of devices) assert.isBelow(Math.abs(heardMs), 60_000)
        for (const report of links) assert.include(["pi-1", "pi-2"], report.device)
      }),
    ),
  )

  it.live("says where no device is heard, and what to do", () =>
    Effect.gen(function* () {
      const server = yield* bareServer
      const text = yield* shown("--nats", server.url)
      assert.include(text, "No device was heard")
      assert.include(text, "doctor")
    }).pipe(Effect.scoped),
  )
})
