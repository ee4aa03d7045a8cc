/**
 * What each user may publish and subscribe to. A device's grants apply to its whole leaf link, at the hub: whatever runs
 * behind the leaf can do no more.
 *
 * Two properties of nats-server 2.9 shape the lists. A leaf only hears of subscriptions that lie within its own publish
 * grants, so the grants are wide (`tile.*.*`) and a deny list takes away the forms that carry another device's id. And a
 * queue subscription needs a grant with a wildcard (`infer.>`), the literal does not pass (nats-server #6281).
 */
import type { DeviceId } from "../subjects/DeviceId.ts"
import { buckets, clientInbox, hubDomain, objectStore, servicesPrefix } from "../subjects/Subjects.ts"

export interface Grants {
  readonly publish: { readonly allow: ReadonlyArray<string>; readonly deny: ReadonlyArray<string> }
  readonly subscribe: { readonly allow: ReadonlyArray<string>; readonly deny: ReadonlyArray<string> }
}

/** Replies to requests: the inboxes of devices and operators, those of clients, and the servers' own rewritten form. */
const replies = ["_INBOX.>", `${clientInbox}.>`, "_R_.>"]
/** What devices say to all. */
const announcements = ["link.*", "forecast.*", "swarm.*"]
const services = `${servicesPrefix}.>`

/** Reading one stream (a bucket or the object store) of the hub, through its domain. */
const reading = (stream: string): ReadonlyArray<string> => {
  const api = `$JS.${hubDomain}.API`
  return [
    `${api}.STREAM.INFO.${stream}`,
    `${api}.STREAM.MSG.GET.${stream}`,
    `${api}.DIRECT.GET.${stream}`,
    `${api}.DIRECT.GET.${stream}.>`,
    `${api}.CONSUMER.CREATE.${stream}`,
    `${api}.CONSUMER.CREATE.${stream}.>`,
    `${api}.CONSUMER.DELETE.${stream}.>`,
    `${api}.CONSUMER.INFO.${stream}.>`,
  ]
}

/** A device's link to the hub. It reads all buckets, and writes known-good strategies and its own record. */
export const deviceGrants = (device: DeviceId, all: ReadonlyArray<DeviceId>): Grants => {
  const others = all.filter((d) => d !== device)
  const streams = [...Object.values(buckets).map((b) => `KV_${b}`), `OBJ_${objectStore}`]
  return {
    publish: {
      allow: [
        "infer.>",
        "reconfig.*",
        "tile.*.*",
        "result.*.*",
        "probe.*",
        ...announcements,
        ...replies,
        services,
        `$JS.${hubDomain}.API.INFO`,
        `$JS.${hubDomain}.API.STREAM.NAMES`,
        ...streams.flatMap(reading),
        `$JS.${hubDomain}.API.$KV.${buckets.strategies}.>`,
        `$JS.${hubDomain}.API.$KV.${buckets.devices}.${device}`,
        "$JS.FC.>",
        "$JS.ACK.>",
      ],
      deny: others.flatMap((d) => [
        `tile.*.${d}`,
        `result.*.${d}`,
        `link.${d}`,
        `forecast.${d}`,
        `swarm.${d}`,
      ]),
    },
    subscribe: {
      allow: [
        "infer.>",
        `plan.${device}`,
        `reconfig.${device}`,
        `tile.${device}.*`,
        `result.${device}.*`,
        `probe.${device}`,
        ...announcements,
        ...replies,
        services,
      ],
      deny: others.map((d) => `infer.${d}.request`),
    },
  }
}

/** A client: asks for inference, looks at the swarm, hears replies to clients alone. */
export const clientGrants: Grants = {
  publish: { allow: ["infer.>", services], deny: [] },
  subscribe: { allow: [`${clientInbox}.>`, ...announcements], deny: [] },
}
