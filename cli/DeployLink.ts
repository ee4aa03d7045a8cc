/** `murmuration deploy link`: the `tc` commands that give a real interface a link of known rate and delay, to be run as root. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import type { ShaperSettings } from "../devices/links/Shaper.ts"
import { trafficControlCommands, trafficControlUndo } from "../devices/links/TrafficControl.ts"
import { withShownDefault } from "./Settings.ts"

export interface LinkChoice {
  readonly interface: string
  readonly peer: string
  readonly up: number
  readonly down: number
  readonly delay: number
  readonly jitter: number
  readonly undo: boolean
}

const rate = (mbps: number): number => (mbps > 0 ? mbps : Infinity)

/** Commands, one a line. A negative delay or jitter counts as none. */
export const linkCommands = (o: LinkChoice): string => {
  const target = { interface: o.interface, ...(o.peer === "" ? {} : { peer: o.peer }) }
  const both = { delayMs: Math.max(0, o.delay), jitterMs: Math.max(0, o.jitter) }
  const settings: ShaperSettings = {
    up: { mbps: rate(o.up), ...both },
    down: { mbps: rate(o.down), ...both },
  }
  return (o.undo ? trafficControlUndo(target) : trafficControlCommands(target, settings)).join("\n")
}

const number = (name: string, what: string) => withShownDefault(Flag.Finite(name), what, 0)

export const deployLinkCommand = Command.make(
  "link",
  {
    interface: Flag.String("interface").pipe(Flag.withDescription("Network interface, such as wlan0")),
    peer: Flag.String("peer").pipe(
      Flag.withDescription(
        "Shape only what goes to and comes from this address, such as the hub's (default: everything)",
      ),
      Flag.withDefault(""),
    ),
    up: number("up", "Outgoing rate, Mbps; 0 = unlimited"),
    down: number("down", "Incoming rate, Mbps; 0 = unlimited"),
    delay: number("delay", "One-way delay, ms, each way"),
    jitter: number("jitter", "Extra delay up to this, ms"),
    undo: Flag.Boolean("undo").pipe(
      Flag.withDescription("Print the commands that take it away again"),
      Flag.withDefault(false),
    ),
  },
  Effect.fn("deployLink")(function* (choice) {
    yield* Console.log(linkCommands(choice))
  }),
).pipe(
  Command.withDescription(
    "Print tc commands that shape a real interface (Linux with netem; pipe into 'sudo sh')",
  ),
)
