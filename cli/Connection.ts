/** Flags by which the commands that talk to a running swarm find it, and the bus behind them. */
import { Effect, Layer } from "effect"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import { busOptions, readCredentials } from "../subjects/Credentials.ts"
import { textSetting } from "./Settings.ts"

const defaultServer = "nats://127.0.0.1:4222"

export const connectionFlags = {
  credentials: textSetting("credentials", {
    says: "Credentials file, as 'murmuration deploy init' and 'murmuration demo --keep' write it",
    otherwise: "",
    shown: "none",
    variable: "MURMURATION_CREDENTIALS",
  }),
  nats: textSetting("nats", {
    says: "nats-server to connect to, where no credentials file is given",
    otherwise: defaultServer,
    variable: "MURMURATION_NATS",
  }),
}

export interface ConnectionChoice {
  readonly credentials: string
  readonly nats: string
}

/** The flags by which a next command finds the same swarm. */
export const connectionGiven = ({ credentials, nats }: ConnectionChoice) =>
  credentials === "" && nats !== defaultServer ? { nats } : { credentials }

/** How long a command waits for its first connection before it says that there is none. */
const firstConnectMs = 3000

const connectionOptions = Effect.fnUntraced(function* (choice: ConnectionChoice, name: string) {
  const options: BusOptions =
    choice.credentials === ""
      ? { servers: choice.nats, name }
      : busOptions(yield* readCredentials(choice.credentials), name)
  return options
})

export const connectedBus = (choice: ConnectionChoice) =>
  Layer.unwrap(
    Effect.map(connectionOptions(choice, "murmuration cli"), (o) => Bus.layer({ ...o, firstConnectMs })),
  )
