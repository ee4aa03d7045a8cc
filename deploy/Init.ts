/**
 * Writes everything that a hub and its devices need onto disk: server configurations, credentials files, and the
 * `swarm.json` from which they come. Run again with another device, it keeps the secrets that exist and adds the new one.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { isIPv4 } from "node:net"
import { dirname, join } from "node:path"
import { Effect, Result, Schema } from "effect"
import type { Credentials } from "../subjects/Credentials.ts"
import type { DeviceId } from "../subjects/DeviceId.ts"
import { hubDomain } from "../subjects/Subjects.ts"
import { hubConfig, leafConfig } from "./ServerConfig.ts"
import { deviceSecrets, newSwarm, Swarm, type TlsFiles, users } from "./Swarm.ts"

export class CannotDeploy extends Schema.TaggedError<CannotDeploy>()("CannotDeploy", {
  path: Schema.String,
  detail: Schema.String,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.path}: ${this.detail}`
  }
}

export interface InitOptions {
  /** Created where missing. */
  readonly directory: string
  readonly devices: ReadonlyArray<DeviceId>
  /** Needed the first time: the address by which devices reach the hub. */
  readonly host?: string
  readonly storeDir?: string
  /** Where the hub listens for clients and operators. Default: 4222, or what it was before. */
  readonly hubPort?: number
  /** Paths on the hub, and on every device, of certificates made elsewhere (see deploy/README.md). */
  readonly hubTls?: TlsFiles
  readonly leafTls?: TlsFiles
}

export interface InitReport {
  readonly swarm: Swarm
  readonly added: ReadonlyArray<DeviceId>
  readonly files: ReadonlyArray<string>
}

/** Where Debian's systemd unit in deploy/systemd lets the hub write. */
const defaultStoreDir = "/var/lib/murmuration/jetstream"

const stateSchema = Schema.fromJsonString(Swarm)
const decodeState = Schema.decodeUnknownResult(stateSchema)

const readState = (path: string): Effect.Effect<Swarm | undefined, CannotDeploy> =>
  Effect.suspend(() => {
    if (!existsSync(path)) return Effect.succeed(undefined)
    const decoded = decodeState(readFileSync(path, "utf8"))
    if (Result.isSuccess(decoded)) return Effect.succeed(decoded.success)
    const hint = "restore the file, or begin anew in another directory"
    return Effect.fail(new CannotDeploy({ path, detail: decoded.failure.message, hint }))
  })

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i

/** A host name or an IPv4 address, alone: it becomes part of URLs and of the leaves' configurations. */
const isHost = (text: string): boolean => {
  const labels = text.split(".")
  if (text.length > 253 || !labels.every((l) => label.test(l))) return false
  // What ends in a number is meant as an address.
  return isIPv4(text) || !/^\d+$/.test(labels.at(-1) ?? "")
}

/** Names that are taken: of the hub's directory and server, and of the users that the hub has beside the devices. */
const reserved: ReadonlyArray<string> = ["hub", users.operator, users.client, users.system]

/** What forbids this state, and what to do instead. */
const objection = ({
  hub,
  leafTls,
  devices,
}: Swarm): { readonly detail: string; readonly hint: string } | undefined => {
  if (!isHost(hub.host))
    return {
      detail: `'${hub.host}' is no host name and no IPv4 address`,
      hint: "--hub takes the address alone, such as 192.168.1.10 or hub.local: no scheme, no port (that is --hub-port), no IPv6",
    }
  if (hub.clientPort === hub.leafPort)
    return {
      detail: `port ${hub.leafPort} of the hub is the one for leaves`,
      hint: "choose another --hub-port, such as 4223",
    }
  if ((hub.tls === undefined) !== (leafTls === undefined))
    return {
      detail: `TLS for ${leafTls === undefined ? "the hub" : "the leaves"} only: no leaf would get a link`,
      hint: "give --hub-ca, --hub-cert, --hub-key and --leaf-ca, --leaf-cert, --leaf-key (deploy/README.md, TLS)",
    }
  const taken = devices.find((d) => reserved.includes(d.device))
  if (taken === undefined) return undefined
  return {
    detail: `a device cannot be called '${taken.device}': the hub has a user or a directory of that name`,
    hint: `any id but ${reserved.join(", ")}`,
  }
}

