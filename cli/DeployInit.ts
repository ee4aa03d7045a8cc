/** `murmuration deploy init --hub HOST --devices pi-1,pi-2`: configurations and secrets for real devices. */
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { CannotDeploy, initDeployment, type InitReport } from "../deploy/Init.ts"
import { Port, type TlsFiles } from "../deploy/Swarm.ts"
import { BadDeviceId } from "../actors/Configuration.ts"
import { type DeviceId, isDeviceId } from "../subjects/DeviceId.ts"
import { deployBucketsCommand } from "./DeployBuckets.ts"
import { deployLinkCommand } from "./DeployLink.ts"
import { nextCommand } from "./Next.ts"

const deviceIds = (given: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<DeviceId>, BadDeviceId> =>
  Effect.forEach(given, (id) =>
    isDeviceId(id) ? Effect.succeed(id) : Effect.fail(new BadDeviceId({ given: id })),
  )

/** What a person does next, as text. */
export const nextSteps = (directory: string, report: InitReport): string => {
  const { hub, devices } = report.swarm
  const buckets = nextCommand("deploy buckets", { credentials: `${directory}/hub/operator.json` })
  const first = devices[0]?.device ?? "pi-1"
  return [
    `Wrote ${report.files.length} files to ${directory} (secrets: keep it private).`,
    report.added.length === 0 ? "No new devices." : `New devices: ${report.added.join(", ")}.`,
    "",
    "Next:",
    `  1. copy the project and ${directory}/hub, without operator.json, to ${hub.host}, and run there: sudo deploy/install.sh hub hub`,
    "     (after adding a device: copy hub.conf there again, and systemctl reload murmuration-hub)",
    `  2. here, once: ${buckets}`,
    `  3. copy the project and ${directory}/<device> to each device, and run there: sudo deploy/install.sh device <device>`,
    `  4. check, on ${first}: sudo murmuration doctor --credentials /etc/murmuration/device.json`,
    "Details, machines without systemd, and TLS: deploy/README.md",
  ].join("\n")
}

const certificates = (name: string, where: string) => ({
  ca: Flag.optional(Flag.String(`${name}-ca`).pipe(Flag.withDescription(`CA certificate, path on ${where}`))),
  cert: Flag.optional(
    Flag.String(`${name}-cert`).pipe(Flag.withDescription(`certificate, path on ${where}`)),
  ),
  key: Flag.optional(Flag.String(`${name}-key`).pipe(Flag.withDescription(`private key, path on ${where}`))),
})

type Certificates = Readonly<Record<"ca" | "cert" | "key", Option.Option<string>>>

/** All three files, or none. */
const tlsOf = (
  name: string,
  { ca, cert, key }: Certificates,
): Effect.Effect<TlsFiles | undefined, CannotDeploy> => {
  if (Option.isSome(ca) && Option.isSome(cert) && Option.isSome(key)) {
    return Effect.succeed({ caFile: ca.value, certFile: cert.value, keyFile: key.value })
  }
  if (Option.isNone(ca) && Option.isNone(cert) && Option.isNone(key)) return Effect.succeed(undefined)
  const hint = `give --${name}-ca, --${name}-cert and --${name}-key, or none of them`
  return Effect.fail(new CannotDeploy({ path: name, detail: "TLS needs three files", hint }))
}

const deployInitCommand = Command.make(
  "init",
  {
    directory: Argument.String("directory").pipe(
      Argument.withDescription("where to write; run again with the same one to add devices; default: swarm"),
      Argument.withDefault("swarm"),
    ),
    hub: Flag.optional(
      Flag.String("hub").pipe(
        Flag.withDescription("host name or IPv4 address by which the devices reach the hub; needed once"),
      ),
    ),
    devices: Flag.String("devices").pipe(
      Flag.withDescription("ids of the devices, such as pi-1,pi-2; those that exist already may be left out"),
      Flag.withDefault(""),
    ),
    hubPort: Flag.optional(
      Flag.Int("hub-port").pipe(
        Flag.withSchema(Port),
        Flag.withDescription(
          "port of the hub for clients and operators; 4223 where the hub is one of the devices, whose leaf has 4222",
        ),
      ),
    ),
    storeDir: Flag.optional(
      Flag.String("store").pipe(
        Flag.withDescription("directory of the hub's buckets and objects, on the hub"),
      ),
    ),
    hubTls: certificates("hub", "the hub"),
    leafTls: certificates("leaf", "every device"),
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("print what was written as JSON, without secrets"),
      Flag.withDefault(false),
    ),
  },
  Effect.fn("deployInit")(function* (a) {
    const devices = yield* deviceIds(a.devices.split(",").filter((id) => id !== ""))
    const hubTls = yield* tlsOf("hub", a.hubTls)
    const leafTls = yield* tlsOf("leaf", a.leafTls)
    const report = yield* initDeployment({
      directory: a.directory,
      devices,
      ...(Option.isSome(a.hub) ? { host: a.hub.value } : {}),
      ...(Option.isSome(a.hubPort) ? { hubPort: a.hubPort.value } : {}),
      ...(Option.isSome(a.storeDir) ? { storeDir: a.storeDir.value } : {}),
      ...(hubTls === undefined ? {} : { hubTls }),
      ...(leafTls === undefined ? {} : { leafTls }),
    })
    const { added, files, swarm } = report
    yield* Console.log(
      a.json
        ? JSON.stringify({ added, files, devices: swarm.devices.map((d) => d.device) })
        : nextSteps(a.directory, report),
    )
  }),
).pipe(Command.withDescription("Write server configurations and credentials for a hub and its devices"))

export const deployCommand = Command.make("deploy").pipe(
  Command.withDescription("Prepare real devices"),
  Command.withSubcommands([deployInitCommand, deployBucketsCommand, deployLinkCommand]),
)
