import { assert, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { Effect, Fiber, Result } from "effect"
import { describe, vi } from "vitest"
import { projectRoot } from "../../bench/Bench.ts"
import { secretsOf } from "../../deploy/ServerConfig.ts"
import { type SwarmBox, swarmBox } from "../../deploy/SwarmBox.ts"
import { Bus, type BusShape } from "../../subjects/Bus.ts"

import { swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { connectAs } from "../support/Buses.ts"
import { ask, tensorOf } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

vi.setConfig({ testTimeout: 180_000 })

const [first, second] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
const waitMs = 60_000

const inBox = <A, E>(test: (box: SwarmBox, client: BusShape) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const devices = [first, second].map((id) => ({ id, profile: "raspberry-pi-4", slow: 4 }))
    const box = yield* swarmBox({ devices })
    const client = yield* connectAs(Bus.layer(box.device(first).client))
    return yield* test(box, client)
  }).pipe(Effect.scoped)

/** What a device says about itself, as clients hear it. */
const voiceOf = (client: BusShape, device: DeviceId) => {
  const heard: Array<string> = []
  client.nats.subscribe(Subjects.swarm(device), {
    callback: (_, m) => {
      const message = swarmMessage.decode(m.subject, m.data)
      if (Result.isSuccess(message)) heard.push(message.success._tag)
    },
  })
  return heard
}

/** A second process under an id that is taken, at the same leaf; its exit code and what it wrote. */
const startTwin = (box: SwarmBox, id: DeviceId) =>
  Effect.callback<{ readonly code: number; readonly output: string }>((resume) => {
    const nats = String(box.device(id).client.servers)
    const flags = ["up", "--device", id, "--nats", nats, "--profile", "raspberry-pi-4"]
    const env = { ...process.env, MURMURATION_PASSWORD: secretsOf(box.swarm, id).devicePassword }
    const child = spawn(process.execPath, [join(projectRoot, "cli", "main.ts"), ...flags], { env })
    let output = ""
    child.stdout.on("data", (data: Buffer) => (output += data.toString()))
    child.stderr.on("data", (data: Buffer) => (output += data.toString()))
    child.once("exit", (code) => resume(Effect.succeed({ code: code ?? 0, output })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("device processes", () => {
  it.live(
    "refuse a taken id naming both hosts, say farewell on SIGTERM, and are done without after kill -9",
    () =>
      inBox((box, client) =>
        Effect.gen(function* () {
          const twin = yield* startTwin(box, second)
          assert.notStrictEqual(twin.code, 0)
          assert.include(twin.output, `(pid ${box.device(second).pid()})`)
          assert.isAtLeast(new Set(twin.output.match(/\(pid \d+\)/g)).size, 2, twin.output)

          // SIGTERM: what is under way is answered, farewell is said, exit code 0.
          const heard = voiceOf(client, first)
          yield* waitUntil("the first device beats", () => heard.includes("Beat"), waitMs)
          const tensor = tensorOf(128, 1)
          yield* ask(client, { tensor, slo: { accuracy: 0.5 }, device: first })
          const asked = ask(client, { tensor, slo: { accuracy: 0.5 }, device: first })
          const under = yield* Effect.forkChild(asked, { startImmediately: true })
          // An answer to what was sent after it says that the device has taken it in.
          const nonsense = () => client.nats.request(Subjects.inferAt(first), "nonsense", { timeout: waitMs })
          yield* Effect.promise(nonsense)
          box.device(first).signal("SIGTERM")
          assert.strictEqual(yield* box.device(first).exited, 0)
          assert.strictEqual(heard.at(-1), "Farewell")
          assert.strictEqual((yield* Fiber.join(under)).device, first)

          // Nobody serves this leaf's clients now: the nearest other device does.
          const elsewhere = yield* ask(client, { tensor, slo: { accuracy: 0.5 } })
          assert.strictEqual(elsewhere.device, second)

          // kill -9: no farewell, and the first device, back again, answers without it.
          yield* box.device(first).start
          const peer = voiceOf(client, second)
          box.device(second).signal("SIGKILL")
          assert.strictEqual(yield* box.device(second).exited, 137)
          const alone = yield* ask(client, { tensor, slo: { accuracy: 0.5 }, deadlineMs: 30_000 })
          assert.strictEqual(alone.device, first)
          assert.notInclude(peer, "Farewell")
        }),
      ),
  )
})
