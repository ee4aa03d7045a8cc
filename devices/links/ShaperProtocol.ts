/**
 * What a shaper process understands: one JSON object a line on stdin, one answer a line on stdout. Written for programs
 * (`ShaperProcess.ts`) and for people with a terminal alike.
 */
import { Schema } from "effect"

const Mbps = Schema.Finite.check(Schema.isGreaterThan(0))
const Ms = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** `mbps: null` = unlimited. What is left out stays as it is. */
export const DirectionChange = Schema.Struct({
  mbps: Schema.optionalKey(Schema.NullOr(Mbps)),
  delayMs: Schema.optionalKey(Ms),
  jitterMs: Schema.optionalKey(Ms),
})
export type DirectionChange = typeof DirectionChange.Type

export const LinkChange = Schema.Struct({
  up: Schema.optionalKey(DirectionChange),
  down: Schema.optionalKey(DirectionChange),
})
export type LinkChange = typeof LinkChange.Type

/** A change at a time after the script's start. */
export const ScriptStep = Schema.Struct({
  atMs: Ms,
  set: Schema.optionalKey(LinkChange),
  do: Schema.optionalKey(Schema.Literals(["cut", "freeze", "restore"])),
})
export type ScriptStep = typeof ScriptStep.Type

/** `id` comes back with the answer. */
const command = <F extends Schema.Struct.Fields>(fields: F) =>
  Schema.Struct({ id: Schema.optionalKey(Schema.Int), ...fields })

export const ShaperCommand = Schema.Union([
  command({
    open: Schema.String,
    target: Schema.Struct({ host: Schema.String, port: Schema.Int }),
    port: Schema.optionalKey(Schema.Int),
    set: Schema.optionalKey(LinkChange),
    spin: Schema.optionalKey(Schema.Boolean),
  }),
  command({ link: Schema.String, set: LinkChange }),
  command({ link: Schema.String, do: Schema.Literals(["cut", "freeze", "restore", "close"]) }),
  command({
    link: Schema.String,
    play: Schema.Array(ScriptStep),
    repeat: Schema.optionalKey(Schema.Boolean),
  }),
  command({ link: Schema.String, stats: Schema.Literal(true) }),
])
export type ShaperCommand = typeof ShaperCommand.Type

export const ShaperAnswer = Schema.Struct({
  id: Schema.optionalKey(Schema.Int),
  ok: Schema.Boolean,
  error: Schema.optionalKey(Schema.String),
  port: Schema.optionalKey(Schema.Int),
  stats: Schema.optionalKey(
    Schema.Struct({
      mode: Schema.Literals(["open", "cut", "frozen"]),
      connections: Schema.Int,
      upBytes: Schema.Finite,
      downBytes: Schema.Finite,
      upBacklogMs: Schema.Finite,
      downBacklogMs: Schema.Finite,
      cpuMs: Schema.Finite,
    }),
  ),
})
export type ShaperAnswer = typeof ShaperAnswer.Type
