/**
 * Commands in text that people read, in a form that they can type: `murmuration` is a command of its own only on devices
 * and after `npm link`; whoever started through npm has to go on through npm.
 */

type Environment = Readonly<Record<string, string | undefined>>

const startedAs = (environment: Environment): string =>
  environment["npm_lifecycle_event"] === undefined ? "murmuration" : "npm run murmuration --"

const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** A command with its flags; those without a value are left out. `words` are taken as they are. */
export const nextCommand = (
  words: string,
  flags: Readonly<Record<string, string | undefined>> = {},
  environment: Environment = process.env,
): string => {
  const given = Object.entries(flags).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [`--${name} ${quoted(value)}`],
  )
  return [startedAs(environment), words, ...given].join(" ")
}

const commands = ["demo", "up", "infer", "plan", "profile", "swarm", "doctor", "supernet", "policy", "deploy"]
const mentioned = new RegExp(`\\bmurmuration (?=(?:${commands.join("|")})\\b)`, "g")

/** For texts from layers that do not know how the program was started: `murmuration doctor` becomes what one can type. */
export const asTyped = (text: string, environment: Environment = process.env): string =>
  text.replaceAll(mentioned, () => `${startedAs(environment)} `)
