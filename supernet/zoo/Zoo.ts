/** The fixed networks that the paper's baselines run, smallest first. */
import { denseNet161 } from "./DenseNet.ts"
import { inceptionV3 } from "./InceptionV3.ts"
import type { Network } from "./LayerGraph.ts"
import { mobileNetV3Large } from "./MobileNetV3.ts"
import { resNet50, resNeXt101 } from "./ResNet.ts"

export const zoo: ReadonlyArray<Network> = [
  mobileNetV3Large(),
  resNet50(),
  inceptionV3(),
  denseNet161(),
  resNeXt101(),
]
