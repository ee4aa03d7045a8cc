/** The profiles that come with the project, one JSON file each beside this one. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Result, Schema } from "effect"
import type { DeviceProfile } from "./DeviceProfile.ts"
import { decodeProfile } from "./ProfileSchema.ts"

export const shippedProfileNames = [
  "raspberry-pi-4",
  "raspberry-pi-5",
  "raspberry-pi-3",
  "raspberry-pi-zero-2-w",
  "jetson-nano",
  "gtx-1080-desktop",
] as const
export type ShippedProfileName = (typeof shippedProfileNames)[number]

export class UnknownProfile extends Schema.TaggedError<UnknownProfile>()("UnknownProfile", {
  profile: Schema.String,
  known: Schema.Array(Schema.String),
  reason: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}) {
  override get message() {
    return `profile ${this.profile}: ${this.reason}. ${this.hint}`
  }
}

const unknown = (profile: string, reason: string) =>
  new UnknownProfile({
    profile,
    known: shippedProfileNames,
    reason,
    retryable: false,
    hint: `Shipped: ${shippedProfileNames.join(", ")}. \`murmuration profile\` measures the machine it runs on; its file is accepted as a path.`,
  })

const isShipped = (name: string): name is ShippedProfileName =>
  (shippedProfileNames as ReadonlyArray<string>).includes(name)

const cache = new Map<string, DeviceProfile>()

/** Reads and checks one profile file. */
const readProfile = (path: string): Result.Result<DeviceProfile, UnknownProfile> => {
  try {
    const decoded = decodeProfile(JSON.parse(readFileSync(path, "utf8")))
    return Result.mapError(decoded, (e) => unknown(path, e.message))
  } catch (error) {
    return Result.fail(unknown(path, error instanceof Error ? error.message : String(error)))
  }
}

/** A shipped profile by name, or a profile file by path (anything ending in `.json`). */
export const profileNamed = (name: string): Result.Result<DeviceProfile, UnknownProfile> => {
  const cached = cache.get(name)
  if (cached !== undefined) return Result.succeed(cached)
  if (name.endsWith(".json")) return readProfile(name)
  if (!isShipped(name)) return Result.fail(unknown(name, "there is no such profile"))
  const read = readProfile(join(import.meta.dirname, `${name}.json`))
  if (Result.isSuccess(read)) cache.set(name, read.success)
  return read
}

/** A profile that comes with the project; it is there and valid (a test sees to it). */
export const shippedProfile = (name: ShippedProfileName): DeviceProfile =>
  Result.getOrThrow(profileNamed(name))
