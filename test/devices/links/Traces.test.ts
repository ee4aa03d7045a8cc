import { assert, describe, it } from "@effect/vitest"
import { readTraces } from "../../../devices/links/TraceFiles.ts"
import {
  parseJellyfish,
  parseLumos,
  parseLumos5g,
  parseUplink,
  traceScript,
} from "../../../devices/links/Traces.ts"

describe("trace formats", () => {
  it("Lumos: chunks become a rate per second of downloading, without the first", () => {
    const text = [
      "downstream_bandwidth,connection_type,signal_strength,bitrate,chunk_size,app_throughput,delivery_time,player_state,chunk_index",
      "5M,wifi,strong,300,16,379,0.042,steady,1",
      "5M,wifi,strong,300,1295,8000,0.5,buffering,2",
      "5M,wifi,strong,300,1295,4000,1.5,buffering,3",
    ].join("\n")
    const trace = parseLumos("210414-5Mbps-wifi_5GHz-strong.csv", text)
    assert.deepStrictEqual(trace.values, [6, 4])
    assert.strictEqual(trace.class, "wifi-5GHz strong")
  })
  it("Lumos5G: tab or space between second and rate", () => {
    assert.deepStrictEqual(parseLumos5g("5G/5g_trace_10_walking", "0 491.0\n1\t382.0\n").values, [491, 382])
  })
  it("uplink: a run per row, rows of times left out, brought to half a second", () => {
    const times = Array.from({ length: 20 }, (_, i) => 18.777 + i / 10).join(",")
    const values = Array.from({ length: 20 }, (_, i) => (i < 5 ? 10 : 20)).join(",")
    const traces = parseUplink("throughput/driving/5g/x.list", `\n#####\nRun 1\n${times}\n${values}\n`)
    assert.lengthOf(traces, 1)
    assert.deepStrictEqual(traces[0]?.values, [10, 20, 20, 20])
    assert.strictEqual(traces[0]?.class, "uplink 5g driving")
  })
  it("become a script that a shaper plays", () => {
    const script = traceScript(parseJellyfish("jellyfish/wifi_trace.txt", "54.6\n0\n"), 2)
    assert.deepStrictEqual(script, [
      { atMs: 0, set: { up: { mbps: 54.6 }, down: { mbps: 54.6 } } },
      { atMs: 500, set: { up: { mbps: 0.1 }, down: { mbps: 0.1 } } },
    ])
  })
  it("are none where the folder is absent", () => {
    assert.deepStrictEqual(readTraces("/nowhere"), [])
  })
})
