/** MobileNetV3-Large (Howard et al., ICCV 2019, table 1), as torchvision has it. */
import { makeDivisible } from "../Spec.ts"
import { imageInput, type Network, NetworkBuilder } from "./LayerGraph.ts"
import { torchvision } from "./Source.ts"

/** kernel, hidden channels, output channels, squeeze-excite, stride */
const blocks: ReadonlyArray<readonly [number, number, number, boolean, number]> = [
  [3, 16, 16, false, 1],
  [3, 64, 24, false, 2],
  [3, 72, 24, false, 1],
  [5, 72, 40, true, 2],
  [5, 120, 40, true, 1],
  [5, 120, 40, true, 1],
  [3, 240, 80, false, 2],
  [3, 200, 80, false, 1],
  [3, 184, 80, false, 1],
  [3, 184, 80, false, 1],
  [3, 480, 112, true, 1],
  [3, 672, 112, true, 1],
  [5, 672, 160, true, 2],
  [5, 960, 160, true, 1],
  [5, 960, 160, true, 1],
]

export const mobileNetV3Large = (): Network => {
  const b = new NetworkBuilder(224)
  b.within("features.0")
  let x = b.conv("conv", imageInput, { out: 16, kernel: 3, stride: 2 })
  for (const [i, [kernel, hidden, out, squeeze, stride]] of blocks.entries()) {
    b.within(`features.${i + 1}`)
    const [input, inputs] = [x, b.shape(x).channels]
    if (hidden !== inputs) x = b.conv("expand", x, { out: hidden, kernel: 1 })
    x = b.conv("depthwise", x, { out: hidden, kernel, stride, groups: hidden })
    if (squeeze) {
      const squeezed = b.linear("squeeze", b.pool("pool", x), makeDivisible(hidden / 4))
      x = b.combine("scale", x, b.linear("excite", squeezed, hidden))
    }
    x = b.conv("project", x, { out, kernel: 1 })
    if (stride === 1 && inputs === out) x = b.combine("add", x, input)
  }
  b.within("head")
  x = b.pool("pool", b.conv("conv", x, { out: 960, kernel: 1 }))
  b.linear("classifier", b.linear("features", x, 1280), 1000)
  return b.build("MobileNetV3-L", 0.74042, torchvision)
}
