/** `murmuration doctor`: checks install, bus and peers in order, and says for each finding what to do. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { busOptions, isExposed, readCredentials } from "../subjects/Credentials.ts"
import { connectionFlags, connectionGiven } from "./Connection.ts"
import { examineBus } from "./DoctorBus.ts"
import { type Finding, findings, isHealthy, type Status } from "./DoctorCheck.ts"
import { examineInstall } from "./DoctorInstall.ts"
import { examinePeers } from "./DoctorPeers.ts"
import { asTyped, nextCommand } from "./Next.ts"
import { supernetFlag } from "./Settings.ts"
import { bad, bold, dim, good, warm } from "./Text.ts"

export interface DoctorOptions {
  /** Path of a credentials file; empty: none. */
  readonly credentials: string
  /** Where no credentials are given. */
  readonly nats: string
  /** Artifact directory; empty: the default one. */
  readonly supernet: string
}

const file = findings("bus")

/** Everything the doctor finds, in order. */
export const examine = (o: DoctorOptions): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function* () {
    const install = yield* examineInstall(o.supernet)
    if (o.credentials === "") {
      const options = { servers: o.nats, name: "murmuration doctor" }
      return [...install, ...(yield* examineBus(options, undefined, examinePeers))]
    }
    const found = yield* Effect.result(readCredentials(o.credentials))
    if (found._tag === "Failure") {
      return [...install, file.failed("credentials", found.failure.detail, found.failure.hint)]
    }
    const credentials = isExposed(o.credentials)
      ? file.warning("credentials", `${o.credentials} can be read by others`, `chmod 600 ${o.credentials}`)
      : file.ok("credentials", o.credentials)
    const options = busOptions(found.success, "murmuration doctor")
    // Client credentials carry no device: they may not use a device's subjects.
    return [...install, credentials, ...(yield* examineBus(options, found.success.device, examinePeers))]
  })

const marks: Record<Status, string> = {
  ok: good("ok     "),
  warning: warm("warning"),
  failed: bad("failed "),
  skipped: dim("skipped"),
}

/** The findings as text for people: an area per paragraph, advice below what it is about. */
export const report = (
  found: ReadonlyArray<Finding>,
  next = nextCommand("infer IMAGE --latency 200"),
): string => {
  const width = Math.max(...found.map((f) => f.name.length))
  const areas = [...new Set(found.map((f) => f.area))]
  const paragraphs = areas.map((area) => {
    const lines = found
      .filter((f) => f.area === area)
      .flatMap((f) => [
        `  ${marks[f.status]}  ${f.name.padEnd(width)}  ${f.detail}`,
        ...(f.advice === "" ? [] : [`  ${" ".repeat(9 + width)}  -> ${f.advice}`]),
      ])
    return [bold(area), ...lines].join("\n")
  })
  const failures = found.filter((f) => f.status === "failed").length
  const verdict =
    failures === 0
      ? good(`Nothing is wrong. Next: ${next}`)
      : bad(failures === 1 ? "One thing is wrong." : `${failures} things are wrong; begin with the first.`)
  return asTyped([...paragraphs, verdict].join("\n\n"))
}

export const doctorCommand = Command.make(
  "doctor",
  {
    ...connectionFlags,
    supernet: supernetFlag,
    json: Flag.Boolean("json").pipe(
      Flag.withDescription("Print the findings as JSON"),
      Flag.withDefault(false),
    ),
  },
  Effect.fn("doctor")(function* (o) {
    const found = yield* examine(o)
    const healthy = isHealthy(found)
    const next = nextCommand("infer IMAGE --latency 200", connectionGiven(o))
    yield* Console.log(o.json ? JSON.stringify({ healthy, findings: found }, null, 1) : report(found, next))
    if (!healthy) yield* Effect.sync(() => (process.exitCode = 1))
  }),
).pipe(Command.withDescription("Check install, bus and peers, and say what to do"))
