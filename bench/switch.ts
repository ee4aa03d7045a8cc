/**
 * What it costs to switch a device to a strategy that it has never run: making its sessions ready, and the penalty of the
 * first run against later ones. Whole networks on one device: up to 23 blocks change at once. Three kinds of cases:
 *
 *   resident         all blocks were built in idle time, as a device with enough memory does
 *   on demand        the worst case: none of the strategy's sessions is there, and the whole network is built
 *   partly resident  one engine goes through all switches, and keeps of their sessions what its memory holds
 *
 * Memory is given as a device's: `--memory-mb`, of which sessions get their share (`actors/MemoryShares.ts`).
 */
import { cpus, loadavg } from "node:os"
import { Effect } from "effect"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { seededRandom } from "../supernet/Random.ts"
import { shareWeights } from "../supernet/Safetensors.ts"
import { randomWeights } from "../supernet/Weights.ts"
import { zoo } from "../supernet/zoo/Zoo.ts"
import { barChart, svgDocument } from "./Charts.ts"
import { spec as imagenetSpec } from "./paper/Methods.ts"
import { type Case, measure, type Switch, type Switched } from "./SwitchEngines.ts"
import { submodelFiles, zooFile } from "./SwitchFiles.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"

const rowOf = ({ name, memoryMb }: Case, { done, spread, stats }: Switched): Row => {
  const of = (f: (s: Switch) => number) => done.map(f)
  const total = of((s) => s.prepareMs + s.penaltyMs)
  return {
    case: name,
    "memory MB": memoryMb,
    switches: done.length,
    "switch p50 ms": median(total),
    "p10 ms": quantile(total, 0.1),
    "p90 ms": quantile(total, 0.9),
    "switch CPU p50 ms": median(of((s) => s.cpuMs)),
    "prepare p50 ms": median(of((s) => s.prepareMs)),
    "first-run penalty p50 ms": median(of((s) => s.penaltyMs)),
    "steady run p50 ms": median(of((s) => s.steadyMs)),
    "fused run p50 ms": median(of((s) => s.fusedMs)),
    "sessions built p50": median(of((s) => s.built)),
    "sessions built, most": Math.max(...of((s) => s.built)),
    ...(spread.length === 0 ? {} : { "prepare of a 5-device strategy p50 ms": median(spread) }),
    sessions: stats.sessions,
    "session MB": stats.bytes / 1e6,
  }
}

/** How the names of cases begin that belong into figure 19. */
const imagenetScale = "ImageNet scale"

/** Figure 19 of the paper: switching our supernet, against loading the baselines' networks. */
const figure19 = (ours: ReadonlyArray<Row>, others: ReadonlyArray<Row>): string => {
  const rows = [...ours.filter((r) => String(r["case"]).startsWith(imagenetScale)), ...others]
  const labels = {
    title: "Figure 19: time to switch the model",
    subtitle:
      "measured; ours: random submodels of the ImageNet-scale supernet, untrained (2 GB for models; partly resident: 512 MB; on demand: none of it there); others: ONNX files in the disk cache",
    x: "",
    y: "ms (log)",
    width: 960,
  }
  const values = rows.map((r) => Number(r["switch p50 ms"]))
  return svgDocument(
    barChart(
      labels,
      rows.map((r) => String(r["case"]).replace(imagenetScale, "ours")),
      [{ name: "p50", values }],
      { log: true, min: 1 },
    ),
  )
}

/** `--memory-mb` by default: an eighth of the machine's memory, 512 at most. */
const memory = { usual: 512, piZero: 64 }

const casesFor = (shipped: Supernet): ReadonlyArray<Case> => {
  const weights = shareWeights(randomWeights(imagenetSpec, 1))
  const ours = { supernet: shipped, memoryMb: memory.usual }
  const large = { supernet: { ...shipped, spec: imagenetSpec, weights }, memoryMb: memory.usual }
  return [
    { ...ours, name: "resident", preload: true },
    { ...ours, name: "on demand", fresh: { each: 10, warmUps: 1, isFolded: true } },
    {
      ...ours,
      name: "on demand, block by block",
      memoryMb: memory.piZero,
      fresh: { each: 1, warmUps: "until blocks", isFolded: true },
    },
    { ...ours, name: "on demand, just started", fresh: { each: 1, warmUps: 0, isFolded: false } },
    { ...ours, name: "partly resident: what earlier switches built" },
    { ...ours, name: "partly resident: a Pi Zero 2 W's memory", memoryMb: memory.piZero, preload: true },
    { ...large, name: `${imagenetScale}, resident`, memoryMb: 2048, preload: true },
    { ...large, name: `${imagenetScale}, partly resident`, preload: true },
    { ...large, name: `${imagenetScale}, on demand`, fresh: { each: 1, warmUps: 1, isFolded: true } },
  ]
}

const run = async ({ quick, seed }: BenchOptions): Promise<BenchResult> => {
  const shipped = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const random = seededRandom(seed)
  const ours: Array<Row> = []
  for (const one of casesFor(shipped).slice(0, quick ? 4 : undefined))
    ours.push(rowOf(one, await measure(one, quick, random)))
  const others: Array<Row> = []
  for (const network of zoo.slice(0, quick ? 1 : undefined))
    others.push(await zooFile(network, quick ? 3 : 7))
  const p50 = (name: string) => Number(ours.find((r) => r["case"] === name)?.["switch p50 ms"])
  return {
    kind: "measured",
    checks: [
      { name: "resident_p50_ms", value: p50("resident"), op: "<=", bound: 2 },
      {
        name: "ondemand_block_by_block_p50_ms",
        value: p50("on demand, block by block"),
        op: "<=",
        bound: 35,
      },
      { name: "ondemand_p50_ms", value: p50("on demand"), op: "<=", bound: 35 },
    ],
    rows: [...ours, await submodelFiles(shipped, quick ? 20 : 100, random), ...others],
    notes: notesOf(shipped),
    ...(quick ? {} : { figures: new Map([["paper-19.svg", figure19(ours, others)]]) }),
  }
}

const notesOf = ({ spec: { name, version, trained } }: Supernet): ReadonlyArray<string> => [
  `supernet ${name} ${version}${trained ? "" : " (untrained weights)"}, random submodels of all resolutions; ImageNet scale: width 1.2, untrained`,
  `load average of the machine at the end: ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`,
  "switch = prepare, from call to answer through the worker, plus first run minus steady run on the same sessions",
  `memory MB: what --memory-mb says, of which sessions get 60 %; ${memory.usual} by default on machines of 4 GB and more, ${memory.piZero} on a Pi Zero 2 W (an eighth); only 'ImageNet scale, resident' needs more than the default`,
  "resident: all blocks were built in idle time before the first switch; their switches run on block sessions at first, and the fused run is what the same strategy takes a little later",
  "on demand: each switch makes sure that none of its strategy's sessions was there, since all of the network is built. Kept is what idle time folds beside sessions, the weights of blocks, as far as their share of memory reaches; and the worker has run another strategy before, which shares no session. Where most blocks are missing, a device builds the network as one fused session; 'block by block' is the first switch of a small device for which fused sessions have no room",
  "'just started' has no folded weights either, and a worker that has run nothing: the first moment of a device",
  "partly resident: one engine for all switches. 'what earlier switches built' builds nothing ahead, so that after a few switches most blocks are there; the others build ahead what their memory holds, as devices do",
  "the zoo's networks have random weights: reading and building them takes as long as trained ones",
]

export const bench: BenchModule = {
  name: "switch",
  proves: "a device switches to a strategy it has never run in milliseconds",
  takes: "9 minutes",
  asDevice: true,
  run,
}
