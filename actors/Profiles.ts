/**
 * Shares device profiles through the bucket `devices`: publishes this device's own under its id, and learns those of peers,
 * so that a swarm of measured devices can plan with each other without copying files. Planning goes on without the hub,
 * with what is known.
 */
import { Context, Effect, Layer, Option, Result, Schedule, Stream } from "effect"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import { decodeProfile } from "../devices/profiles/ProfileSchema.ts"
import type { ProfileBook } from "../devices/profiles/ProfileBook.ts"
import { type Change, openBucket } from "../subjects/Buckets.ts"
import { deviceRecord } from "../subjects/Codecs.ts"
import { lasting, lastingEach } from "../subjects/Lasting.ts"
import type { DeviceRecord } from "../subjects/Manifests.ts"
import { Self, type SelfShape } from "./Self.ts"
import { Thinker, type ThinkerShape } from "./Thinker.ts"

export interface ProfilesShape {
  /** Names that can be planned with now. */
  readonly book: ProfileBook
}

/** Tries to publish at these distances at most, until the hub has it. */
const retries = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("30 seconds")])

/** A planning thread that ends is there again in a moment; one that does not learn in half a minute is broken. */
const learnAgain = { schedule: Schedule.exponential("1 second"), times: 5 }

/** Gives the function that takes in what a device says about its own speed. */
export const learning = (
  book: ProfileBook,
  thinker: Pick<ThinkerShape, "learn">,
  self: Pick<SelfShape, "noteError">,
) => {
  const refused = (device: string, { name }: DeviceProfile, why: string) =>
    Effect.suspend(() => {
      self.noteError("ProfileRefused", `profile ${name} of ${device}: ${why}`)
      return Effect.logWarning(`profile ${name} of ${device} is not used: ${why}`)
    })
  return Effect.fnUntraced(function* (device: string, profile: DeviceProfile) {
    const verdict = book.judgeOwn(device, profile)
    if (verdict === "known") return
    if (verdict === "full") return yield* refused(device, profile, "too many profiles")
    if (verdict === "other") return yield* refused(device, profile, "that name means another speed here")
    // The planning thread first: conditions with this type are only made once the book has it.
    const learned = yield* Effect.result(
      thinker.learn(profile).pipe(
        Effect.tapError((e) => Effect.logWarning(`not learned: ${e.detail}`)),
        Effect.retry(learnAgain),
      ),
    )
    if (learned._tag === "Failure") return yield* refused(device, profile, learned.failure.detail)
    book.learn(profile)
    yield* Effect.logInfo(`learned profile ${profile.name} from ${device}`)
  })
}

const make = (book: ProfileBook) =>
  Effect.gen(function* () {
    const self = yield* Self
    const thinker = yield* Thinker
    const bucket = yield* openBucket("devices", deviceRecord)

    const record: DeviceRecord = {
      device: self.device,
      hostname: self.identity.hostname,
      profile: self.profile,
    }
    const publish = Effect.gen(function* () {
      const there = yield* bucket
        .get(self.device)
        .pipe(Effect.catchTag("BadMessage", () => Effect.succeedNone))
      const isThere =
        Option.isSome(there) && JSON.stringify(there.value.value.profile) === JSON.stringify(self.profile)
      if (!isThere) yield* bucket.put(self.device, record)
    })

    const learn = learning(book, thinker, self)
    const onChange = (change: Change<DeviceRecord>) => {
      if (change._tag !== "Put" || change.key === self.device) return Effect.void
      const decoded = decodeProfile(change.value.profile)
      return Result.isSuccess(decoded)
        ? learn(change.key, decoded.success)
        : Effect.logWarning(`profile of ${change.key} is unreadable: ${decoded.failure.message}`)
    }
    yield* lasting("own profile", Effect.retry(publish, retries)).pipe(Effect.forkScoped)
    yield* bucket.changes.pipe(Stream.runForEach(lastingEach("profiles", onChange)), Effect.forkScoped)
    return Profiles.of({ book })
  })

export class Profiles extends Context.Service<Profiles, ProfilesShape>()("actors/Profiles") {
  static readonly layer = (book: ProfileBook) => Layer.effect(Profiles, make(book))
}
