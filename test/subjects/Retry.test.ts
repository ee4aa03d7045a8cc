import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import { BusDown, Late, NobodyListens, Refused } from "../../subjects/BusErrors.ts"
import { mayPass, retried } from "../../subjects/Retry.ts"

const subject = "infer.request"
const nobody = new NobodyListens({ subject })
const refused = (tag: string, retryable: boolean) =>
  new Refused({ subject, tag, detail: "", retryable, hint: "" })

type Failure = NobodyListens | Refused
type Answer = Effect.Effect<string, Failure>

/** Answers the first message with the first of these, and so on; remembers what was asked. */
const answering = (...answers: ReadonlyArray<Answer>) => {
  const asked: Array<{ readonly leftMs: number; readonly isFirst: boolean }> = []
  const ask = (leftMs: number, isFirst: boolean): Answer =>
    Effect.suspend(() => {
      asked.push({ leftMs, isFirst })
      return answers[asked.length - 1] ?? Effect.fail(nobody)
    })
  return { asked, ask }
}

describe("asking again", () => {
  it("can help where an error may pass, and where there is time left", () => {
    assert.isTrue(mayPass(nobody))
    assert.isTrue(mayPass(new BusDown({ subject, downMs: 1, server: "", detail: "" })))
    assert.isTrue(mayPass(refused("Leaving", true)))
    assert.isTrue(mayPass(refused("SomethingNew", true)))
    assert.isFalse(mayPass(refused("DeadlineExpired", true)))
    assert.isFalse(mayPass(refused("BadImage", false)))
    assert.isFalse(mayPass(new Late({ subject, timeoutMs: 1 })))
  })

  it.live("goes on until there is an answer, with the time that is left", () =>
    Effect.gen(function* () {
      const bus = answering(Effect.fail(nobody), Effect.fail(refused("Leaving", true)), Effect.succeed("cat"))
      assert.strictEqual(yield* retried(bus.ask, { attempts: 4, deadlineMs: 20_000 }), "cat")
      assert.deepStrictEqual(
        bus.asked.map((a) => a.isFirst),
        [true, false, false],
      )
      const left = bus.asked.map((a) => a.leftMs)
      assert.deepStrictEqual(
        left,
        left.toSorted((a, b) => b - a),
      )
      assert.isAtMost(Math.max(...left), 20_000)
    }),
  )

  it.live("asks again beside a silence that follows errors, which have not used up what silence needs", () =>
    Effect.gen(function* () {
      const quick = Effect.fail(nobody)
      const bus = answering(quick, quick, quick, Effect.never, Effect.succeed("cat"))
      assert.strictEqual(yield* retried(bus.ask, { attempts: 4, deadlineMs: 3000 }), "cat")
      assert.lengthOf(bus.asked, 5)
    }),
  )

  it.live("ends with the error that stays, after so many messages, or at the deadline", () =>
    Effect.gen(function* () {
      const stays = answering(Effect.fail(refused("BadImage", false)))
      const error = yield* Effect.flip(retried(stays.ask, { attempts: 4, deadlineMs: 20_000 }))
      assert.strictEqual(error._tag === "Refused" ? error.tag : error._tag, "BadImage")
      assert.lengthOf(stays.asked, 1)
      const never = answering()
      const gaveUp = yield* Effect.flip(retried(never.ask, { attempts: 3, deadlineMs: 20_000 }))
      assert.strictEqual(gaveUp._tag, "NobodyListens")
      assert.lengthOf(never.asked, 3)
      const startMs = performance.now()
      yield* Effect.flip(retried(answering().ask, { attempts: 1000, deadlineMs: 300 }))
      assert.isBelow(performance.now() - startMs, 5000)
      const once = answering()
      yield* Effect.flip(retried(once.ask, { attempts: 1, deadlineMs: 20_000 }))
      assert.lengthOf(once.asked, 1)
    }),
  )

  it.live("happens beside messages that stay unanswered, and the first answer counts", () =>
    Effect.gen(function* () {
      const dead = answering(Effect.never, Effect.succeed("from another device"))
      const answer = yield* retried(dead.ask, { attempts: 4, deadlineMs: 2500 })
      assert.strictEqual(answer, "from another device")
      assert.lengthOf(dead.asked, 2)
      const slow = answering(Effect.delay(Effect.succeed("slow"), 1300), Effect.never)
      assert.strictEqual(yield* retried(slow.ask, { attempts: 4, deadlineMs: 2400 }), "slow")
      assert.lengthOf(slow.asked, 2)
    }),
  )

  it.live("goes on where a second message is lost too", () =>
    Effect.gen(function* () {
      const twice = answering(Effect.never, Effect.never, Effect.succeed("at last"))
      assert.strictEqual(yield* retried(twice.ask, { attempts: 4, deadlineMs: 4500 }), "at last")
      const refusing = answering(Effect.never, Effect.fail(nobody), Effect.succeed("after a refusal"))
      assert.strictEqual(yield* retried(refusing.ask, { attempts: 4, deadlineMs: 2500 }), "after a refusal")
    }),
  )
})
