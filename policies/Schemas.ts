/** What policies are trained for, as it lies in files. The modules that compute with it import only the types (see `supernet/Schemas.ts`). */
import * as Schema from "effect/Schema"

const RangeFields = Schema.Struct({
  min: Schema.Finite,
  max: Schema.Finite,
  scale: Schema.Literals(["linear", "log"]),
  /** Discrete points in training, both ends included. */
  points: Schema.Int,
})

/** What is wrong with a range, and what to write instead; true where nothing is. */
const rangeIsSound = ({ min, max, scale, points }: typeof RangeFields.Type): true | string => {
  if (min >= max) return `min ${min} is not below max ${max}: give the range some width`
  if (scale === "log" && min <= 0)
    return `a log scale cannot begin at ${min}: give min > 0, or scale "linear"`
  return points >= 2 ? true : `${points} points do not hold both ends: give 2 or more (10 is usual)`
}

export const Range = RangeFields.check(Schema.makeFilter(rangeIsSound))
export type Range = typeof Range.Type

/** A range of what cannot be none, as megabits per second. */
const PositiveRange = Range.check(
  Schema.makeFilter(({ min }) => min > 0 || `it begins at ${min}: give min > 0`),
)

/** Slots of one type are filled best link first, which takes them for neighbours. */
const typesAreAdjacent = (remotes: ReadonlyArray<string>): true | string => {
  const apart = remotes.find((type, i) => type !== remotes[i - 1] && remotes.indexOf(type) < i)
  if (apart === undefined) return true
  const sorted = [...new Set(remotes)].flatMap((type) => remotes.filter((r) => r === type))
  return `remotes of the type ${apart} lie apart: put equal types next to each other, as ${JSON.stringify(sorted)}`
}

export const Scenario = Schema.Struct({
  name: Schema.String,
  description: Schema.String,
  /** Width multiplier of the supernet that the ranges were chosen for, and what its accuracy is measured on. */
  widthMultiplier: Schema.Finite,
  dataset: Schema.String,
  /** Device profiles: the local device, and one per remote slot, equal types next to each other. */
  local: Schema.String,
  remotes: Schema.Array(Schema.String).check(Schema.makeFilter(typesAreAdjacent)),
  bandwidthMbps: PositiveRange,
  delayMs: Range,
  latencySloMs: PositiveRange,
  accuracySlo: Range,
})
export type Scenario = typeof Scenario.Type
