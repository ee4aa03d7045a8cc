/**
 * Names that become parts of subjects, so that no name can smuggle in a dot, a wildcard or a space. The brands are
 * checked where data enters (configuration, messages); from there on the type carries the proof.
 */
import { Schema } from "effect"
import { Strategy } from "../supernet/Schemas.ts"

export const deviceIdPattern = /^[a-z0-9][a-z0-9-]{0,31}$/

/** A device's id on the bus, such as `pi-3`: lower case letters, digits and dashes, at most 32. Survives restarts. */
export const DeviceId = Schema.String.check(
  Schema.isPattern(deviceIdPattern, {
    expected: "a device id: lower case letters, digits and dashes, at most 32 characters",
  }),
).pipe(Schema.brand("DeviceId"))
export type DeviceId = typeof DeviceId.Type

export const isDeviceId = (text: string): text is DeviceId => deviceIdPattern.test(text)

export const requestIdPattern = /^[\w.:-]{1,64}$/

/** A request's id: chosen by the client or, where it names none, by the serving Scheduler. */
export const RequestId = Schema.String.check(
  Schema.isPattern(requestIdPattern, {
    expected: "a request id: letters, digits and _ . : - , at most 64 characters",
  }),
).pipe(Schema.brand("RequestId"))
export type RequestId = typeof RequestId.Type

/** Content hash of a strategy (see `strategyId` in `supernet/Strategy.ts`): 16 hexadecimal digits. */
export const strategyIdPattern = /^[0-9a-f]{16}$/
export const StrategyId = Schema.String.check(
  Schema.isPattern(strategyIdPattern, { expected: "a strategy id: 16 hexadecimal digits" }),
)

/** A strategy as it travels: device ids are checked on arrival, because they become parts of subjects. */
export const WireStrategy = Schema.Struct({
  ...Strategy.fields,
  devices: Schema.Array(Schema.String.check(Schema.isPattern(deviceIdPattern, { expected: "a device id" }))),
})
