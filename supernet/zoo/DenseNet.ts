/** DenseNet-161 (Huang et al., CVPR 2017), growth 48, as torchvision has it. Batch norms stand before convolutions. */
import { imageInput, type Network, NetworkBuilder } from "./LayerGraph.ts"
import { torchvision } from "./Source.ts"

const growth = 48
const depths = [6, 12, 36, 24]
/** Channels of the 1x1 bottleneck, in growths. */
const bottleneck = 4

export const denseNet161 = (): Network => {
  const b = new NetworkBuilder(224)
  b.within("features.stem")
  let x = b.conv("conv0", imageInput, { out: 96, kernel: 7, stride: 2 })
  x = b.pool("pool0", x, { kernel: 3, stride: 2, padding: 1 })
  for (const [block, depth] of depths.entries()) {
    for (let i = 0; i < depth; i++) {
      b.within(`features.denseblock${block + 1}.${i + 1}`)
      let y = b.normalise("norm1", x)
      // Its batch norm (norm2) folds into it; that of conv2's output is a later layer's norm1.
      y = b.conv("conv1", y, { out: bottleneck * growth, kernel: 1 })
      y = b.conv("conv2", y, { out: growth, kernel: 3, norm: false })
      x = b.concat("concat", [x, y])
    }
    if (block === depths.length - 1) break
    b.within(`features.transition${block + 1}`)
    x = b.conv("conv", b.normalise("norm", x), { out: b.shape(x).channels / 2, kernel: 1, norm: false })
    x = b.pool("pool", x, { kernel: 2, stride: 2 })
  }
  b.within("classifier")
  b.linear("fc", b.pool("pool", b.normalise("norm5", x)), 1000)
  return b.build("DenseNet161", 0.77138, torchvision)
}
