/**
 * A credentials file: everything that a program needs to get onto the bus. `murmuration deploy init` writes one per
 * device and one per kind of client.
 */
import { readFileSync, statSync } from "node:fs"
import { Effect, Result, Schema } from "effect"
import type { BusOptions } from "./Connection.ts"
import { DeviceId } from "./DeviceId.ts"

export const Credentials = Schema.Struct({
  servers: Schema.String,
  user: Schema.optionalKey(Schema.String),
  password: Schema.optionalKey(Schema.String),
  /** JetStream domain of the buckets; absent for a program that connects to the hub itself. */
  domain: Schema.optionalKey(Schema.String),
  /** Present in a device's own file. */
  device: Schema.optionalKey(DeviceId),
  tls: Schema.optionalKey(
    Schema.Struct({
      caFile: Schema.optionalKey(Schema.String),
      certFile: Schema.optionalKey(Schema.String),
      keyFile: Schema.optionalKey(Schema.String),
    }),
  ),
})
export type Credentials = typeof Credentials.Type

export class BadCredentialsFile extends Schema.TaggedError<BadCredentialsFile>()("BadCredentialsFile", {
  path: Schema.String,
  detail: Schema.String,
}) {
  readonly retryable = false
  readonly hint = "'murmuration deploy init' writes credentials files; copy the one of this device here"
  override get message() {
    return `credentials ${this.path}: ${this.detail}`
  }
}

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Credentials))

/** Reads and checks a credentials file. */
export const readCredentials = (path: string): Effect.Effect<Credentials, BadCredentialsFile> =>
  Effect.suspend(() => {
    const fail = (detail: string) => Effect.fail(new BadCredentialsFile({ path, detail }))
    let text: string
    try {
      text = readFileSync(path, "utf8")
    } catch (cause) {
      return fail(cause instanceof Error ? cause.message : String(cause))
    }
    const decoded = decode(text)
    return Result.isSuccess(decoded) ? Effect.succeed(decoded.success) : fail(decoded.failure.message)
  })

/** True where others than the owner can read the file. */
export const isExposed = (path: string): boolean => (statSync(path).mode & 0o077) !== 0

/** How to connect with these credentials. */
export const busOptions = (c: Credentials, name: string): BusOptions => ({
  servers: c.servers,
  name,
  ...(c.user === undefined ? {} : { user: c.user }),
  ...(c.password === undefined ? {} : { password: c.password }),
  ...(c.domain === undefined ? {} : { domain: c.domain }),
  ...(c.tls === undefined ? {} : { tls: c.tls }),
})
