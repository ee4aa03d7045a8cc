/**
 * The profiles that a device can plan with, by name: its own, the shipped ones, and those that its peers have published.
 * Grows while the device runs; what is in it is never changed, because devices of one name have to mean the same speed.
 */
import { createHash } from "node:crypto"
import type { DeviceProfile } from "./DeviceProfile.ts"

/** Profiles of others that are kept beside the ones a device starts with. */
const mostLearned = 64

/** added; known: there already, word for word; other: the name stands for another speed here; full: no room. */
export type Learned = "added" | "known" | "other" | "full"

export class ProfileBook {
  private readonly profiles: Map<string, DeviceProfile>
  /** Devices whose own profile contradicts the one of its name here, and that name. */
  private readonly misnamed = new Map<string, string>()
  private readonly most: number

  /** Where two have one name the first counts. */
  constructor(profiles: ReadonlyArray<DeviceProfile>) {
    this.profiles = new Map(profiles.toReversed().map((p) => [p.name, p]))
    this.most = this.profiles.size + mostLearned
  }

  get size(): number {
    return this.profiles.size
  }

  get(name: string): DeviceProfile | undefined {
    return this.profiles.get(name)
  }

  /** Whether a device that names this profile is planned with rightly: it is known, and the device means the same by it. */
  describes(device: string, name: string): boolean {
    return this.profiles.has(name) && this.misnamed.get(device) !== name
  }

  all(): ReadonlyArray<DeviceProfile> {
    return [...this.profiles.values()]
  }

  /** What `learn` would say. */
  judge(profile: DeviceProfile): Learned {
    const known = this.profiles.get(profile.name)
    if (known !== undefined) return isSameSpeed(known, profile) ? "known" : "other"
    return this.profiles.size >= this.most ? "full" : "added"
  }

  /** The same about a device's own profile; where the name stands for another speed here, that is remembered of the device. */
  judgeOwn(device: string, profile: DeviceProfile): Learned {
    const verdict = this.judge(profile)
    if (verdict === "other") this.misnamed.set(device, profile.name)
    else this.misnamed.delete(device)
    return verdict
  }

  learn(profile: DeviceProfile): Learned {
    const verdict = this.judge(profile)
    if (verdict === "added") this.profiles.set(profile.name, profile)
    return verdict
  }
}

/** Whether two profiles predict the same; where their numbers come from makes no difference. */
const isSameSpeed = (a: DeviceProfile, b: DeviceProfile): boolean => numbers(a) === numbers(b)

/** The profile under a name that tells its numbers: a device that is measured again is of another type, as is another device. */
export const namedByNumbers = (profile: DeviceProfile): DeviceProfile => {
  const digest = createHash("sha256").update(numbers(profile)).digest("hex").slice(0, 8)
  return { ...profile, name: `${profile.name}-${digest}` }
}

const numbers = (profile: DeviceProfile): string =>
  JSON.stringify(
    Object.entries(profile)
      .filter(([field]) => field !== "name" && field !== "provenance" && field !== "title")
      .sort(([x], [y]) => (x < y ? -1 : 1)),
  )
