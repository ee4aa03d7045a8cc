// Makes a fresh machine ready, then runs one of the project's programs:
//   node deploy/setup.mjs                      install what is missing
//   node deploy/setup.mjs --run FILE [ARGS]    the same, then run FILE on the pinned Node
// Plain JavaScript without dependencies: it runs before anything is installed, on any Node from 18 on.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { constants } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const pinnedNode = join(root, "node_modules", ".bin", "node")
const stamp = join(root, "node_modules", ".murmuration-installed")
const lockHash = () =>
  createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex")
// Debian puts nats-server where an ordinary user's PATH does not look. What is run from here inherits this.
process.env.PATH = [process.env.PATH ?? "", "/usr/local/sbin", "/usr/sbin"].join(delimiter)
const say = (text) => process.stderr.write(`${text}\n`)

/** A command that must succeed; `advice` is printed when it does not. */
function must(command, args, advice, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], ...options })
  if (error === undefined && status === 0) return
  say(
    `\nsetup: '${command} ${args.join(" ")}' failed${error === undefined ? "" : ` (${error.message})`}.\n${advice}`,
  )
  process.exit(1)
}

const has = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined

function installPackages() {
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lockHash()) return
  say("setup: installing node packages (the first time takes a minute or two) ...")
  // 'install' rather than 'ci': a lock file written where a registry mirror lacks other platforms' optional
  // packages is refused by 'ci'. Pins and integrity hashes hold all the same, and the lock file is not rewritten.
  must(
    "npm",
    ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"],
    "Check that the npm registry is reached, then try again.",
    {
      env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip", npm_config_optional: "true" },
    },
  )
  writeFileSync(stamp, lockHash())
}

/** Debian's package starts a server of its own on port 4222, without any password: nothing here uses it. */
function switchOffDebianService(asRoot) {
  if (!existsSync("/run/systemd/system")) return
  say("setup: switching off the nats-server.service that came with the package; nothing here needs it.")
  const [command, ...args] = [...asRoot, "systemctl", "disable", "--now", "nats-server.service"]
  const { status } = spawnSync(command, args, { stdio: "ignore" })
  if (status !== 0) say("setup: that failed. Do it by hand: sudo systemctl disable --now nats-server.service")
}

/** nats-server from PATH or $NATS_SERVER, else from Debian, else an advice where to get it. */
function installNatsServer() {
  if (has(process.env.NATS_SERVER ?? "nats-server")) return
  const isRoot = process.getuid?.() === 0
  if (has("apt-get") && (isRoot || has("sudo"))) {
    say("setup: installing nats-server (Debian package) ...")
    const advice =
      "Install nats-server 2.9.10 or newer by hand (see deploy/README.md), or name it in NATS_SERVER."
    const asRoot = isRoot ? [] : ["sudo", "-n"]
    const [command, ...before] = [...asRoot, "apt-get"]
    must(command, [...before, "update", "-qq"], advice)
    must(command, [...before, "install", "-y", "-qq", "--no-install-recommends", "nats-server"], advice)
    switchOffDebianService(asRoot)
    return
  }
  say(
    "setup: nats-server was not found on PATH, and this machine has no apt-get that I may use.\n" +
      "Install version 2.9.10 or newer (macOS: brew install nats-server; others: deploy/README.md),\n" +
      "or set NATS_SERVER to its path, then try again.",
  )
  process.exit(1)
}

/** The demo, the benches and the tests start servers of their own; the other commands use one that runs, or none. */
function needsNatsServer([file, command, ...rest]) {
  if (file === undefined || !/(^|[\\/])cli[\\/]main\.ts$/.test(file)) return true
  return command === "demo" && !rest.includes("--help")
}

function run(args) {
  const strip = `--import=${pathToFileURL(join(root, "deploy", "strip.mjs")).href}`
  const flags = ["--disable-warning=ExperimentalWarning", strip]
  const child = spawn(pinnedNode, [...flags, ...args], { stdio: "inherit" })
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  child.on("error", (error) => {
    say(`setup: ${pinnedNode} cannot be started: ${error.message}`)
    process.exit(1)
  })
  // As a shell has it: 128 and the number of the signal that ended it.
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)))
}

installPackages()
const at = process.argv.indexOf("--run")
const program = at > 0 ? process.argv.slice(at + 1) : []
if (needsNatsServer(program)) installNatsServer()
if (at > 0) run(program)
else say("setup: ready. Next: npm run demo")
