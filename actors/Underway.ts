/**
 * The attempts that this device has a part in: open from the first that arrives of one until its tasks here are done, or
 * nobody waits for it any more. What is done for other devices is in the books meanwhile.
 */
import { Effect } from "effect"
import type { EngineShape } from "../devices/engine/Engine.ts"
import type { PreparedStrategy } from "../devices/engine/PreparedStrategies.ts"
import type { DeviceId, RequestId } from "../subjects/DeviceId.ts"
import type { BacklogShape } from "./Backlog.ts"
import { lru } from "./Decided.ts"
import { attemptKey } from "./Results.ts"
import { originOf, type Running, startRunning } from "./Running.ts"

/** Attempts that a device works on at once; tiles of further ones are refused as Overloaded. */
const maxRunning = 512
/** Share of the bytes that is kept for attempts under way: the rest of their tiles brings them to their end. */
const reserved = 0.25
/** Attempts given up that are remembered: their tiles may still be on their way. */
const maxGivenUp = 512

export class Underway {
  private readonly device: DeviceId
  private readonly engine: Pick<EngineShape, "drop">
  private readonly backlog: Pick<BacklogShape, "host" | "hostDone" | "hostClose">
  private readonly mostBytes: number
  private readonly running = new Map<string, Running>()
  /** By whom, by attempt. */
  private readonly givenUp = lru<DeviceId>(maxGivenUp)

  constructor(
    device: DeviceId,
    engine: Pick<EngineShape, "drop">,
    backlog: Pick<BacklogShape, "host" | "hostDone" | "hostClose">,
    mostBytes: number,
  ) {
    this.mostBytes = mostBytes
    this.device = device
    this.engine = engine
    this.backlog = backlog
  }

  get size(): number {
    return this.running.size
  }

  /** Of pieces that wait for their task, or for its turn. */
  get heldBytes(): number {
    let bytes = 0
    for (const r of this.running.values()) bytes += r.heldBytes
    return bytes
  }

  /** Whether a tile of so many bytes can be taken in; one that nothing waits beside always can. */
  hasRoom(requestId: RequestId, attempt: number, bytes: number): boolean {
    const isNew = this.get(requestId, attempt) === undefined
    if (isNew && this.running.size >= maxRunning) return false
    const held = this.heldBytes
    return held === 0 || held + bytes <= (isNew ? 1 - reserved : 1) * this.mostBytes
  }

  get(requestId: RequestId, attempt: number): Running | undefined {
    return this.running.get(attemptKey(requestId, attempt))
  }

  /** The one that is under way, else it begins now. */
  open(requestId: RequestId, attempt: number, prepared: PreparedStrategy, budgetMs: number): Running {
    const found = this.get(requestId, attempt)
    if (found !== undefined) return found
    const started = startRunning(requestId, attempt, prepared, budgetMs)
    const { key } = started
    this.running.set(key, started)
    // What this device serves itself was booked when it was planned.
    if (originOf(started) !== this.device) this.backlog.host(key, originOf(started), prepared)
    return started
  }

  /** A task is done; gives those that it completes here. */
  done(r: Running, task: number): ReadonlyArray<number> {
    this.backlog.hostDone(r.key, task)
    const ready = r.work.done(task)
    if (r.work.remaining() === 0) this.over(r)
    return ready
  }

  over(r: Running): void {
    this.running.delete(r.key)
    this.backlog.hostClose(r.key)
  }

  /** Over before it is done: the engine lets go of it too. */
  forget(r: Running): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.over(r)
      return this.engine.drop(r.key)
    })
  }

  /** The device that serves an attempt gives it up; gives what is under way of it here. */
  giveUp(requestId: RequestId, attempt: number, by: DeviceId): Running | undefined {
    this.givenUp.set(attemptKey(requestId, attempt), by)
    const r = this.get(requestId, attempt)
    // Whose attempt it is, is in its strategy; nobody else can give it up.
    return r !== undefined && originOf(r) === by ? r : undefined
  }

  wasGivenUp(requestId: RequestId, attempt: number, { strategy }: PreparedStrategy): boolean {
    return this.givenUp.get(attemptKey(requestId, attempt)) === strategy.devices[0]
  }

  /** Nobody waits for these any more. */
  late(): ReadonlyArray<Running> {
    const nowMs = performance.now()
    return [...this.running.values()].filter((r) => r.expiresMs < nowMs)
  }
}
