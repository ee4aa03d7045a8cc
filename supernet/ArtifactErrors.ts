/** Why an artifact directory cannot be used: each error says where, what was needed, what was there, and what to do. */
import { Schema } from "effect"

const fields = {
  path: Schema.String,
  needed: Schema.String,
  found: Schema.String,
  retryable: Schema.Boolean,
  hint: Schema.String,
}
const text = (e: { path: string; needed: string; found: string; hint: string }) =>
  `${e.path}: needed ${e.needed}, found ${e.found}. ${e.hint}`

/** A file of the artifact is not there or cannot be read. */
export class ArtifactMissing extends Schema.TaggedError<ArtifactMissing>()("ArtifactMissing", fields) {
  override get message() {
    return text(this)
  }
}
/** A file's size or SHA-256 is not the manifest's: cut short, or from another version. */
export class ArtifactCorrupt extends Schema.TaggedError<ArtifactCorrupt>()("ArtifactCorrupt", fields) {
  override get message() {
    return text(this)
  }
}
/** The file is whole, but not in a form that this version reads. */
export class ArtifactFormat extends Schema.TaggedError<ArtifactFormat>()("ArtifactFormat", fields) {
  override get message() {
    return text(this)
  }
}
/** The tensors are not those of the spec. */
export class ArtifactShape extends Schema.TaggedError<ArtifactShape>()("ArtifactShape", fields) {
  override get message() {
    return text(this)
  }
}
export type ArtifactError = ArtifactMissing | ArtifactCorrupt | ArtifactFormat | ArtifactShape
