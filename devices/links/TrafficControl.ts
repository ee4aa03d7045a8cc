/**
 * The same link on a real Linux host: `tc` commands for hosts whose kernel has netem, tbf and ifb. Pure text; whoever runs
 * it needs root. Outgoing traffic is shaped on the interface itself, incoming through an ifb device.
 */
import type { DirectionSettings } from "./Direction.ts"
import type { ShaperSettings } from "./Shaper.ts"

export interface TrafficControlOptions {
  readonly interface: string
  /** Intermediate device for incoming traffic. */
  readonly ifb?: string
  /** Only this peer (the hub) is shaped; without it everything on the interface is. */
  readonly peer?: string
}

/** tbf lets a burst through unshaped, so it is small: 4 ms worth, at least two full frames. */
const burstBytes = (mbps: number): number => Math.max(3200, Math.ceil((mbps * 1e6 * 0.004) / 8))

const milliseconds = (value: number): string => `${Number(value.toFixed(3))}ms`

/** netem for the delay, with tbf under it for the rate, at `parent`. */
const queue = (
  device: string,
  parent: string,
  handle: number,
  d: DirectionSettings,
): ReadonlyArray<string> => {
  const jitter = d.jitterMs > 0 ? ` ${milliseconds(d.jitterMs / 2)}` : ""
  // A netem queue must hold what is under way; its default of 1000 packets is 24 ms at 500 Mbps.
  const limit =
    d.mbps === Infinity ? 100_000 : Math.ceil(1000 + (d.mbps * 1e3 * (d.delayMs + d.jitterMs)) / 8 / 1000)
  const netem = `tc qdisc add dev ${device} ${parent} handle ${handle}: netem delay ${milliseconds(d.delayMs + d.jitterMs / 2)}${jitter} limit ${limit}`
  if (d.mbps === Infinity) return [netem]
  const tbf = `tc qdisc add dev ${device} parent ${handle}: handle ${handle + 1}: tbf rate ${d.mbps}mbit burst ${burstBytes(d.mbps)} latency 50ms`
  return [netem, tbf]
}

const shaped = (
  device: string,
  base: number,
  d: DirectionSettings,
  match: string | undefined,
): ReadonlyArray<string> =>
  match === undefined
    ? queue(device, "root", base, d)
    : [
        `tc qdisc add dev ${device} root handle ${base}: prio bands 4 priomap 1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1`,
        ...queue(device, `parent ${base}:4`, base + 1, d),
        `tc filter add dev ${device} parent ${base}: protocol ip prio 1 u32 match ip ${match} flowid ${base}:4`,
      ]

/** Commands that give an interface this link: up = outgoing, down = incoming. */
export const trafficControlCommands = (
  options: TrafficControlOptions,
  settings: ShaperSettings,
): ReadonlyArray<string> => {
  const { interface: device, ifb = "ifb0", peer } = options
  return [
    ...shaped(device, 10, settings.up, peer === undefined ? undefined : `dst ${peer}`),
    `ip link add ${ifb} type ifb`,
    `ip link set ${ifb} up`,
    `tc qdisc add dev ${device} handle ffff: ingress`,
    `tc filter add dev ${device} parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev ${ifb}`,
    ...shaped(ifb, 20, settings.down, peer === undefined ? undefined : `src ${peer}`),
  ]
}

/** Commands that take it all away again. */
export const trafficControlUndo = (options: TrafficControlOptions): ReadonlyArray<string> => {
  const { interface: device, ifb = "ifb0" } = options
  return [`tc qdisc del dev ${device} root`, `tc qdisc del dev ${device} ingress`, `ip link del ${ifb}`]
}
