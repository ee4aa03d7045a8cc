/** Is this machine able to run a device: Node, native libraries, nats-server, the supernet's files. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { Effect } from "effect"
import { jemalloc } from "../deploy/Allocator.ts"
import { serverProgram } from "../deploy/NatsProcess.ts"
import { artifactAccuracy } from "../policies/ArtifactAccuracy.ts"
import { accuracyPredictorFile, checkFiles, defaultArtifact, readArtifact } from "../supernet/Artifact.ts"
import { ArtifactFormat } from "../supernet/ArtifactErrors.ts"
import { errorText } from "../supernet/ErrorText.ts"
import { atLeast, type Finding, findings } from "./DoctorCheck.ts"

const { ok, warning, failed } = findings("install")

/** Runs TypeScript as it is, from here on. */
const oldestNode = "22.18.0"
/** What Debian 12 has; everything here is tested with it. */
const oldestNatsServer = "2.9.10"

const node = (): Finding => {
  const { version } = process
  const here = `${version} on ${process.platform} ${process.arch}`
  return atLeast(version.slice(1), oldestNode)
    ? ok("node", here)
    : failed(
        "node",
        `${here}; ${oldestNode} or newer is needed`,
        "start through npm ('npm run murmuration -- ...'), which uses the pinned Node",
      )
}

/** A native library loads, or why not. */
const library = (name: string, load: () => Promise<unknown>, what: string): Effect.Effect<Finding> =>
  Effect.tryPromise(load).pipe(
    Effect.as(ok(name, `loads (${what})`)),
    Effect.catch((error) => {
      const cause = error.cause instanceof Error ? error.cause.message : String(error.cause)
      const advice = `run 'npm run setup'; ${name} needs glibc 2.28 or newer on linux x64 or arm64`
      return Effect.succeed(failed(name, cause.split("\n")[0] ?? "", advice))
    }),
  )

const natsServer: Effect.Effect<Finding> = Effect.callback<Finding>((resume) => {
  const { binary, path } = serverProgram()
  execFile(binary, ["--version"], { env: { ...process.env, PATH: path } }, (error, stdout, stderr) => {
    const version = /v?(\d+\.\d+\.\d+)/.exec(`${stdout}${stderr}`)?.[1]
    const advice = `install nats-server ${oldestNatsServer} or newer (deploy/README.md), or name it in NATS_SERVER`
    const found =
      error !== null || version === undefined
        ? warning("nats-server", `${binary} cannot be run; only needed where a hub or leaf runs`, advice)
        : atLeast(version, oldestNatsServer)
          ? ok("nats-server", version)
          : failed("nats-server", `${version}; ${oldestNatsServer} or newer is needed`, advice)
    resume(Effect.succeed(found))
  })
})

/** Without jemalloc all works, and takes more memory. */
const allocator = (): Finding => {
  const path = jemalloc()
  const advice = "only where a device runs: sudo apt-get install libjemalloc2 (deploy/README.md)"
  return path === undefined
    ? warning("jemalloc", "is not installed; a device takes some 60 MB more, and grows for hours", advice)
    : ok("jemalloc", path)
}

const badPredictor = (directory: string) => (cause: unknown) =>
  new ArtifactFormat({
    path: join(directory, accuracyPredictorFile),
    needed: "an accuracy predictor",
    found: errorText(cause),
    retryable: false,
    hint: `No device starts with it; make it anew: murmuration supernet fit --artifact ${directory}`,
  })

/** The files that the supernet's manifest lists are all there with its digests, and its accuracy predictor is its own. */
export const examineSupernet = (directory: string): Effect.Effect<Finding> =>
  Effect.gen(function* () {
    const path = directory === "" ? yield* defaultArtifact : directory
    const { spec, manifest } = yield* readArtifact(path)
    yield* checkFiles(path, manifest)
    const { refused } = yield* Effect.try({
      try: () => artifactAccuracy(spec, path),
      catch: badPredictor(path),
    })
    const what = `${spec.name} ${spec.version}, ${Object.keys(manifest.files).length} files, digests agree`
    if (refused !== undefined) {
      const advice = "until then plans go by a stand-in for accuracy, which says nothing of this supernet"
      return warning("supernet", `${what}; ${refused}`, advice)
    }
    return spec.trained
      ? ok("supernet", what)
      : warning(
          "supernet",
          `${what}; untrained weights`,
          "its answers mean nothing; see docs/ for training or importing one",
        )
  }).pipe(
    Effect.catch((error) => {
      const advice = "hint" in error ? error.hint : "name an artifact directory with --supernet"
      return Effect.succeed(failed("supernet", error.message, advice))
    }),
  )

/** `supernetDirectory` empty: the default one. */
export const examineInstall = (supernetDirectory: string): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.all([
    Effect.sync(node),
    library("onnxruntime", () => import("onnxruntime-node"), "runs the networks"),
    library("sharp", () => import("sharp"), "decodes images"),
    natsServer,
    Effect.sync(allocator),
    examineSupernet(supernetDirectory),
  ])
