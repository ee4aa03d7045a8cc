/**
 * The latency model for search and training: the same number as `timeline`, from an encoded strategy, without an
 * allocation per evaluation. One instance is one set of scratch buffers: not to be shared between threads.
 *
 * Additions are made in the same order as in `timeline`, so that ties between symmetric tiles fall alike. An ideal link
 * never makes anyone wait, so it is passed without going through the queue.
 */
import type { DeviceProfile } from "../profiles/DeviceProfile.ts"
import { chunkBytesAt } from "../../subjects/Chunks.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import { type Condition, type Link, msPerByte } from "./Condition.ts"
import { FastGraph, maxDevices, none } from "./FastGraph.ts"
import { defaultOverheads, messageMsPerByte, type Overheads } from "./Overheads.ts"

// What is ready is served by time, then by kind and index.
const upOrder = 1 << 16
const downOrder = 2 << 16
const indexMask = upOrder - 1

export class FastLatency {
  readonly overheads: Overheads
  private readonly graph: FastGraph
  private readonly profileIndex: ReadonlyMap<string, number>
  private readonly decodeMs: Float64Array
  private readonly resultWire: number
  private readonly messageMsPerByte: number

  // Links of the condition: ms per byte, ms. And when each device is done with what it has already.
  private readonly up = new Float64Array(maxDevices)
  private readonly down = new Float64Array(maxDevices)
  private readonly delay = new Float64Array(maxDevices)
  // Chunks that suit each link; a path has the smaller ones, those of its slower link.
  private readonly upChunk = new Float64Array(maxDevices)
  private readonly downChunk = new Float64Array(maxDevices)
  private readonly backlog = new Float64Array(maxDevices)
  private deviceCount = 0

  // The graph's arrays, one step nearer.
  private readonly taskDevice: Int32Array
  private readonly taskMissing: Int32Array
  private readonly edgeFrom: Int32Array
  private readonly edgeTo: Int32Array
  private readonly edgeWire: Float64Array
  private readonly nextOut: Int32Array

  private readonly taskReady: Float64Array
  private readonly deviceFree = new Float64Array(maxDevices)
  private readonly upFree = new Float64Array(maxDevices)
  private readonly downFree = new Float64Array(maxDevices)
  private pendingCount = 0
  private readonly pendingReady: Float64Array
  private readonly pendingOrder: Int32Array
  private finished = 0

  /** Building the tables takes some 10 ms per profile. */
  constructor(
    spec: SupernetSpec,
    profiles: ReadonlyArray<DeviceProfile>,
    overheads: Overheads = defaultOverheads,
  ) {
    const graph = new FastGraph(spec, profiles, overheads)
    this.graph = graph
    this.overheads = overheads
    this.profileIndex = new Map(profiles.map((p, i) => [p.name, i]))
    this.decodeMs = Float64Array.from(profiles, (p) => p.decodeMs)
    this.resultWire = graph.wire(4 * spec.classes.length)
    this.messageMsPerByte = messageMsPerByte(overheads)
    this.taskDevice = graph.taskDevice
    this.taskMissing = graph.taskMissing
    this.edgeFrom = graph.edgeFrom
    this.edgeTo = graph.edgeTo
    this.edgeWire = graph.edgeWire
    this.nextOut = graph.nextOut
    this.taskReady = graph.taskReady
    this.pendingReady = new Float64Array(graph.taskDevice.length + graph.edgeTo.length)
    this.pendingOrder = new Int32Array(this.pendingReady.length)
  }

  /**
   * Device `index` has this profile (by its place in the constructor's list), this link and so much to do before. Throws a
   * RangeError beyond `maxDevices`, where the arrays end.
   */
  setDevice(index: number, profile: number, link: Link, backlogMs = 0) {
    if (!(index < maxDevices)) throw new RangeError(`device ${index}: a condition has ${maxDevices} at most`)
    this.graph.profile[index] = profile
    this.backlog[index] = backlogMs
    this.deviceCount = Math.max(this.deviceCount, index + 1)
    this.setLink(index, link.upMbps, link.downMbps, link.delayMs)
  }

  /** Only the link, from numbers: for sampling conditions in a loop. */
  setLink(index: number, upMbps: number, downMbps: number, delayMs: number) {
    const up = msPerByte(upMbps)
    const down = msPerByte(downMbps)
    this.up[index] = up
    this.down[index] = down
    this.delay[index] = delayMs
    this.upChunk[index] = chunkBytesAt(up, this.overheads.chunkBytes)
    this.downChunk[index] = chunkBytesAt(down, this.overheads.chunkBytes)
  }

  /** All devices and links of a condition; encoded device indices are its order. Throws for an unknown profile, and for too many. */
  setCondition(condition: Condition) {
    for (const [i, device] of condition.devices.entries()) {
      const profile = this.profileIndex.get(device.profile)
      if (profile === undefined) throw new RangeError(`no profile ${device.profile}`)
      this.setDevice(i, profile, device.link, device.backlogMs)
    }
  }

