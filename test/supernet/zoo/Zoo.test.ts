import { assert, describe, it } from "@effect/vitest"
import { inceptionAuxiliaryParameters } from "../../../supernet/zoo/InceptionV3.ts"
import {
  cutPoints,
  elements,
  imageInput,
  type Network,
  NetworkBuilder,
  networkMacs,
  networkParameters,
} from "../../../supernet/zoo/LayerGraph.ts"
import { zoo } from "../../../supernet/zoo/Zoo.ts"

const named = (name: string): Network => {
  const network = zoo.find((n) => n.name === name)
  assert.isDefined(network)
  return network
}

describe("layer tables", () => {
  // torchvision: parameters to the last one, GMACs (there called GFLOPS) as printed, top-1 of IMAGENET1K_V1.
  it.each([
    ["MobileNetV3-L", 5_483_032, 0.22, 0.74042],
    ["ResNet50", 25_557_032, 4.09, 0.7613],
    ["InceptionV3", 27_161_264, 5.71, 0.77294],
    ["DenseNet161", 28_681_000, 7.73, 0.77138],
    ["ResNeXt101-32x8d", 88_791_336, 16.41, 0.79312],
  ])("%s has its published parameters and MACs", (name, parameters, gmacs, top1) => {
    const network = named(name)
    const auxiliary = name === "InceptionV3" ? inceptionAuxiliaryParameters : 0
    assert.strictEqual(networkParameters(network) + auxiliary, parameters)
    assert.strictEqual(Number((networkMacs(network) / 1e9).toFixed(2)), gmacs)
    assert.strictEqual(network.top1, top1)
  })

  it.each(zoo.map((n) => [n.name, n] as const))("%s reads only layers that come before", (_, network) => {
    for (const layer of network.layers) {
      for (const input of layer.inputs) assert.isBelow(input, layer.index)
      assert.isTrue(Number.isInteger(layer.output.height) && layer.output.height > 0, layer.name)
    }
    assert.deepStrictEqual(network.layers.at(-1)?.output, { channels: 1000, height: 1, width: 1 })
  })

  it("gives the maps of ResNet50 the sizes of its paper", () => {
    const sizes = named("ResNet50")
      .layers.filter((l) => l.name.endsWith("add"))
      .map((l) => l.output)
    assert.deepStrictEqual(sizes[2], { channels: 256, height: 56, width: 56 })
    assert.deepStrictEqual(sizes.at(-1), { channels: 2048, height: 7, width: 7 })
  })
})

describe("cutPoints", () => {
  /** image -> a -> b -> add(a, b) -> pool -> fc */
  const small = () => {
    const b = new NetworkBuilder(8)
    b.within("n")
    const first = b.conv("a", imageInput, { out: 4, kernel: 3, stride: 2 })
    const second = b.conv("b", first, { out: 4, kernel: 3 })
    b.linear("fc", b.pool("pool", b.combine("add", first, second)), 10)
    return b.build("small", 0, "")
  }

  it("counts every tensor that is read behind the cut: inside a shortcut, two of them", () => {
    assert.deepStrictEqual(
      cutPoints(small()).map((c) => [c.crossing, c.values]),
      [
        [[imageInput], 192],
        [[0], 64],
        [[0, 1], 128],
        [[2], 64],
        [[3], 4],
        [[4], 10],
      ],
    )
  })

  it("finds one crossing tensor behind every block of a residual network, and more inside", () => {
    const network = named("ResNet50")
    const cuts = cutPoints(network)
    for (const layer of network.layers.filter((l) => l.name.endsWith("add"))) {
      assert.deepStrictEqual(cuts[layer.index + 1]?.crossing, [layer.index])
      assert.strictEqual(cuts[layer.index + 1]?.values, elements(layer.output))
    }
    const inside = network.layers.find((l) => l.name === "layer2.1.conv2")
    assert.strictEqual(cuts[(inside?.index ?? 0) + 1]?.crossing.length, 2)
  })

  it("crosses with the result behind the last layer and with the image before the first", () => {
    for (const network of zoo) {
      const cuts = cutPoints(network)
      assert.deepStrictEqual(cuts[0]?.crossing, [imageInput])
      assert.strictEqual(cuts.at(-1)?.values, 1000)
    }
  })
})
