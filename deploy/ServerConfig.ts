/**
 * nats-server configurations for the hub and for a device's leaf. The demo, the tests and real devices all run these.
 * The comments that a reader of the generated file needs are generated with it.
 */
import type { DeviceId } from "../subjects/DeviceId.ts"
import { hubDomain } from "../subjects/Subjects.ts"
import { clientGrants, deviceGrants, type Grants } from "./Permissions.ts"
import { type DeviceSecrets, type Swarm, type TlsFiles, users } from "./Swarm.ts"

/** Largest message. An image of a client is the largest; tiles are cut into chunks. */
const maxPayloadBytes = 8 * 1024 * 1024

/**
 * A dead peer is noticed after 9-12 s. Not faster: a PONG waits behind the tiles in front of it, and 8 chunks to each of
 * 4 peers fill a 5 Mbps link for 5 s. Device losses are noticed sooner, from heartbeats.
 */
const pings = `ping_interval: "3s"
ping_max: 3`

const quote = (text: string) => JSON.stringify(text)
const list = (values: ReadonlyArray<string>) => `[${values.map(quote).join(", ")}]`

const rule = (r: Grants["publish"]) =>
  r.deny.length === 0 ? `{ allow: ${list(r.allow)} }` : `{ allow: ${list(r.allow)}, deny: ${list(r.deny)} }`

const user = (name: string, password: string, grants?: Grants): string => {
  const login = `user: ${quote(name)}, password: ${quote(password)}`
  if (grants === undefined) return `{ ${login} }`
  return `{ ${login}, permissions: { publish: ${rule(grants.publish)}, subscribe: ${rule(grants.subscribe)} } }`
}

const tls = (t: TlsFiles | undefined, verify: boolean): string =>
  t === undefined
    ? ""
    : `tls {
    ca_file: ${quote(t.caFile)}
    cert_file: ${quote(t.certFile)}
    key_file: ${quote(t.keyFile)}
${verify ? "    verify: true\n" : ""}  }`

export interface HubOptions {
  /** Interface to listen on. Default: all. */
  readonly listenHost?: string
  /** Monitoring page, loopback only. */
  readonly monitorPort?: number
}

export const hubConfig = (swarm: Swarm, options: HubOptions = {}): string => {
  const { hub, devices } = swarm
  const ids = devices.map((d) => d.device)
  const host = options.listenHost ?? "0.0.0.0"
  const links = devices.map((d) => user(d.device, d.linkPassword, deviceGrants(d.device, ids)))
  return `# Murmuration hub. Written by 'murmuration deploy init'; holds secrets: mode 0600.
server_name: "hub"
listen: ${quote(`${host}:${hub.clientPort}`)}
${options.monitorPort === undefined ? "" : `http: "127.0.0.1:${options.monitorPort}"\n`}max_payload: ${maxPayloadBytes}
${pings}

jetstream {
  domain: ${quote(hubDomain)}
  store_dir: ${quote(hub.storeDir)}
  max_memory_store: 268435456
  max_file_store: 2147483648
}

leafnodes {
  listen: ${quote(`${host}:${hub.leafPort}`)}
  # Leaves are told this address and try it after a loss. A dead one keeps them on the address in their own
  # configuration, which may lead through a proxy or a tunnel (nats-server #8367).
  advertise: "127.0.0.1:1"
  reconnect: 1
  ${tls(hub.tls, true)}
}

system_account: SYS
accounts {
  SYS { users: [ ${user(users.system, hub.systemPassword)} ] }
  APP {
    jetstream: enabled
    users: [
      ${[user(users.operator, hub.operatorPassword), user(users.client, hub.clientPassword, clientGrants), ...links].join("\n      ")}
    ]
  }
}
`
}

export interface LeafOptions {
  readonly monitorPort?: number
  /** Where the leaf finds the hub, if not at its own address: the shaper of the demo. */
  readonly hubAddress?: string
  readonly clientPort?: number
}

export const leafConfig = (swarm: Swarm, secrets: DeviceSecrets, options: LeafOptions = {}): string => {
  const address = options.hubAddress ?? `${swarm.hub.host}:${swarm.hub.leafPort}`
  const scheme = swarm.leafTls === undefined ? "nats-leaf" : "tls"
  const url = `${scheme}://${secrets.device}:${secrets.linkPassword}@${address}`
  return `# Murmuration leaf of device ${secrets.device}. Written by 'murmuration deploy init'; holds secrets: mode 0600.
server_name: ${quote(secrets.device)}
listen: "127.0.0.1:${options.clientPort ?? swarm.leafClientPort}"
${options.monitorPort === undefined ? "" : `http: "127.0.0.1:${options.monitorPort}"\n`}max_payload: ${maxPayloadBytes}
${pings}

leafnodes {
  reconnect: 1
  remotes: [
    {
      url: ${quote(url)}
      ${tls(swarm.leafTls, false)}
    }
  ]
}

authorization {
  users: [
    ${user(users.device, secrets.devicePassword)}
    ${user(users.client, secrets.clientPassword, clientGrants)}
  ]
}
`
}

/** The secrets of one device. Throws a RangeError for a device that is not part of the swarm. */
export const secretsOf = (swarm: Swarm, device: DeviceId): DeviceSecrets => {
  const secrets = swarm.devices.find((d) => d.device === device)
  if (secrets === undefined) throw new RangeError(`${device} is not a device of this swarm`)
  return secrets
}
