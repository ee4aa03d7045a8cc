/**
 * How soon a device that said hello computes for others. Plans use it when it helps; so that what is measured is whether it can
 * be used, all other devices are asked for a strategy that has its middle on the newcomer, again and again, until one answers.
 */
import { Effect } from "effect"
import { inferReply, inferRequest } from "../../subjects/Codecs.ts"
import type { DeviceId } from "../../subjects/DeviceId.ts"
import * as Subjects from "../../subjects/Subjects.ts"
import type { SupernetSpec } from "../../supernet/Spec.ts"
import { localStrategy, normalizeStrategy, type Strategy } from "../../supernet/Strategy.ts"
import { uniformSubmodel } from "../../supernet/Submodel.ts"
import type { Mark } from "./Measures.ts"
import type { Client } from "./Traffic.ts"

/** Of one try. */
const answerWithinMs = 2000
const againMs = 50
/** What is reported of a device that nobody could use. */
const atMostMs = 10_000

const middleOn = (spec: SupernetSpec, server: DeviceId, newcomer: DeviceId): Strategy => {
  const [resolution, depth] = [Math.min(...spec.resolutions), Math.min(...spec.depths)]
  const smallest = uniformSubmodel(
    spec,
    resolution,
    depth,
    Math.min(...spec.kernels),
    Math.min(...spec.expands),
  )
  const local = localStrategy(spec, smallest, server)
  const middle = (i: number) => i > 3 && i < local.blocks.length - 3
  return normalizeStrategy(spec, {
    ...local,
    devices: [server, newcomer],
    blocks: local.blocks.map((b, i) => ({ ...b, placement: [middle(i) ? 1 : 0] })),
  })
}

const once = (client: Client, image: Uint8Array, strategy: Strategy) => {
  const subject = Subjects.inferAt(client.device)
  const slo = { latencyMs: answerWithinMs }
  const body = { image, slo, strategy, topK: 1, include: [], deadlineMs: answerWithinMs }
  return client.bus
    .request(subject, inferRequest.encode(body), { timeoutMs: answerWithinMs })
    .pipe(Effect.flatMap((bytes) => Effect.fromResult(inferReply.decode(subject, bytes))))
}

/** From the hello to the first answer that the newcomer had a part in, ms. */
export const carriesAfterMs = (
  { device, atMs }: Mark,
  clients: ReadonlyArray<Client>,
  spec: SupernetSpec,
  image: Uint8Array,
): Effect.Effect<number> =>
  Effect.raceAll(
    clients
      .filter((c) => c.device !== device)
      .map((client) =>
        Effect.suspend(() => once(client, image, middleOn(spec, client.device, device))).pipe(
          Effect.tapError(() => Effect.sleep(againMs)),
          Effect.eventually,
        ),
      ),
  ).pipe(
    Effect.timeoutOption(atMostMs),
    Effect.map(() => performance.now() - atMs),
  )
