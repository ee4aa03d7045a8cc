/**
 * Runs a whole strategy over engines in this process, without a bus: every task as soon as its inputs are there, pieces
 * handed from engine to engine. What the Executors and the bus do between processes, in its shortest form.
 */
import { Effect } from "effect"
import type { Strategy } from "../../supernet/Strategy.ts"
import { imageSource, type TaskGraph } from "../../supernet/TaskGraph.ts"
import type { EngineError, EngineShape } from "./Engine.ts"
import type { TaskOutcome } from "./EngineProtocol.ts"
import { imagePiece, type Piece } from "./Pieces.ts"

export interface WalkResult {
  readonly logits: Float32Array
  /** By task index. */
  readonly outcomes: ReadonlyArray<TaskOutcome>
}

interface Arrivals {
  /** Inputs that are still missing, by task index. */
  readonly missing: Array<number>
  readonly pieces: Array<Array<Piece>>
}

const arrivalsAtStart = (graph: TaskGraph, image: Uint8Array, size: number): Arrivals => ({
  missing: graph.tasks.map((t) => t.inputs.filter((e) => graph.edges[e]?.from !== imageSource).length),
  pieces: graph.tasks.map((task) =>
    task.inputs.flatMap((index) => {
      const edge = graph.edges[index]
      return edge?.from === imageSource ? [imagePiece(index, image, size, edge.region)] : []
    }),
  ),
})

/** `engines` by device id. The image is uint8 RGB [size, size, 3] of the strategy's resolution. */
export const walk = Effect.fnUntraced(function* (
  engines: ReadonlyMap<string, EngineShape>,
  requestId: string,
  strategy: Strategy,
  image: Uint8Array,
) {
  const engineOf = (device: number): EngineShape => {
    const engine = engines.get(strategy.devices[device] ?? "")
    if (engine === undefined) throw new RangeError(`no engine for device ${strategy.devices[device]}`)
    return engine
  }
  const prepared = yield* Effect.forEach([...strategy.devices.keys()], (d) => engineOf(d).prepare(strategy), {
    concurrency: "unbounded",
  })
  const [first] = prepared
  if (first === undefined) throw new RangeError("a strategy without devices")
  const { graph, strategyId } = first
  const { missing, pieces } = arrivalsAtStart(graph, image, strategy.submodel.resolution)
  const outcomes: Array<TaskOutcome> = []
  const runTask: (index: number) => Effect.Effect<void, EngineError> = Effect.fnUntraced(function* (
    index: number,
  ) {
    const device = graph.tasks[index]?.device ?? 0
    const task = { requestId, strategyId, task: index, pieces: pieces[index] ?? [] }
    const outcome = yield* engineOf(device).run(task)
    outcomes[index] = outcome
    for (const piece of outcome.outgoing) pieces[graph.edges[piece.edge]?.to ?? 0]?.push(piece)
    const fed = [...outcome.outgoing.map((p) => p.edge), ...outcome.kept]
    const ready = fed.flatMap((edge) => {
      const to = graph.edges[edge]?.to ?? 0
      missing[to] = (missing[to] ?? 0) - 1
      return missing[to] === 0 ? [to] : []
    })
    yield* Effect.forEach(ready, runTask, { concurrency: "unbounded" })
  })
  const ready = [...graph.tasks.keys()].filter((index) => missing[index] === 0)
  yield* Effect.forEach(ready, runTask, { concurrency: "unbounded" })
  const logits = outcomes.at(-1)?.logits
  if (logits === undefined) throw new RangeError("the head gave no logits")
  const result: WalkResult = { logits, outcomes }
  return result
})