  /** Latency of an encoded strategy under the condition set before, ms. */
  latencyMs(encoded: Uint8Array): number {
    const { graph } = this
    graph.build(encoded)
    for (let device = 0; device < this.deviceCount; device++) {
      this.deviceFree[device] = this.backlog[device] as number
      this.upFree[device] = 0
      this.downFree[device] = 0
    }
    this.pendingCount = 0
    const imageReady = this.overheads.requestMs + (this.decodeMs[graph.profile[0] as number] as number)
    for (let edge = 0; edge < graph.imageEdges; edge++) this.release(edge, imageReady)
    while (this.pendingCount > 0) this.serveNext()
    return this.finished + this.overheads.replyMs
  }

  private serveNext() {
    const { pendingReady, pendingOrder } = this
    const last = --this.pendingCount
    let best = last
    let ready = pendingReady[last] as number
    for (let i = 0; i < last; i++) {
      const r = pendingReady[i] as number
      if (r < ready || (r === ready && (pendingOrder[i] as number) < (pendingOrder[best] as number))) {
        best = i
        ready = r
      }
    }
    const order = pendingOrder[best] as number
    if (best !== last) {
      pendingReady[best] = pendingReady[last] as number
      pendingOrder[best] = pendingOrder[last] as number
    }
    if (order < upOrder) this.runTask(order, ready)
    else if (order < downOrder) this.sendUp(order & indexMask, ready)
    else this.sendDown(order & indexMask, ready)
  }

  private push(ready: number, order: number) {
    const at = this.pendingCount++
    this.pendingReady[at] = ready
    this.pendingOrder[at] = order
  }

  private runTask(task: number, ready: number) {
    const { graph } = this
    const device = this.taskDevice[task] as number
    const free = this.deviceFree[device] as number
    const end =
      (ready > free ? ready : free) +
      (this.overheads.taskMs +
        (graph.taskDequantise[task] as number) +
        (graph.taskCompute[task] as number) +
        (graph.taskQuantise[task] as number))
    this.deviceFree[device] = end
    for (let e = graph.firstOut[task] as number; e !== none; e = this.nextOut[e] as number)
      this.release(e, end)
    if (task === graph.taskCount - 1) this.reply(device, end)
  }

  private reply(device: number, end: number) {
    if (device === 0) {
      this.finished = end
      return
    }
    const edge = this.graph.edgeCount
    this.edgeFrom[edge] = device
    this.edgeTo[edge] = none
    this.edgeWire[edge] = this.resultWire
    this.push(end, upOrder | edge)
  }

  /** An edge's data exists on its producer's device. */
  private release(edge: number, ready: number) {
    if (this.edgeWire[edge] === none) this.arrived(edge, ready)
    else if (this.up[this.edgeFrom[edge] as number] === 0) this.sendUp(edge, ready)
    else this.push(ready, upOrder | edge)
  }

  private sendUp(edge: number, ready: number) {
    const from = this.edgeFrom[edge] as number
    const task = this.edgeTo[edge] as number
    const to = task === none ? 0 : (this.taskDevice[task] as number)
    const up = this.up[from] as number
    const down = this.down[to] as number
    const bytes = this.edgeWire[edge] as number
    let chunk = bytes
    if (chunk > this.overheads.chunkBytes) {
      chunk = Math.min(bytes, this.upChunk[from] as number, this.downChunk[to] as number)
    }
    const free = this.upFree[from] as number
    const start = ready > free ? ready : free
    const end = start + bytes * up
    this.upFree[from] = end
    const early = start + chunk * up
    const late = end + (chunk * down - bytes * down)
    const downReady = (early > late ? early : late) + (this.delay[from] as number)
    if (down === 0) this.sendDown(edge, downReady)
    else this.push(downReady, downOrder | edge)
  }

  private sendDown(edge: number, ready: number) {
    const task = this.edgeTo[edge] as number
    const to = task === none ? 0 : (this.taskDevice[task] as number)
    const bytes = this.edgeWire[edge] as number
    const down = this.down[to] as number
    let end = ready
    if (down !== 0) {
      const free = this.downFree[to] as number
      end = (ready > free ? ready : free) + bytes * down
      this.downFree[to] = end
    }
    this.arrived(
      edge,
      end + ((this.delay[to] as number) + this.overheads.messageMs + bytes * this.messageMsPerByte),
    )
  }

  private arrived(edge: number, at: number) {
    const task = this.edgeTo[edge] as number
    if (task === none) {
      this.finished = at
      return
    }
    if (at > (this.taskReady[task] as number)) this.taskReady[task] = at
    const missing = (this.taskMissing[task] as number) - 1
    this.taskMissing[task] = missing
    if (missing === 0) this.push(this.taskReady[task] as number, task)
  }
}
