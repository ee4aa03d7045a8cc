/**
 * The worker thread in which a device computes. ONNX Runtime computes on the thread that calls it, so every call to it is
 * made here, one job at a time: a device is a serial resource.
 *
 * Emulated devices: the real computation is done at once and its result held until the emulated time has passed. While a
 * result is held no other task starts, but messages are answered and strategies prepared.
 */
import { parentPort, workerData } from "node:worker_threads"
import { availableProviders } from "../../supernet/onnx/Runtime.ts"
import {
  type FromWorker,
  type TaskOutcome,
  type ToWorker,
  WorkerProblem,
  type WorkerSettings,
} from "./EngineProtocol.ts"
import { tidyThread } from "./Garbage.ts"
import { SpareTime } from "./SpareTime.ts"
import { type RunnableStrategy, TaskRunner } from "./TaskRunner.ts"

type RunJob = Extract<ToWorker, { readonly type: "run" }> & { readonly arrived: number }
type PrepareJob = Extract<ToWorker, { readonly type: "prepare" }>

const port = parentPort
if (port === null) throw new Error("EngineWorker runs as a worker thread; see Engine.ts")
const runner = new TaskRunner(workerData as WorkerSettings)
const strategies = new Map<string, RunnableStrategy>()
const prepares: Array<PrepareJob> = []
const runs: Array<RunJob> = []
let working = false
let holding = false
let stopping = false
/** The strategy that is being prepared, and the request whose task is being computed, until they are given up meanwhile. */
let preparing: string | undefined
let computing: string | undefined
const spare = new SpareTime()
let idleTimer: NodeJS.Timeout | undefined

const send = (message: FromWorker, transfer: ReadonlyArray<ArrayBuffer> = []) =>
  port.postMessage(message, [...transfer])

const fail = (id: number, cause: unknown) => {
  const reason = cause instanceof Error ? cause.message : String(cause)
  send({
    type: "failed",
    id,
    problem: cause instanceof WorkerProblem ? cause.problem : "ComputeFailed",
    reason,
  })
}

const forgotten = (strategyId: string) =>
  new WorkerProblem("StrategyNotPrepared", `strategy ${strategyId} was forgotten`)

const prepare = async ({ id, strategyId, strategy, device, lazy }: PrepareJob) => {
  try {
    preparing = strategyId
    const [prepared, timings] = await runner.prepare(strategy, device, lazy)
    if (preparing !== strategyId) throw forgotten(strategyId)
    strategies.set(strategyId, prepared)
    send({ type: "prepared", id, timings })
  } catch (cause) {
    fail(id, cause)
  }
}

const sendOutcome = (id: number, outcome: TaskOutcome) =>
  send(
    { type: "done", id, outcome },
    outcome.outgoing.map((piece) => piece.data),
  )

/** Timers are good to a millisecond; the last part is slept on the thread, which is precise and costs no cycles. */
const clock = new Int32Array(new SharedArrayBuffer(4))
const heldSleepMs = 1.5
const at = (dueMs: number, then: () => void) => {
  const finish = () => {
    const left = dueMs - performance.now()
    if (left > heldSleepMs) {
      setTimeout(finish, left - heldSleepMs)
      return
    }
    if (left > 0) Atomics.wait(clock, 0, 0, left)
    then()
  }
  finish()
}

const run = async (job: RunJob) => {
  const start = performance.now()
  try {
    const prepared = strategies.get(job.strategyId)
    if (prepared === undefined) throw new WorkerProblem("StrategyNotPrepared", `strategy ${job.strategyId}`)
    computing = job.requestId
    const outcome = await runner.run(prepared, job.requestId, job.task, job.pieces)
    if (computing !== job.requestId) runner.activations.drop(job.requestId)
    const done = performance.now()
    spare.ran(done)
    const due = start + job.emulatedMs
    const queueMs = start - job.arrived
    if (due <= done) {
      const overrunMs = job.emulatedMs > 0 ? done - due : 0
      return sendOutcome(job.id, { ...outcome, timings: { ...outcome.timings, queueMs, overrunMs } })
    }
    holding = true
    at(due, () => {
      const heldMs = performance.now() - done
      sendOutcome(job.id, { ...outcome, timings: { ...outcome.timings, queueMs, heldMs } })
      holding = false
      spare.ran(performance.now())
      void work()
    })
  } catch (cause) {
    fail(job.id, cause)
  }
}

