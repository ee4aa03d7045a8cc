/** Decisions that are remembered: by the bucket of the condition that they were made for, the least recently used goes. */
import type { Condition, Slo } from "../policies/Condition.ts"
import type { PolicyArtifact } from "../policies/PolicyArtifact.ts"

/** Which policies are in use; the same text on every device that uses the same. */
export const versionsOf = (policies: ReadonlyMap<string, PolicyArtifact>): string =>
  [...policies.values()]
    .map(({ manifest }) => `${manifest.name}@${manifest.version}`)
    .sort()
    .join(" ")

/**
 * Bucket of a condition: links count as the same within a tenth of a decade (26 %), delays within a quarter or half a
 * millisecond; SLOs exactly, because clients repeat them. Another policy starts anew.
 */
export const bucketOf = (
  condition: Condition,
  slo: Slo,
  policies: ReadonlyMap<string, PolicyArtifact>,
): string => {
  const links = condition.devices.map(
    (d) =>
      `${d.id}:${d.type}:${Math.round(Math.log10(d.bandwidthMbps) * 10)}:${Math.round(Math.log1p(d.delayMs * 2) * 4)}`,
  )
  return `${slo.kind}:${slo.kind === "latency" ? slo.latencyMs : slo.accuracy}|${links.join("|")}|${versionsOf(policies)}`
}

/** A bounded map that forgets what was not used for longest. */
export const lru = <A>(capacity: number) => {
  const map = new Map<string, A>()
  return {
    get: (key: string) => {
      const value = map.get(key)
      if (value !== undefined) {
        map.delete(key)
        map.set(key, value)
      }
      return value
    },
    set: (key: string, value: A) => {
      map.delete(key)
      map.set(key, value)
      if (map.size > capacity) map.delete(map.keys().next().value ?? "")
    },
    values: () => [...map.values()],
    clear: () => map.clear(),
  }
}
