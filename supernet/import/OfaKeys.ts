/**
 * The names that Once-for-All's MobileNetV3 gives its parameters, mapped to the names of Weights.ts.
 *
 * Checkpoints come in dialects, all of which OFA's own `load_state_dict` accepts: `.mobile_inverted_conv.` or `.conv.` for
 * a block's body, static (`.bn.`, `.conv.weight`, `.linear.`) or dynamic layers (`.bn.bn.`, `.conv.conv.weight`,
 * `.linear.linear.`), with or without DataParallel's `module.`. `canonicalKey` reduces them to the static form:
 *   first_conv, blocks.0.{depth_conv,point_linear},
 *   blocks.i.{inverted_bottleneck,depth_conv,depth_conv.se.fc.{reduce,expand},point_linear}, i = 1 ..
 *   final_expand_layer, feature_mix_layer, classifier
 * Source: mit-han-lab/once-for-all, `ofa/imagenet_classification/elastic_nn/networks/ofa_mbv3.py`.
 */
import { blockName } from "../Weights.ts"
import { blocksOf, type SupernetSpec } from "../Spec.ts"

export const canonicalKey = (key: string): string =>
  key
    .replace(/^module\./, "")
    .replace(/^(blocks\.\d+)\.(?:mobile_inverted_conv|conv)\./, "$1.")
    .replace(/\.bn\.bn\./, ".bn.")
    .replace(/\.conv\.conv\.weight$/, ".conv.weight")
    .replace(/^classifier\.linear\.linear\./, "classifier.linear.")

/** Parameters that carry nothing for inference. */
export const isIgnoredKey = (key: string): boolean => key.endsWith(".num_batches_tracked")

/** One tensor of ours and the (canonical) OFA key that it comes from. */
export interface KeyPair {
  readonly ours: string
  readonly ofa: string
  /** Absent is fine: kernel transforms of a network that was trained without them are identities. */
  readonly optional?: boolean
}

const norm = (ours: string, ofa: string): ReadonlyArray<KeyPair> => [
  { ours: `${ours}.gamma`, ofa: `${ofa}.bn.weight` },
  { ours: `${ours}.beta`, ofa: `${ofa}.bn.bias` },
  { ours: `${ours}.mean`, ofa: `${ofa}.bn.running_mean` },
  { ours: `${ours}.var`, ofa: `${ofa}.bn.running_var` },
]

const squeezeExcite = (ours: string, ofa: string): ReadonlyArray<KeyPair> =>
  ["reduce", "expand"].flatMap((layer) => [
    { ours: `${ours}.se.${layer}`, ofa: `${ofa}.depth_conv.se.fc.${layer}.weight` },
    { ours: `${ours}.se.${layer}_bias`, ofa: `${ofa}.depth_conv.se.fc.${layer}.bias` },
  ])

const dynamicBlock = (ours: string, ofa: string, withSqueeze: boolean): ReadonlyArray<KeyPair> => [
  { ours: `${ours}.expand`, ofa: `${ofa}.inverted_bottleneck.conv.weight` },
  ...norm(`${ours}.expand_bn`, `${ofa}.inverted_bottleneck`),
  { ours: `${ours}.dw`, ofa: `${ofa}.depth_conv.conv.weight` },
  { ours: `${ours}.to5`, ofa: `${ofa}.depth_conv.conv.7to5_matrix`, optional: true },
  { ours: `${ours}.to3`, ofa: `${ofa}.depth_conv.conv.5to3_matrix`, optional: true },
  ...norm(`${ours}.dw_bn`, `${ofa}.depth_conv`),
  ...(withSqueeze ? squeezeExcite(ours, ofa) : []),
  { ours: `${ours}.project`, ofa: `${ofa}.point_linear.conv.weight` },
  ...norm(`${ours}.project_bn`, `${ofa}.point_linear`),
]

/** Every tensor of a supernet with the OFA key it comes from, in the order of the network. */
export const ofaKeys = (spec: SupernetSpec): ReadonlyArray<KeyPair> => [
  { ours: "stem.conv", ofa: "first_conv.conv.weight" },
  ...norm("stem.bn", "first_conv"),
  { ours: "first.dw", ofa: "blocks.0.depth_conv.conv.weight" },
  ...norm("first.dw_bn", "blocks.0.depth_conv"),
  { ours: "first.project", ofa: "blocks.0.point_linear.conv.weight" },
  ...norm("first.project_bn", "blocks.0.point_linear"),
  ...blocksOf(spec).flatMap((b) =>
    b.kind === "dynamic"
      ? // OFA counts its "first" block as blocks.0.
        dynamicBlock(blockName(spec, b), `blocks.${b.index - 1}`, b.squeezeExcite)
      : [],
  ),
  { ours: "head.expand", ofa: "final_expand_layer.conv.weight" },
  ...norm("head.expand_bn", "final_expand_layer"),
  { ours: "head.mix", ofa: "feature_mix_layer.conv.weight" },
  { ours: "head.classifier", ofa: "classifier.linear.weight" },
  { ours: "head.classifier_bias", ofa: "classifier.linear.bias" },
]
