/**
 * What can go wrong between two programs on the bus. "Nobody listens", "late" and "refused" stay three errors, because a
 * caller does three different things about them: look for another device, wait or hedge, correct the request.
 */
import { Schema } from "effect"

/** No connection to the own nats-server. */
export class BusDown extends Schema.TaggedError<BusDown>()("BusDown", {
  subject: Schema.String,
  /** For how long; 0 where that is not known. */
  downMs: Schema.Finite,
  server: Schema.String,
  /** What became of the message: "nothing was sent", or why it may have been. */
  detail: Schema.String,
}) {
  readonly retryable = true
  readonly hint =
    "the connection comes back by itself once the local nats-server runs; see 'murmuration doctor'"
  override get message() {
    const forMs = this.downMs > 0 ? ` for ${Math.round(this.downMs)} ms` : ""
    return `${this.subject}: not connected to ${this.server}${forMs}; ${this.detail}`
  }
}

/** The server knows of no subscription on this subject: answered at once, nothing was delivered. */
export class NobodyListens extends Schema.TaggedError<NobodyListens>()("NobodyListens", {
  subject: Schema.String,
}) {
  readonly retryable = true
  readonly hint = "is the device up, and may both sides use this subject (deploy/ permissions)?"
  override get message() {
    return `${this.subject}: nobody listens`
  }
}

/** Delivered or lost, but not answered in time. The work may still be done. */
export class Late extends Schema.TaggedError<Late>()("Late", {
  subject: Schema.String,
  timeoutMs: Schema.Finite,
}) {
  readonly retryable = true
  readonly hint = "the receiver or the link is slow, or stalled; the work may still be done"
  override get message() {
    return `${this.subject}: no answer within ${Math.round(this.timeoutMs)} ms`
  }
}

/** The receiver answered with a typed error. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  subject: Schema.String,
  /** One of `errorTags`, or a tag of a newer device. */
  tag: Schema.String,
  detail: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `${this.subject}: ${this.tag}: ${this.detail}`
  }
}

/** More bytes than the server takes in one message. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  subject: Schema.String,
  bytes: Schema.Int,
  limitBytes: Schema.Int,
}) {
  readonly retryable = false
  readonly hint = "send a smaller image, or raise max_payload on the hub and on every leaf"
  override get message() {
    return `${this.subject}: ${this.bytes} bytes; the server takes ${this.limitBytes}`
  }
}

/** The own server denies this subject to these credentials. */
export class NotPermitted extends Schema.TaggedError<NotPermitted>()("NotPermitted", {
  subject: Schema.String,
}) {
  readonly retryable = false
  readonly hint = "these credentials may not use the subject; 'murmuration deploy init' writes ones that may"
  override get message() {
    return `${this.subject}: not permitted`
  }
}

/** The first connection could not be made. */
export class CannotConnect extends Schema.TaggedError<CannotConnect>()("CannotConnect", {
  servers: Schema.String,
  reason: Schema.Literals(["Unreachable", "NotAuthorized", "Tls", "Invalid"]),
  detail: Schema.String,
}) {
  readonly retryable = false
  get hint() {
    if (this.reason === "NotAuthorized")
      return "user or password do not match those in the server's configuration"
    if (this.reason === "Tls") return "check the certificates, and that both sides agree on TLS"
    if (this.reason === "Invalid") return "an address has the form nats://HOST:PORT; see deploy/README.md"
    return "is nats-server running there? 'murmuration demo' starts its own; see deploy/README.md"
  }
  override get message() {
    return `cannot connect to ${this.servers}: ${this.detail}`
  }
}

export type PublishError = BusDown | PayloadTooLarge
export type RequestError = BusDown | NobodyListens | Late | Refused | PayloadTooLarge | NotPermitted
