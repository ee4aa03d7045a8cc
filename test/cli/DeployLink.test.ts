import { assert, describe, it } from "@effect/vitest"
import { linkCommands } from "../../cli/DeployLink.ts"

const choice = { interface: "wlan0", peer: "", up: 20, down: 0, delay: 10, jitter: 0, undo: false }

describe("murmuration deploy link", () => {
  it("prints one command a line: outgoing at the rate, incoming only delayed where no rate is given", () => {
    const lines = linkCommands(choice).split("\n")
    assert.isTrue(lines.every((l) => /^(tc|ip) /.test(l)))
    assert.lengthOf(
      lines.filter((l) => l.includes("tbf rate 20mbit")),
      1,
    )
    assert.lengthOf(
      lines.filter((l) => l.includes("netem delay 10ms")),
      2,
    )
  })

  it("shapes one peer alone where it is named, and prints what takes everything away", () => {
    assert.include(linkCommands({ ...choice, peer: "10.0.0.1" }), "match ip dst 10.0.0.1")
    assert.include(linkCommands({ ...choice, undo: true }), "tc qdisc del dev wlan0 root")
  })
})