/** Highest priority first, then first come, first served. */
const nextRun = (): RunJob | undefined => {
  let best = 0
  for (const [i, job] of runs.entries()) if (job.priority > (runs[best]?.priority ?? 0)) best = i
  return runs.splice(best, 1)[0]
}

const idle = async (isBusy: boolean) => {
  if (working || holding || stopping) return
  working = true
  let more = false
  const start = performance.now()
  try {
    more = await runner.tiers.improve(isBusy)
  } catch {
    // Only a shortcut failed. The same session is built again, and its error reported, when a task needs it.
  }
  if (more) spare.built(start, performance.now())
  working = false
  if (stopping || prepares.length + runs.length > 0) return work()
  if (more || isBusy) idleLater()
}

/** Builds ahead when there is time to. */
const idleLater = () => {
  const { inMs, isBusy } = spare.next(performance.now())
  idleTimer = setTimeout(() => void idle(isBusy), inMs)
}

const work = async (): Promise<void> => {
  if (working) return
  working = true
  clearTimeout(idleTimer)
  let hasPrepared = false
  for (;;) {
    // Where both wait they take turns: many new strategies do not hold up what runs.
    const runsFirst: boolean = hasPrepared && !holding && runs.length > 0
    const prepareJob: PrepareJob | undefined = runsFirst ? undefined : prepares.shift()
    hasPrepared = prepareJob !== undefined
    const runJob = prepareJob === undefined && !holding ? nextRun() : undefined
    if (stopping) return leave()
    if (prepareJob !== undefined) await prepare(prepareJob)
    else if (runJob !== undefined) await run(runJob)
    else break
  }
  working = false
  if (!holding) idleLater()
}

/** Ends the thread between two native calls: ending it inside one would abort the process. */
const leave = async () => {
  clearTimeout(idleTimer)
  await runner.release()
  process.exit(0)
}

const cancel = (id: number) => {
  const i = runs.findIndex((job) => job.id === id)
  if (i >= 0) runs.splice(i, 1)
}

const drop = (requestId: string) => {
  runner.activations.drop(requestId)
  if (computing === requestId) computing = undefined
  for (const job of runs.filter((j) => j.requestId === requestId)) {
    cancel(job.id)
    fail(job.id, new WorkerProblem("MissingActivation", `request ${requestId} was dropped`))
  }
}

const forget = (strategyId: string) => {
  strategies.delete(strategyId)
  if (preparing === strategyId) preparing = undefined
  for (const job of prepares.filter((p) => p.strategyId === strategyId)) {
    prepares.splice(prepares.indexOf(job), 1)
    fail(job.id, forgotten(strategyId))
  }
}

const stats = (id: number) => {
  const { requests, bytes, evicted } = runner.activations.stats
  const queued = runs.length + prepares.length
  const counts = { strategies: strategies.size, queued, ahead: runner.tiers.ahead }
  const waiting = { waitingRequests: requests, waitingBytes: bytes, evictedRequests: evicted }
  send({ type: "stats", id, stats: { ...runner.tiers.pool.stats, ...counts, ...waiting } })
}

await runner.warmUp()
send({ type: "started", providers: availableProviders() })
port.on("message", (message: ToWorker) => {
  if (message.type === "forget") forget(message.strategyId)
  else if (message.type === "cancel") cancel(message.id)
  else if (message.type === "drop") drop(message.requestId)
  else if (message.type === "stats") stats(message.id)
  else {
    if (message.type === "run") runs.push({ ...message, arrived: performance.now() })
    else if (message.type === "prepare") prepares.push(message)
    else stopping = true
    void work()
  }
})
void work()
tidyThread(() => working || holding || runs.length + prepares.length > 0)
