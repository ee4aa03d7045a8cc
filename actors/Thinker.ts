/**
 * Asks the planning thread; starts another when it dies, and tells that one the policies again. One that dies again and again
 * is left alone: the device goes on with the strategies that it knows.
 */
import { Worker } from "node:worker_threads"
import { Context, Effect, Layer } from "effect"
import type { DeviceProfile } from "../devices/profiles/DeviceProfile.ts"
import type { Decision } from "../policies/Decision.ts"
import { type PolicyArtifact, PolicyRefused } from "../policies/PolicyArtifact.ts"
import { refusal, type Refusal } from "../subjects/ErrorReply.ts"
import { errorText } from "../supernet/ErrorText.ts"
import type { Adopt, Answer, Learn, Question, ThinkerSettings } from "./PlannerWorker.ts"

export type Query = Omit<Question, "id" | "type">

export interface ThinkerShape {
  /** Thinks for about `budgetMs`, less where a policy knows the answer. Questions are answered in order. */
  readonly decide: (query: Query) => Effect.Effect<Decision, Refusal>
  /** From the next question on this policy is used; one that cannot run changes nothing. */
  readonly adopt: (policy: PolicyArtifact) => Effect.Effect<void, PolicyRefused>
  /** From the next question on conditions may have devices of this type. */
  readonly learn: (profile: DeviceProfile) => Effect.Effect<void, Refusal>
  /** Policies in use, by name. */
  readonly policies: () => ReadonlyMap<string, PolicyArtifact>
  /** Questions that wait or are being thought about. */
  readonly pending: () => number
}

/** More deaths than this in a minute: something is wrong that another start does not mend. */
const deathsPerMinute = 5

class Thread {
  /** Absent once it has died too often. */
  private worker: Worker | undefined
  private deaths: ReadonlyArray<number> = []
  private settings: ThinkerSettings
  private readonly waiting = new Map<number, (answer: Answer) => void>()
  readonly policies = new Map<string, PolicyArtifact>()
  private lastId = 0
  private stopped = false

  constructor(settings: ThinkerSettings) {
    this.settings = settings
    this.worker = this.start()
  }

  get pending(): number {
    return this.waiting.size
  }

  private start(): Worker {
    const worker = new Worker(new URL("./PlannerWorker.ts", import.meta.url), { workerData: this.settings })
    worker.unref()
    worker.on("message", (answer: Answer) => {
      const answered = this.waiting.get(answer.id)
      this.waiting.delete(answer.id)
      answered?.(answer)
    })
    worker.on("error", (error: unknown) => this.lose(errorText(error)))
    return worker
  }

  private lose(reason: string): void {
    const lost = [...this.waiting]
    this.waiting.clear()
    const nowMs = performance.now()
    this.deaths = [...this.deaths.filter((atMs) => nowMs - atMs < 60_000), nowMs]
    if (this.stopped || this.deaths.length > deathsPerMinute) this.worker = undefined
    else {
      this.worker = this.start()
      for (const policy of this.policies.values()) this.send({ type: "adopt", policy }, () => undefined)
    }
    for (const [id, answered] of lost)
      answered({ type: "failed", id, failure: `the planning thread ended: ${reason}` })
  }

  /** Gives a function that forgets the question. */
  send(
    message: Omit<Question, "id"> | Omit<Adopt, "id"> | Omit<Learn, "id">,
    answered: (answer: Answer) => void,
  ): () => void {
    const id = ++this.lastId
    if (this.worker === undefined) {
      answered({ type: "failed", id, failure: "the planning thread died too often" })
      return () => undefined
    }
    this.waiting.set(id, answered)
    this.worker.postMessage({ id, ...message })
    return () => void this.waiting.delete(id)
  }

  /** A thread that has to be started again starts with what this one has learned. */
  learned(profile: DeviceProfile): void {
    this.settings = { ...this.settings, profiles: [...this.settings.profiles, profile] }
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.worker?.terminate()
  }
}

const over = (thread: Thread): ThinkerShape => ({
  decide: (query) =>
    Effect.callback((resume) => {
      const forget = thread.send({ type: "decide", ...query }, (answer) => {
        if (answer.type === "decided") return resume(Effect.succeed(answer.decision))
        const why = answer.type === "failed" ? answer.failure : "an answer to another question"
        resume(Effect.fail(refusal("Internal", `no decision: ${why}`, "send the request again", true)))
      })
      return Effect.sync(forget)
    }),
  adopt: (policy) =>
    Effect.callback((resume) => {
      const { name, version } = policy.manifest
      thread.send({ type: "adopt", policy }, (answer) => {
        if (answer.type === "adopted") {
          thread.policies.set(name, policy)
          return resume(Effect.void)
        }
        const problem = answer.type === "failed" ? answer.failure : "an answer to another question"
        resume(Effect.fail(new PolicyRefused({ policy: name, version, problems: [problem] })))
      })
    }),
  learn: (profile) =>
    Effect.callback((resume) => {
      thread.send({ type: "learn", profile }, (answer) => {
        if (answer.type !== "failed") {
          thread.learned(profile)
          return resume(Effect.void)
        }
        const detail = `profile ${profile.name}: ${answer.failure}`
        resume(Effect.fail(refusal("Internal", detail, "see the device's log", false)))
      })
    }),
  policies: () => thread.policies,
  pending: () => thread.pending,
})

export class Thinker extends Context.Service<Thinker, ThinkerShape>()("actors/Thinker") {
  static readonly layer = (settings: ThinkerSettings) =>
    Layer.effect(
      Thinker,
      Effect.acquireRelease(
        Effect.sync(() => new Thread(settings)),
        (thread) => Effect.promise(() => thread.stop()),
      ).pipe(Effect.map((thread) => Thinker.of(over(thread)))),
    )
}
