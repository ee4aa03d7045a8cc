/** Flags for numbers with a bound: wrong ones are refused by the command line parser, before anything is read or written. */
import { Flag } from "effect/cli"

/** The bound of a flag for whole numbers. */
export const noLessThan =
  (least: number) =>
  (flag: Flag.Flag<number>): Flag.Flag<number> =>
    flag.pipe(
      Flag.filter(
        (n) => n >= least,
        () => `a whole number of ${least} or more`,
      ),
    )

/** A whole number, at least `least`. */
export const intFrom = (least: number, name: string): Flag.Flag<number> => noLessThan(least)(Flag.Int(name))

/** A number above 0. */
export const positive = (name: string): Flag.Flag<number> =>
  Flag.Finite(name).pipe(
    Flag.filter(
      (n) => n > 0,
      () => "a number above 0",
    ),
  )
