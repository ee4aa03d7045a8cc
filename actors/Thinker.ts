/** Asks the planning thread, and gives it up and starts another when it dies. */
import { Worker } from "node:worker_threads"
import { Context, Effect, Layer } from "effect"
import type { Decision } from "../policies/Decision.ts"
import { refusal, type Refusal } from "../subjects/ErrorReply.ts"
import type { Answer, Question, ThinkerSettings } from "./PlannerWorker.ts"

export interface ThinkerShape {
  /** Thinks for about `budgetMs`. Questions are answered in order. */
  readonly decide: (question: Omit<Question, "id">) => Effect.Effect<Decision, Refusal>
  /** Questions that wait or are being thought about. */
  readonly pending: () => number
}

type Resume = (answer: Effect.Effect<Decision, Refusal>) => void

class Thread {
  private worker: Worker
  private readonly settings: ThinkerSettings
  private readonly waiting = new Map<number, Resume>()
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
      const resume = this.waiting.get(answer.id)
      this.waiting.delete(answer.id)
      resume?.(
        "decision" in answer
          ? Effect.succeed(answer.decision)
          : Effect.fail(refusal("Internal", answer.failure)),
      )
    })
    worker.on("error", (error: unknown) => this.lose(error instanceof Error ? error.message : String(error)))
    return worker
  }

  private lose(reason: string): void {
    const lost = [...this.waiting.values()]
    this.waiting.clear()
    if (!this.stopped) this.worker = this.start()
    for (const resume of lost)
      resume(Effect.fail(refusal("Internal", `the planning thread ended: ${reason}`, "", true)))
  }

  ask(question: Omit<Question, "id">, resume: Resume): () => void {
    const id = ++this.lastId
    this.waiting.set(id, resume)
    this.worker.postMessage({ id, ...question })
    return () => void this.waiting.delete(id)
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.worker.terminate()
  }
}

export class Thinker extends Context.Service<Thinker, ThinkerShape>()("actors/Thinker") {
  static readonly layer = (settings: ThinkerSettings) =>
    Layer.effect(
      Thinker,
      Effect.acquireRelease(
        Effect.sync(() => new Thread(settings)),
        (thread) => Effect.promise(() => thread.stop()),
      ).pipe(
        Effect.map((thread) =>
          Thinker.of({
            decide: (question) =>
              Effect.callback((resume) => {
                const forget = thread.ask(question, resume)
                return Effect.sync(forget)
              }),
            pending: () => thread.pending,
          }),
        ),
      ),
    )
}
