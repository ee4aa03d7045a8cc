import { expect, it } from "vitest"
import { errorText } from "../../supernet/ErrorText.ts"

it.each([
  [new RangeError("too far"), "too far"],
  ["in words", "in words"],
  [Object.assign(Object.create(null), { message: "a worker's error, copied" }), "a worker's error, copied"],
  [Object.assign(Object.create(null), { issue: "no predictor" }), "no predictor"],
  [undefined, "undefined"],
])("says what went wrong, whatever was thrown (%#)", (cause, text) => {
  expect(errorText(cause)).toContain(text)
})
