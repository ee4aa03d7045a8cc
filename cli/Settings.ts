/**
 * Flags that an environment variable can give as well: a service has its settings in a file (`device.env`). What is on the
 * command line wins. Each says in --help what it is when nobody gives it, and the variable's name.
 */
import { Config } from "effect"
import { Flag } from "effect/cli"
import { noLessThan } from "./Bounds.ts"

export interface Setting<A> {
  readonly says: string
  readonly otherwise: A
  /** How the default reads, where the value itself does not tell. */
  readonly shown?: string
  readonly variable: `MURMURATION_${string}`
}

const described = <A>({ says, otherwise, shown, variable }: Setting<A>): string =>
  `${says} (default: ${shown ?? String(otherwise)}; ${variable})`

const withVariable = <A>(flag: Flag.Flag<A>, config: Config.Config<A>, s: Setting<A>): Flag.Flag<A> =>
  flag.pipe(
    Flag.withDescription(described(s)),
    Flag.withFallbackConfig(config),
    Flag.withDefault(s.otherwise),
  )

export const textSetting = (name: string, s: Setting<string>) =>
  withVariable(Flag.String(name), Config.String(s.variable), s)

/** A whole number, at least `least`, from wherever it comes. */
export const intSetting = (name: string, s: Setting<number> & { readonly least: number }) =>
  withVariable(Flag.Int(name), Config.Int(s.variable), s).pipe(noLessThan(s.least))

export const numberSetting = (name: string, s: Setting<number>) =>
  withVariable(Flag.Finite(name), Config.Finite(s.variable), s)

/** A flag that may be repeated; the variable has its values with commas between them. */
export const listSetting = (name: string, s: Setting<ReadonlyArray<string>>) => {
  const fromVariable = Config.map(Config.String(s.variable), (text) =>
    text.split(",").filter((v) => v !== ""),
  )
  return withVariable(Flag.atLeast(Flag.String(name), 1), fromVariable, s)
}

/** A flag without a variable, whose --help says what it is when nobody gives it. */
export const withShownDefault = <A>(
  flag: Flag.Flag<A>,
  says: string,
  otherwise: A,
  shown = String(otherwise),
): Flag.Flag<A> => flag.pipe(Flag.withDescription(`${says} (default: ${shown})`), Flag.withDefault(otherwise))

export const supernetFlag = textSetting("supernet", {
  says: "Artifact directory of the supernet",
  otherwise: "",
  shown: "the one that comes with the project",
  variable: "MURMURATION_SUPERNET",
})

export const threadsFlag = intSetting("threads", {
  says: "Threads of one inference",
  least: 1,
  otherwise: 1,
  variable: "MURMURATION_THREADS",
})
