/**
 * Whether bad input hurts anybody: every kind of it, thrown at a real device process, while another client of the same
 * device goes on asking for answers and compares each with the first.
 */
import { Effect, Fiber } from "effect"
import { secretsOf } from "../deploy/ServerConfig.ts"
import { users } from "../deploy/Swarm.ts"
import { type SwarmBox, swarmBox } from "../deploy/SwarmBox.ts"
import { Bus, type BusOptions } from "../subjects/Bus.ts"
import { infer } from "../subjects/Client.ts"
import { DeviceId } from "../subjects/DeviceId.ts"
import { defaultArtifact, readArtifact, type Supernet } from "../supernet/Artifact.ts"
import { seededRandom } from "../supernet/Random.ts"
import { sampleStrategy } from "../supernet/Strategy.ts"
import { minSubmodel } from "../supernet/Submodel.ts"
import { badInputs } from "./BadInputs.ts"
import { pictures, throwAll, type Verdict } from "./BadInputRun.ts"
import { type BenchModule, type BenchOptions, type BenchResult, median, quantile, type Row } from "./Bench.ts"
import { difference, exact } from "./chaos/Verdict.ts"

const [device, peer] = [DeviceId.make("pi-1"), DeviceId.make("pi-2")]

interface Bystander {
  /** No more requests. */
  isOver: boolean
  answers: number
  wrong: number
  /** From the first answer: blocks are fused after some, which adds in another order. */
  worst: number
  refused: number
  readonly latencyMs: Array<number>
}

/** Asks the attacked device for a strategy of both devices, again and again, and each time only once: nothing is retried. */
const bystander = (supernet: Supernet, picture: Uint8Array, seen: Bystander) =>
  Effect.gen(function* () {
    const submodel = minSubmodel(supernet.spec)
    const strategy = sampleStrategy(supernet.spec, [device, peer], seededRandom(4), { bits: [32], submodel })
    let first: ReadonlyArray<number> | undefined
    const once = infer({
      image: picture,
      slo: { latencyMs: 1000 },
      strategy,
      include: ["logits"],
      device,
      attempts: 1,
      deadlineMs: 5000,
    }).pipe(
      Effect.match({
        onSuccess: ({ logits, latencyMs }) => {
          first ??= logits
          seen.answers++
          seen.latencyMs.push(latencyMs)
          const off = difference(logits ?? [], first ?? [])
          seen.worst = Math.max(seen.worst, off)
          if (!(off <= exact)) seen.wrong++
        },
        onFailure: () => void seen.refused++,
      }),
    )
    const next = Effect.andThen(once, Effect.sleep("20 millis"))
    yield* Effect.repeat(next, { while: () => !seen.isOver })
  })

const deviceBus = (box: SwarmBox): BusOptions => ({
  ...box.device(device).client,
  user: users.device,
  password: secretsOf(box.swarm, device).devicePassword,
})

const attack = (box: SwarmBox, supernet: Supernet, quick: boolean) =>
  Effect.gen(function* () {
    const target = { spec: supernet.spec, device, peer, ...(yield* Effect.promise(pictures)) }
    const all = badInputs(target)
    const inputs = quick ? all.filter((_, i) => i % 3 === 0) : all
    const seen: Bystander = { isOver: false, answers: 0, wrong: 0, worst: 0, refused: 0, latencyMs: [] }
    const pid = box.device(device).pid()
    let crashes = 0
    yield* Effect.forkScoped(
      Effect.andThen(
        box.device(device).exited,
        Effect.sync(() => crashes++),
      ),
    )
    const client = yield* bystander(supernet, target.image, seen).pipe(
      Effect.provide(Bus.layer(box.device(device).client)),
      Effect.forkChild,
    )
    const verdicts = yield* Effect.gen(function* () {
      return yield* throwAll(yield* Bus, target, inputs)
    }).pipe(Effect.provide(Bus.layer(deviceBus(box))))
    seen.isOver = true
    yield* Fiber.join(client)
    return { verdicts, seen, crashes: crashes + (box.device(device).pid() === pid ? 0 : 1) }
  })

/** Inputs by subject, with what came back. */
const rowsOf = (verdicts: ReadonlyArray<Verdict>): ReadonlyArray<Row> => {
  const groups = Map.groupBy(verdicts, (v) => v.input.name.split(":")[0] ?? "")
  return [...groups].map(([subject, of]) => {
    const tags = Map.groupBy(of, (v) => (v.outcome === "tag" ? v.tag : v.outcome))
    return {
      subject,
      inputs: of.length,
      "as it should be": of.filter((v) => v.right).length,
      "answer p50 ms": median(of.map((v) => v.ms)),
      "slowest ms": Math.max(...of.map((v) => v.ms)),
      "largest reply": Math.max(...of.map((v) => v.replyBytes)),
      "what came back": [...tags].map(([tag, { length }]) => `${tag} ${length}`).join(", "),
    }
  })
}

const run = async ({ quick }: BenchOptions): Promise<BenchResult> => {
  const supernet = await Effect.runPromise(Effect.flatMap(defaultArtifact, readArtifact))
  const devices = [device, peer].map((id) => ({ id, profile: "raspberry-pi-4", emulate: false }))
  const { verdicts, seen, crashes } = await Effect.runPromise(
    swarmBox({ devices }).pipe(
      Effect.flatMap((box) => attack(box, supernet, quick)),
      Effect.scoped,
    ),
  )
  const wrong = verdicts.filter((v) => !v.right)
  return {
    kind: "measured",
    checks: [
      { name: "cases", value: verdicts.length, op: ">=", bound: 40 },
      { name: "crashes", value: crashes, op: "=", bound: 0 },
      { name: "silent", value: verdicts.filter((v) => v.outcome === "silent").length, op: "=", bound: 0 },
      { name: "not_as_it_should_be", value: wrong.length, op: "=", bound: 0 },
      { name: "other_client_answers", value: seen.answers, op: ">=", bound: quick ? 15 : 50 },
      { name: "other_client_wrong", value: seen.wrong, op: "=", bound: 0 },
      { name: "other_client_refused", value: seen.refused, op: "=", bound: 0 },
    ],
    rows: rowsOf(verdicts),
    notes: [
      ...wrong.map((v) => `${v.input.name}: ${v.outcome} ${v.tag} ${v.message.slice(0, 120)}`),
      `meanwhile another client, which asks each time only once, got ${seen.answers} answers over two devices, latency p50 ${median(seen.latencyMs).toFixed(1)} ms, p99 ${quantile(seen.latencyMs, 0.99).toFixed(1)} ms, each compared with the first: logits differ by ${seen.worst.toExponential(0)} of the largest at most (blocks are fused after a while, which adds in another order)`,
      "counted: one-way messages that the device counted as dropped in its beats; unheard: subjects that devices publish but do not listen to",
    ],
  }
}

export const bench: BenchModule = {
  name: "badinput",
  proves: "no input crashes or silences a device, or hurts other clients",
  takes: "1 minute",
  unseeded: true,
  run,
}
