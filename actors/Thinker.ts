/** Asks the planning thread; starts another when it dies, and tells that one the policies again. */
import { Worker } from "node:worker_threads"
import { Context, Effect, Layer } from "effect"
import type { Decision } from "../policies/Decision.ts"
import { type PolicyArtifact, PolicyRefused } from "../policies/PolicyArtifact.ts"
import { refusal, type Refusal } from "../subjects/ErrorReply.ts"
import type { Adopt, Answer, Question, ThinkerSettings } from "./PlannerWorker.ts"

export type Query = Omit<Question, "id" | "type">

export interface ThinkerShape {
  /** Thinks for about `budgetMs`, less where a policy knows the answer. Questions are answered in order. */
  readonly decide: (query: Query) => Effect.Effect<Decision, Refusal>
  /** From the next question on this policy is used; one that cannot run changes nothing. */
  readonly adopt: (policy: PolicyArtifact) => Effect.Effect<void, PolicyRefused>
  /** Policies in use, by name. */
  readonly policies: () => ReadonlyMap<string, PolicyArtifact>
  /** Questions that wait or are being thought about. */
  readonly pending: () => number
}

class Thread {
  private worker: Worker
  private readonly settings: ThinkerSettings
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
    worker.on("error", (error: unknown) => this.lose(error instanceof Error ? error.message : String(error)))
    return worker
  }

  private lose(reason: string): void {
    const lost = [...this.waiting]
    this.waiting.clear()
    if (!this.stopped) {
      this.worker = this.start()
      for (const policy of this.policies.values()) this.send({ type: "adopt", policy }, () => undefined)
    }
    for (const [id, answered] of lost)
      answered({ type: "failed", id, failure: `the planning thread ended: ${reason}` })
  }

  /** Gives a function that forgets the question. */
  send(message: Omit<Question, "id"> | Omit<Adopt, "id">, answered: (answer: Answer) => void): () => void {
    const id = ++this.lastId
    this.waiting.set(id, answered)
    this.worker.postMessage({ id, ...message })
    return () => void this.waiting.delete(id)
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.worker.terminate()
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
