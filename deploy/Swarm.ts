/**
 * What a deployment consists of: one hub, one leaf per device, and their secrets. Plain data, kept in one file
 * (`swarm.json`), from which every configuration is derived again when a device is added.
 */
import { randomBytes } from "node:crypto"
import { Schema } from "effect"
import { DeviceId } from "../subjects/DeviceId.ts"
import { clientUser } from "../subjects/Subjects.ts"

/** Paths on the machine where the server runs. */
export const TlsFiles = Schema.Struct({
  caFile: Schema.String,
  certFile: Schema.String,
  keyFile: Schema.String,
})
export type TlsFiles = typeof TlsFiles.Type

export const DeviceSecrets = Schema.Struct({
  device: DeviceId,
  /** Leaf -> hub. */
  linkPassword: Schema.String,
  /** Device process -> own leaf. */
  devicePassword: Schema.String,
  /** Any client on the device's machine -> own leaf; may only ask for inference. */
  clientPassword: Schema.String,
})
export type DeviceSecrets = typeof DeviceSecrets.Type

export const Port = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))

export const Swarm = Schema.Struct({
  hub: Schema.Struct({
    /** Host name or address by which the devices reach the hub. */
    host: Schema.String,
    clientPort: Port,
    leafPort: Port,
    /** Directory of JetStream's files on the hub. */
    storeDir: Schema.String,
    operatorPassword: Schema.String,
    clientPassword: Schema.String,
    systemPassword: Schema.String,
    tls: Schema.optionalKey(TlsFiles),
  }),
  /** Port of every leaf on its own device; clients of other machines do not get in (loopback only). */
  leafClientPort: Port,
  leafTls: Schema.optionalKey(TlsFiles),
  devices: Schema.Array(DeviceSecrets),
})
export type Swarm = typeof Swarm.Type

/** Names of users in the server's configuration. */
export const users = {
  /** Owns buckets and objects, sees everything. */
  operator: "operator",
  /** May ask for inference and look at services. */
  client: clientUser,
  system: "system",
  /** A device's process at its own leaf. */
  device: "device",
} as const

/** 192 random bits; only characters that are safe in a URL and in a configuration file. */
export const secret = (): string => randomBytes(24).toString("base64url")

export const deviceSecrets = (device: DeviceId): DeviceSecrets => ({
  device,
  linkPassword: secret(),
  devicePassword: secret(),
  clientPassword: secret(),
})

export interface SwarmOptions {
  readonly host: string
  readonly devices: ReadonlyArray<DeviceId>
  readonly storeDir: string
  readonly clientPort?: number
  readonly leafPort?: number
  readonly leafClientPort?: number
}

/** A new swarm with new secrets. 4222 and 7422 are NATS's usual ports for clients and leaf nodes. */
export const newSwarm = (o: SwarmOptions): Swarm => ({
  hub: {
    host: o.host,
    clientPort: o.clientPort ?? 4222,
    leafPort: o.leafPort ?? 7422,
    storeDir: o.storeDir,
    operatorPassword: secret(),
    clientPassword: secret(),
    systemPassword: secret(),
  },
  leafClientPort: o.leafClientPort ?? 4222,
  devices: o.devices.map(deviceSecrets),
})
