/** The checkpoints that PyTorch wrote and the logits that it computed; see make_fixture.py. */
import { readFileSync } from "node:fs"
import { Schema } from "effect"
import { Submodel } from "../../../supernet/Schemas.ts"

const path = (name: string) => new URL(`fixture/${name}`, import.meta.url)

export const checkpoint = (form: "legacy" | "zip"): Uint8Array => readFileSync(path(`${form}.pth`))

const Logits = Schema.Struct({
  about: Schema.String,
  classes: Schema.Array(Schema.String),
  runs: Schema.Array(Schema.Struct({ submodel: Submodel, logits: Schema.Array(Schema.Finite) })),
})
export const logits: typeof Logits.Type = Schema.decodeUnknownSync(Logits)(
  JSON.parse(readFileSync(path("logits.json"), "utf8")),
)

/** The image of make_fixture.py: interleaved RGB bytes, row by row. */
export const image = (size: number): Uint8Array => {
  const pixels = new Uint8Array(size * size * 3)
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < 3; c++) {
        const value = x * 7 + y * 13 + c * 61 + ((x * y) % 97) + ((x * x + 3 * y) % 31)
        pixels[(y * size + x) * 3 + c] = value % 256
      }
    }
  }
  return pixels
}
