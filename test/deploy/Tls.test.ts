import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { localSwarm } from "../../deploy/LocalSwarm.ts"
import { leafConfig, secretsOf } from "../../deploy/ServerConfig.ts"
import { freePort, natsProcess, onFreePorts } from "../../deploy/NatsProcess.ts"
import { users } from "../../deploy/Swarm.ts"
import { Bus } from "../../subjects/Bus.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { connectAs } from "../support/Buses.ts"
import { waitUntil } from "../support/Wait.ts"

const [a, b] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]
/** Makes the certificates; a Debian without it can run everything else. */
const hasOpenssl = spawnSync("openssl", ["version"]).error === undefined

/** A CA and one certificate for this machine, as deploy/README.md makes them. */
const certificates = Effect.acquireRelease(
  Effect.sync(() => {
    const directory = mkdtempSync(join(tmpdir(), "murmuration-"))
    const path = (name: string) => join(directory, name)
    const openssl = (...args: ReadonlyArray<string>) =>
      execFileSync("openssl", args, { stdio: "pipe", cwd: directory })
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
      "req",
      "-x509",
      ...key,
      "-keyout",
      "ca.key",
      "-out",
      "ca.pem",
      "-days",
      "2",
      "-subj",
      "/CN=murmuration CA",
    )
    openssl("req", ...key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node")
    writeFileSync(path("node.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    const sign = [
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      "node.ext",
    ]
    openssl("x509", "-req", "-in", "node.csr", ...sign, "-out", "node.pem")
    return {
      directory,
      tls: { caFile: path("ca.pem"), certFile: path("node.pem"), keyFile: path("node.key") },
    }
  }),
  ({ directory }) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
)

// Node cannot make certificates; Debian has openssl, a bare machine may not.
describe.skipIf(!hasOpenssl)("a swarm with certificates", () => {
  it.live("links over TLS, and keeps out a leaf that knows a password but has no certificate", () =>
    Effect.gen(function* () {
      const { tls, directory } = yield* certificates
      const swarm = yield* localSwarm([a, b], { tls })
      const [busA, busB] = [yield* connectAs(swarm.deviceBus(a)), yield* connectAs(swarm.deviceBus(b))]
      busB.nats.subscribe(Subjects.probe(b), { callback: (_, m) => void m.respond(Buffer.from("pong")) })
      yield* Effect.promise(() => busB.nats.flush())
      const reply = yield* Effect.retry(
        busA.request(Subjects.probe(b), new Uint8Array(1), { timeoutMs: 2000 }),
        {
          times: 20,
        },
      )
      assert.strictEqual(new TextDecoder().decode(reply), "pong")

      const { leafTls: _, ...bare } = swarm.swarm()
      const config = join(directory, "bare.conf")
      const secrets = secretsOf(bare, a)
      const before = swarm.hub.process().log.length
      const port = yield* onFreePorts(
        Effect.gen(function* () {
          const clientPort = yield* freePort
          writeFileSync(config, leafConfig(bare, secrets, { clientPort }))
          yield* natsProcess(["-c", config], "hub")
          return clientPort
        }),
      )
      const refused = () =>
        swarm.hub
          .process()
          .log.slice(before)
          .some((line) => line.includes("TLS"))
      yield* waitUntil("the hub to refuse", refused)
      const servers = `nats://127.0.0.1:${port}`
      const login = { user: users.device, password: secrets.devicePassword }
      const intruder = yield* connectAs(Bus.layer({ servers, ...login }))
      const error = yield* Effect.flip(
        intruder.request(Subjects.probe(b), new Uint8Array(1), { timeoutMs: 2000 }),
      )
      assert.strictEqual(error._tag, "NobodyListens")
    }).pipe(Effect.scoped),
  )
})
