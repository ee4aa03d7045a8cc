import { describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { vi } from "vitest"
import type { BusShape } from "../../subjects/Bus.ts"
import { linkReport } from "../../subjects/Codecs.ts"
import type { DeviceId } from "../../subjects/DeviceId.ts"
import type { LinkState } from "../../subjects/LinkMessages.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { withDevices } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

vi.setConfig({ testTimeout: 60_000 })

/** The last report of each device, as anybody hears it. */
const reports = (bus: BusShape) => {
  const last = new Map<DeviceId, ReadonlyArray<LinkState>>()
  bus.nats.subscribe(Subjects.link(Subjects.anyDevice), {
    callback: (_, m) => {
      const report = linkReport.decode(m.subject, m.data)
      if (Result.isSuccess(report)) last.set(report.success.device, report.success.links)
    },
  })
  return last
}

describe("the monitor", () => {
  it.live("measures links both ways by probes, tells everybody, and forgets that of a device that left", () =>
    withDevices(2, ({ devices, clients }) =>
      Effect.gen(function* () {
        const [one, two] = devices
        const heard = reports(clients[0]!)
        const told = (from: DeviceId, to: DeviceId) => heard.get(from)?.find((l) => l.peer === to)
        for (const [from, to] of [
          [one!.id, two!.id],
          [two!.id, one!.id],
        ] as const) {
          const isMeasured = () => {
            const link = told(from, to)
            // The same machine: less than any radio takes.
            return link?.source === "probe" && link.confidence > 0 && link.delayMs < 20
          }
          yield* waitUntil(`${from} has measured ${to}`, isMeasured, 20_000)
        }
        yield* two!.leave
        yield* waitUntil("the link is forgotten", () => heard.get(one!.id)?.length === 0, 20_000)
      }),
    ),
  )
})
