/** ResNet-50 (He et al., CVPR 2016) and ResNeXt-101 32x8d (Xie et al., CVPR 2017), as torchvision has them. */
import { imageInput, type Network, NetworkBuilder } from "./LayerGraph.ts"
import { torchvision } from "./Source.ts"

interface Options {
  /** Bottlenecks per stage. */
  readonly depths: ReadonlyArray<number>
  readonly groups: number
  /** Channels of a group in the first stage. */
  readonly groupWidth: number
}

/** Bottlenecks with the stride at the 3x3 convolution ("v1.5"). */
const resNet = ({ depths, groups, groupWidth }: Options): NetworkBuilder => {
  const b = new NetworkBuilder(224)
  b.within("stem")
  let x = b.conv("conv", imageInput, { out: 64, kernel: 7, stride: 2 })
  x = b.pool("maxpool", x, { kernel: 3, stride: 2, padding: 1 })
  for (const [stage, depth] of depths.entries()) {
    const [width, out] = [groupWidth * groups * 2 ** stage, 256 * 2 ** stage]
    for (let i = 0; i < depth; i++) {
      b.within(`layer${stage + 1}.${i}`)
      const stride = stage > 0 && i === 0 ? 2 : 1
      const input = x
      x = b.conv("conv1", x, { out: width, kernel: 1 })
      x = b.conv("conv2", x, { out: width, kernel: 3, stride, groups })
      x = b.conv("conv3", x, { out, kernel: 1 })
      const shortcut = i === 0 ? b.conv("downsample", input, { out, kernel: 1, stride }) : input
      x = b.combine("add", x, shortcut)
    }
  }
  b.within("head")
  b.linear("fc", b.pool("avgpool", x), 1000)
  return b
}

export const resNet50 = (): Network =>
  resNet({ depths: [3, 4, 6, 3], groups: 1, groupWidth: 64 }).build("ResNet50", 0.7613, torchvision)

export const resNeXt101 = (): Network =>
  resNet({ depths: [3, 4, 23, 3], groups: 32, groupWidth: 8 }).build("ResNeXt101-32x8d", 0.79312, torchvision)