/** The state after adding what is new; nothing that exists changes its secrets. */
const grown = (
  before: Swarm | undefined,
  o: InitOptions,
  path: string,
): Effect.Effect<Swarm, CannotDeploy> => {
  if (before === undefined && o.host === undefined) {
    const hint = "name the address by which the devices reach the hub: --hub HOST"
    return Effect.fail(new CannotDeploy({ path, detail: "a new swarm needs the hub's address", hint }))
  }
  const storeDir = o.storeDir ?? before?.hub.storeDir ?? defaultStoreDir
  const host = o.host ?? before?.hub.host ?? ""
  const base = before ?? newSwarm({ host, storeDir, devices: [] })
  const clientPort = o.hubPort ?? base.hub.clientPort
  const known = new Set(base.devices.map((d) => d.device))
  const fresh = [...new Set(o.devices)].filter((d) => !known.has(d)).map(deviceSecrets)
  const swarm: Swarm = {
    ...base,
    hub: { ...base.hub, host, storeDir, clientPort, ...(o.hubTls === undefined ? {} : { tls: o.hubTls }) },
    ...(o.leafTls === undefined ? {} : { leafTls: o.leafTls }),
    devices: [...base.devices, ...fresh],
  }
  const wrong = objection(swarm)
  return wrong === undefined ? Effect.succeed(swarm) : Effect.fail(new CannotDeploy({ path, ...wrong }))
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

/** Every file of a deployment by its path in the directory. */
const deploymentFiles = (swarm: Swarm): ReadonlyMap<string, string> => {
  const hubUrl = `nats://${swarm.hub.host}:${swarm.hub.clientPort}`
  const leafUrl = `nats://127.0.0.1:${swarm.leafClientPort}`
  const credentials = (c: Credentials) => json(c)
  const files = new Map<string, string>([
    ["swarm.json", json(Schema.encodeSync(Swarm)(swarm))],
    ["hub/hub.conf", hubConfig(swarm)],
    [
      "hub/operator.json",
      credentials({ servers: hubUrl, user: users.operator, password: swarm.hub.operatorPassword }),
    ],
    [
      "hub/client.json",
      credentials({ servers: hubUrl, user: users.client, password: swarm.hub.clientPassword }),
    ],
  ])
  for (const d of swarm.devices) {
    const at = { servers: leafUrl, domain: hubDomain, device: d.device }
    files.set(`${d.device}/leaf.conf`, leafConfig(swarm, d))
    files.set(
      `${d.device}/device.json`,
      credentials({ ...at, user: users.device, password: d.devicePassword }),
    )
    files.set(
      `${d.device}/client.json`,
      credentials({ servers: leafUrl, user: users.client, password: d.clientPassword }),
    )
  }
  return files
}

/** Whole or not at all, and never to be read by others: `swarm.json` is the only copy of all secrets. */
const writeSecret = (path: string, text: string) => {
  const unfinished = `${path}.new`
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // One that an earlier run left would keep its mode.
  rmSync(unfinished, { force: true })
  writeFileSync(unfinished, text, { mode: 0o600, flag: "wx", flush: true })
  renameSync(unfinished, path)
}

/** Writes the deployment; files can be read by their owner only. */
export const initDeployment = (o: InitOptions): Effect.Effect<InitReport, CannotDeploy> =>
  Effect.gen(function* () {
    const statePath = join(o.directory, "swarm.json")
    const before = yield* readState(statePath)
    const swarm = yield* grown(before, o, statePath)
    const files = deploymentFiles(swarm)
    yield* Effect.try({
      try: () => {
        for (const [name, text] of files) writeSecret(join(o.directory, name), text)
      },
      catch: (cause) =>
        new CannotDeploy({
          path: o.directory,
          detail: String(cause),
          hint: "may this directory be written?",
        }),
    })
    const known = new Set(before?.devices.map((d) => d.device))
    const added = swarm.devices.map((d) => d.device).filter((d) => !known.has(d))
    return { swarm, added, files: [...files.keys()] }
  })
