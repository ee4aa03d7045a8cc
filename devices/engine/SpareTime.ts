/**
 * When the engine may build ahead of need. Nothing can stop the building of a session: a task that comes meanwhile waits, up to
 * 30 ms for a whole network, and ten times as long on a small device. So it waits for a quiet moment; where tasks keep coming there
 * is none, and then a piece of work is done now and then, right after a task: that is when the next one is farthest.
 */

/** Without a task for so long, the next one is not expected soon. */
const quietMs = 300
/** Where tasks keep coming: a piece of work so often at most, and so small a share of the time. */
const busyEveryMs = 1000
const busyShare = 1 / 40

export interface Turn {
  /** From now. */
  readonly inMs: number
  /** Tasks keep coming: only what they will gain by. */
  readonly isBusy: boolean
}

export class SpareTime {
  private lastTaskMs = Number.NEGATIVE_INFINITY
  private lastPieceMs = Number.NEGATIVE_INFINITY
  private pieceMs = 0

  /** A task has ended. */
  ran(nowMs: number): void {
    this.lastTaskMs = nowMs
  }

  /** A piece of work has been done. */
  built(startMs: number, nowMs: number): void {
    this.lastPieceMs = nowMs
    this.pieceMs = nowMs - startMs
  }

  /** When the next piece may begin, if nothing comes before. */
  next(nowMs: number): Turn {
    const inMs = (atMs: number) => Math.max(0, atMs - nowMs)
    // As long a pause as the work took: building ahead takes half a core at most.
    const quiet = inMs(Math.max(this.lastTaskMs + quietMs, this.lastPieceMs + this.pieceMs))
    const isJustAfterTask = nowMs - this.lastTaskMs < 1
    const busy = inMs(this.lastPieceMs + Math.max(busyEveryMs, this.pieceMs / busyShare))
    return isJustAfterTask && busy === 0 ? { inMs: 0, isBusy: true } : { inMs: quiet, isBusy: false }
  }
}
