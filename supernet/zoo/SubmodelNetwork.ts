/** One submodel of a supernet as a fixed network of layers: what a baseline would deploy if it had only that one. */
import { hiddenChannels, squeezeChannels, type SupernetSpec } from "../Spec.ts"
import { activeBlocks, type ActiveBlock, type Submodel } from "../Submodel.ts"
import { imageInput, type Network, NetworkBuilder } from "./LayerGraph.ts"

const addMbConv = (b: NetworkBuilder, spec: SupernetSpec, block: ActiveBlock, input: number): number => {
  const hidden =
    block.kind === "first" ? block.inChannels : hiddenChannels(spec, block.inChannels, block.expand)
  let x = input
  if (block.kind === "dynamic") x = b.conv("expand", x, { out: hidden, kernel: 1 })
  x = b.conv("depthwise", x, { out: hidden, kernel: block.kernel, stride: block.stride, groups: hidden })
  if (block.squeezeExcite) {
    const squeezed = b.linear("squeeze", b.pool("pool", x), squeezeChannels(hidden))
    x = b.combine("scale", x, b.linear("excite", squeezed, hidden))
  }
  x = b.conv("project", x, { out: block.outChannels, kernel: 1 })
  return block.residual ? b.combine("add", x, input) : x
}

export const submodelNetwork = (
  spec: SupernetSpec,
  submodel: Submodel,
  about: { readonly name: string; readonly top1: number; readonly source: string },
): Network => {
  const b = new NetworkBuilder(submodel.resolution)
  let x = imageInput
  for (const block of activeBlocks(spec, submodel)) {
    b.within(block.kind === "dynamic" ? `blocks.${block.index - 2}` : block.kind)
    if (block.kind === "stem")
      x = b.conv("conv", x, { out: block.outChannels, kernel: 3, stride: block.stride })
    else if (block.kind === "head") {
      x = b.pool("pool", b.conv("expand", x, { out: spec.headWidth, kernel: 1 }))
      b.linear("classifier", b.linear("mix", x, spec.featureWidth, false), spec.classes.length)
    } else x = addMbConv(b, spec, block, x)
  }
  return b.build(about.name, about.top1, about.source)
}
