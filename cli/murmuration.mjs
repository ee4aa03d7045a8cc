#!/usr/bin/env node
// `murmuration` as a command of its own (`npm link`), from any folder: like `npm run murmuration --`, but paths are those of
// the folder where one is. Plain JavaScript: any Node from 18 on starts it, and setup.mjs goes on in the pinned one.
import { fileURLToPath } from "node:url"

process.argv.splice(2, 0, "--run", fileURLToPath(new URL("main.ts", import.meta.url)))
await import("../deploy/setup.mjs")
