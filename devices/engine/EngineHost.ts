/**
 * The main thread's side of an engine worker: calls with replies, restart after a crash with the prepared strategies put
 * back. Promises here; `Engine.ts` makes it an Effect service.
 */
import { Worker } from "node:worker_threads"
import { errorText } from "../../supernet/ErrorText.ts"
import type { Strategy } from "../../supernet/Strategy.ts"
import type {
  EngineStats,
  FromWorker,
  PrepareTimings,
  Problem,
  TaskOutcome,
  ToWorker,
  WorkerSettings,
} from "./EngineProtocol.ts"

/** Why a call failed. `EngineCrashed`: the worker died under it. `EngineStopped`: it will not come back. */
export class EngineFailure extends Error {
  readonly problem: Problem | "EngineCrashed" | "EngineStopped"
  constructor(problem: EngineFailure["problem"], message: string) {
    super(message)
    this.problem = problem
  }
}

interface Pending {
  readonly resolve: (reply: FromWorker) => void
  readonly reject: (failure: EngineFailure) => void
}

interface Prepared {
  readonly strategy: Strategy
  readonly device: number
}

/** A call as it leaves the caller; the host adds the id. */
type Call<Type extends ToWorker["type"]> = Omit<Extract<ToWorker, { readonly type: Type }>, "type" | "id">

/** More crashes than this in a minute, and the engine gives up: something is wrong that a restart does not mend. */
const crashesPerMinute = 5

export interface Reply<A> {
  readonly id: number
  readonly promise: Promise<A>
}

export class EngineHost {
  readonly #settings: WorkerSettings
  readonly #pending = new Map<number, Pending>()
  readonly #prepared = new Map<string, Prepared>()
  #worker: Worker
  #nextId = 1
  #crashes: Array<number> = []
  #restarts = 0
  #stopped: string | undefined
  #lastError: string | undefined
  #exited: Promise<void> = Promise.resolve()
  readonly #givenUp = Promise.withResolvers<EngineFailure>()

  constructor(settings: WorkerSettings) {
    this.#settings = settings
    this.#worker = this.#start()
  }

  #start(): Worker {
    const worker = new Worker(new URL("./EngineWorker.ts", import.meta.url), { workerData: this.#settings })
    worker.on("message", (reply: FromWorker) => this.#receive(reply))
    worker.on("error", (error) => {
      this.#lastError = errorText(error)
    })
    this.#exited = new Promise((resolve) => {
      worker.on("exit", () => {
        if (this.#stopped === undefined && worker === this.#worker) this.#restart()
        resolve()
      })
    })
    // A device lives as long as its actors; the engine alone does not keep the process up.
    worker.unref()
    return worker
  }

  #receive(reply: FromWorker): void {
    if (reply.type === "started") return
    const pending = this.#pending.get(reply.id)
    this.#pending.delete(reply.id)
    if (this.#pending.size === 0) this.#worker.unref()
    if (pending === undefined) return
    if (reply.type === "failed") pending.reject(new EngineFailure(reply.problem, reply.reason))
    else pending.resolve(reply)
  }

  #restart(): void {
    const reason = this.#lastError ?? "the worker thread ended"
    const now = performance.now()
    this.#crashes = [...this.#crashes.filter((t) => now - t < 60_000), now]
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    if (this.#crashes.length > crashesPerMinute) {
      this.#stopped = `${this.#crashes.length} crashes within a minute, the last: ${reason}`
      this.#givenUp.resolve(new EngineFailure("EngineStopped", this.#stopped))
    } else {
      this.#restarts++
      this.#lastError = undefined
      this.#worker = this.#start()
      for (const [strategyId, prepared] of this.#prepared) {
        this.#post({ type: "prepare", id: 0, strategyId, ...prepared, lazy: true })
      }
    }
    for (const { reject } of pending) reject(new EngineFailure("EngineCrashed", reason))
  }

  #post(message: ToWorker, transfer: ReadonlyArray<ArrayBuffer> = []): void {
    this.#worker.postMessage(message, [...transfer])
  }

  #call<A>(
    message: (id: number) => ToWorker,
    transfer: ReadonlyArray<ArrayBuffer>,
    answer: (reply: FromWorker) => A | undefined,
  ): Reply<A> {
    const id = this.#nextId++
    const promise = new Promise<A>((resolve, reject) => {
      if (this.#stopped !== undefined) {
        reject(new EngineFailure("EngineStopped", this.#stopped))
        return
      }
      const settle = (reply: FromWorker) => {
        const value = answer(reply)
        if (value === undefined) reject(new EngineFailure("EngineCrashed", `unexpected reply ${reply.type}`))
        else resolve(value)
      }
      if (transfer.some((buffer) => buffer.detached)) {
        reject(new EngineFailure("BadPieces", "a piece's buffer was handed over before"))
        return
      }
      this.#pending.set(id, { resolve: settle, reject })
      this.#worker.ref()
      this.#post(message(id), transfer)
    })
    return { id, promise }
  }

  prepare(call: Call<"prepare">): Reply<PrepareTimings> {
    this.#prepared.set(call.strategyId, { strategy: call.strategy, device: call.device })
    return this.#call(
      (id) => ({ type: "prepare", id, ...call }),
      [],
      (reply) => (reply.type === "prepared" ? reply.timings : undefined),
    )
  }

  forget(strategyId: string): void {
    if (this.#prepared.delete(strategyId)) this.#post({ type: "forget", strategyId })
  }

  /** The pieces' buffers go to the worker: they are empty afterwards. */
  run(call: Call<"run">): Reply<TaskOutcome> {
    return this.#call(
      (id) => ({ type: "run", id, ...call }),
      call.pieces.map((piece) => piece.data),
      (reply) => (reply.type === "done" ? reply.outcome : undefined),
    )
  }

  /** Takes a call back. A task that has started still runs; its result is thrown away. */
  cancel(id: number): void {
    if (!this.#pending.delete(id)) return
    this.#post({ type: "cancel", id })
    if (this.#pending.size === 0) this.#worker.unref()
  }

  drop(requestId: string): void {
    this.#post({ type: "drop", requestId })
  }

  stats(): Reply<EngineStats> {
    return this.#call(
      (id) => ({ type: "stats", id }),
      [],
      (reply) => (reply.type === "stats" ? reply.stats : undefined),
    )
  }

  /** Resolves when the worker has crashed so often that it is not started again. */
  get givenUp(): Promise<EngineFailure> {
    return this.#givenUp.promise
  }

  get restarts(): number {
    return this.#restarts
  }

  /** The thread itself; tests end it to see the engine come back. */
  get worker(): Worker {
    return this.#worker
  }

  async stop(): Promise<void> {
    this.#stopped = "the engine was closed"
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject } of pending) reject(new EngineFailure("EngineStopped", this.#stopped))
    // Not `terminate`: ending the thread inside a call of ONNX Runtime would abort the process.
    this.#worker.ref()
    this.#post({ type: "stop" })
    await this.#exited
  }
}
