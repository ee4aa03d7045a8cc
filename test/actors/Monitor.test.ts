import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schedule } from "effect"
import { vi } from "vitest"
import { LinkPicture } from "../../actors/LinkPicture.ts"
import { observePing } from "../../devices/links/Estimator.ts"
import type { BusShape } from "../../subjects/Bus.ts"
import { linkReport, swarmMessage } from "../../subjects/Codecs.ts"
import { DeviceId } from "../../subjects/DeviceId.ts"
import type { LinkState } from "../../subjects/LinkMessages.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import { connectAs } from "../support/Buses.ts"
import { withDevices } from "../support/Devices.ts"
import { waitUntil } from "../support/Wait.ts"

vi.setConfig({ testTimeout: 60_000 })

/** Comes for a moment only. */
const brief = DeviceId.make("pi-9")

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

  it.live("forgets a device that said hello, and was gone before anything was measured", () =>
    withDevices(
      1,
      ({ servers, devices: [one] }) =>
        Effect.gen(function* () {
          assert(one !== undefined)
          const bus = yield* connectAs(servers.deviceBus(brief))
          const heard = reports(one.bus)
          const identity = { ...one.self.identity, device: brief, nonce: "another" }
          const hello = { _tag: "Hello", seq: 1, identity, reply: true } as const
          const bytes = swarmMessage.encode({ ...hello, status: one.self.status([], 0, 0, {}) })
          yield* waitUntil("its hello", () => one.membership.table().has(brief)).pipe(
            // The way from leaf to leaf has to become known first.
            Effect.raceFirst(
              Effect.andThen(
                Effect.repeat(bus.publish(Subjects.swarm(brief), bytes), Schedule.spaced(50)),
                Effect.never,
              ),
            ),
          )
          heard.clear()
          yield* waitUntil("a report without it", () => heard.get(one.id)?.length === 0, 20_000)
        }),
      { later: [brief] },
    ),
  )
})

describe("what others say of links", () => {
  it("counts as long as they are here, however many have come and gone", () => {
    const picture = new LinkPicture(() => undefined)
    const [reporter, peer] = [DeviceId.make("pi-2"), DeviceId.make("pi-3")]
    const link = { ...picture.prior(peer), source: "probe", bandwidthAgeMs: 0 } as const
    for (const device of [reporter, peer])
      picture.learn(device, "probe", (path) =>
        observePing(path, { roundTripMs: 1, remoteMs: 0, nowMs: performance.now() }),
      )
    // A report about a device that has left, on its way while everybody forgot that one.
    for (let i = 0; i < 2000; i++)
      picture.hear({ device: reporter, seq: i, links: [{ ...link, peer: DeviceId.make(`gone-${i}`) }] })
    picture.hear({ device: reporter, seq: 2000, links: [link] })
    assert.isTrue(Number.isFinite(picture.witness(peer).measuredMs))
  })
})
