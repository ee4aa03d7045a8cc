import { describe, expect, it } from "vitest"
import { createSession, floatTensor, floats } from "../../../supernet/onnx/Runtime.ts"
import { networkParameters } from "../../../supernet/zoo/LayerGraph.ts"
import { onnxFile } from "../../../supernet/zoo/OnnxFile.ts"
import { zoo } from "../../../supernet/zoo/Zoo.ts"

describe("the zoo as ONNX files", () => {
  it.each([zoo[0]!, zoo[3]!].map((n) => [n.name, n] as const))(
    "%s runs, with about as many weights as its definition says",
    async (_, network) => {
      const bytes = onnxFile(network)
      const ratio = bytes.length / 4 / networkParameters(network)
      expect(ratio).toBeGreaterThan(0.98)
      expect(ratio).toBeLessThan(1.03)
      const session = await createSession(bytes)
      const { channels, height, width } = network.input
      const image = floatTensor(new Float32Array(channels * height * width).fill(0.5), [
        1,
        channels,
        height,
        width,
      ])
      const out = Object.values(await session.run({ image }))[0]!
      expect(out.dims).toEqual([1, 1000, 1, 1])
      expect(floats(out as never).every(Number.isFinite)).toBe(true)
      await session.release()
    },
  )
})
