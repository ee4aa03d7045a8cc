/**
 * The methods that the paper's figures compare, at ImageNet scale, by the latency model. Every method answers a condition
 * with what it can offer: pairs of latency and accuracy. An SLO then picks among them.
 *
 * Ours: the w1.2 once-for-all space (accuracy by ImagenetAccuracy.ts, no fine-tuning), found by the planner's search.
 * Baselines: Neurosurgeon, ADCNN, one device and one remote, each with every network of the zoo; and the same methods with
 * three fixed submodels of our supernet, which the paper did not have.
 */
import {
  shippedProfile,
  type ShippedProfileName,
  shippedProfileNames,
} from "../../devices/profiles/Shipped.ts"
import { adcnnBaseline } from "../../policies/baselines/Adcnn.ts"
import type { Baseline, BaselineWorld } from "../../policies/baselines/Baseline.ts"
import {
  neurosurgeon8Baseline,
  neurosurgeonBaseline,
  remoteOnlyBaseline,
  singleDeviceBaseline,
} from "../../policies/baselines/Neurosurgeon.ts"
import { type Condition, idealBandwidthMbps, type Slo } from "../../policies/Condition.ts"
import { type Genome, spaceOf } from "../../policies/Genome.ts"
import { imagenetWorldAccuracy } from "../../policies/ImagenetWorldAccuracy.ts"
import { modelWorld } from "../../policies/ModelWorld.ts"
import { meetsSlo, type Outcome } from "../../policies/Objective.ts"
import { search } from "../../policies/Search.ts"
import { judge, type World } from "../../policies/World.ts"
import { imagenetAccuracy, imagenetResolutions } from "../../supernet/imagenet/ImagenetAccuracy.ts"
import { type Random, seededRandom } from "../../supernet/Random.ts"
import { ofaMobileNetV3 } from "../../supernet/Spec.ts"
import { maxSubmodel, minSubmodel, type Submodel, uniformSubmodel } from "../../supernet/Submodel.ts"
import type { Network } from "../../supernet/zoo/LayerGraph.ts"
import { submodelNetwork } from "../../supernet/zoo/SubmodelNetwork.ts"
import { zoo } from "../../supernet/zoo/Zoo.ts"

export const spec = ofaMobileNetV3({
  name: "ofa-mbv3-w1.2",
  version: "1",
  widthMultiplier: 1.2,
  classes: Array.from({ length: 1000 }, (_, i) => `class ${i}`),
  resolutions: imagenetResolutions,
})

const isShipped = (name: string): name is ShippedProfileName =>
  (shippedProfileNames as ReadonlyArray<string>).includes(name)
const baselineWorld: BaselineWorld = {
  profileOf: (type) => shippedProfile(isShipped(type) ? type : "raspberry-pi-4"),
}

export const world: World = modelWorld(
  spec,
  shippedProfileNames.map((n) => shippedProfile(n)),
  imagenetWorldAccuracy(spaceOf(spec), "1.2"),
)

const fixed = (name: string, submodel: Submodel): Network =>
  submodelNetwork(spec, submodel, { name, top1: imagenetAccuracy(submodel), source: "ImagenetAccuracy.ts" })

const fixedSubmodels: ReadonlyArray<Network> = [
  fixed("smallest submodel", minSubmodel(spec, 160)),
  fixed("middle submodel", uniformSubmodel(spec, 192, 3, 5, 4)),
  fixed("largest submodel", maxSubmodel(spec, 224)),
]

export const methods: ReadonlyArray<Baseline> = [
  neurosurgeonBaseline,
  neurosurgeon8Baseline,
  adcnnBaseline,
  singleDeviceBaseline,
  remoteOnlyBaseline,
]

/** One plan of a baseline method with one network under a condition. */
export interface Offer extends Outcome {
  readonly method: string
  readonly network: string
  /** True for the networks that the paper's baselines had. */
  readonly zoo: boolean
  readonly plan: string
}

/** What the baselines offer under a condition; a method and a network may have several offers, of which an SLO takes one. */
export const offers = (condition: Condition): ReadonlyArray<Offer> =>
  [...zoo, ...fixedSubmodels].flatMap((network) =>
    methods.flatMap((method) =>
      method.plans(network, condition, baselineWorld).map(({ latencyMs, accuracy, plan }) => ({
        method: method.name,
        network: network.name,
        zoo: !fixedSubmodels.includes(network),
        latencyMs,
        accuracy,
        plan: plan.summary,
      })),
    ),
  )

/** The offer that an SLO would take: the most accurate in time, or the fastest that is accurate enough. */
export const bestOffer = <A extends Outcome>(found: ReadonlyArray<A>, slo: Slo): A | undefined =>
  found.reduce<A | undefined>((best, o) => {
    if (!meetsSlo(slo, o)) return best
    if (best === undefined) return o
    const better = slo.kind === "latency" ? o.accuracy > best.accuracy : o.latencyMs < best.latencyMs
    return better ? o : best
  }, undefined)

export interface Found extends Outcome {
  readonly genome: Genome
  readonly meets: boolean
}

/** Strategies for one condition after the other, each search starting from what was found for those before it. */
export class OurPlanner {
  readonly #evaluations: number
  readonly #world: World
  readonly #random: Random
  readonly #known: Array<Genome> = []
  /** The search starts from this many of the strategies known so far, the best for the new condition. */
  static readonly starts = 8

  constructor(evaluations: number, seed: number, of: World = world) {
    this.#evaluations = evaluations
    this.#world = of
    this.#random = seededRandom(seed)
  }

  /** Adds a strategy to those that searches start from. */
  learn(genome: Genome): void {
    this.#known.push(genome)
  }

  best(condition: Condition, slo: Slo): Found {
    const judged = judge(this.#world, condition, slo)
    const starts = this.#known
      .map((genome) => ({ genome, score: judged.score(genome) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, OurPlanner.starts)
      .map((c) => c.genome)
    const { genome } = search(judged, { evaluations: this.#evaluations }, this.#random, starts)
    this.learn(genome)
    const outcome = judged.outcome(genome)
    return { ...outcome, genome, meets: meetsSlo(slo, outcome) }
  }
}

interface LinkState {
  readonly bandwidthMbps: number
  readonly delayMs: number
}

const localOf = (type: ShippedProfileName) => ({
  id: "local",
  type,
  bandwidthMbps: idealBandwidthMbps,
  delayMs: 0,
})

/** The paper's augmented computing: a Raspberry Pi 4 and a desktop with a GTX 1080. */
export const augmented = (link: LinkState): Condition => ({
  devices: [localOf("raspberry-pi-4"), { id: "desktop", type: "gtx-1080-desktop", ...link }],
})

/** The paper's swarm: Raspberry Pi 4 devices, the first one local; or devices of another type. */
export const swarm = (
  links: ReadonlyArray<LinkState>,
  type: ShippedProfileName = "raspberry-pi-4",
): Condition => ({
  devices: [localOf(type), ...links.map((link, i) => ({ id: `pi-${i + 2}`, type, ...link }))],
})

/** `count` values from `min` to `max`, evenly spaced on a logarithmic scale, as round as two digits allow. */
export const logSpaced = (min: number, max: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => Number((min * (max / min) ** (i / (count - 1))).toPrecision(2)))
