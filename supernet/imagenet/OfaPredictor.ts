/**
 * Once-for-all's own accuracy predictor for the w1.2 MobileNetV3 space, from its published PyTorch file: an MLP
 * 128-400-400-400-1 with ReLU. The features are OFA's (`ofa/tutorial/accuracy_predictor.py`): kernel one-hot per block,
 * expand one-hot per block (zeros where the block does not run), resolution one-hot over 112, 128 .. 224.
 *
 * Gotcha: the supernet was trained on 160..224; the columns of the smaller resolutions were never fitted and predict
 * nonsense (112 better than 160). And the targets are accuracies on held-out *training* images, about 3.5 points above
 * ImageNet's validation set; see Fit.ts for the check against published networks.
 */
import type { StateDict } from "../import/TorchCheckpoint.ts"
import type { Submodel } from "../Submodel.ts"
import { type Tensor, tensor } from "../Weights.ts"

export const predictorResolutions: ReadonlyArray<number> = [160, 176, 192, 208, 224]

const kernels = [3, 5, 7]
const expands = [3, 4, 6]
const blocks = 20

/** Indices of the ones among the 128 features. Blocks that do not run have kernel 0 and give none. */
export const activeFeatures = (submodel: Submodel): ReadonlyArray<number> => {
  const oneHot = (values: ReadonlyArray<number>, choices: ReadonlyArray<number>, offset: number) =>
    values.flatMap((value, i) => {
      const choice = choices.indexOf(value)
      return choice < 0 ? [] : [offset + i * choices.length + choice]
    })
  return [
    ...oneHot(submodel.kernels, kernels, 0),
    ...oneHot(submodel.expands, expands, 3 * blocks),
    6 * blocks + (submodel.resolution - 112) / 16,
  ]
}

/** y = W x + b. */
const linear = (weight: Tensor, bias: Tensor, x: Float64Array): Float64Array => {
  const inputs = x.length
  return Float64Array.from(bias.data, (b, row) => {
    let sum = b
    for (let i = 0; i < inputs; i++) sum += (weight.data[row * inputs + i] ?? 0) * (x[i] ?? 0)
    return sum
  })
}

const relu = (x: Float64Array): Float64Array => x.map((v) => Math.max(0, v))

/** The published network as a function: predicted accuracy (0..1) of a submodel at one of `predictorResolutions`. */
export const ofaPredictor = (state: StateDict): ((submodel: Submodel) => number) => {
  const layers = [0, 2, 4, 6].map((i) => [tensor(state, `${i}.weight`), tensor(state, `${i}.bias`)] as const)
  return (submodel) => {
    let x: Float64Array = new Float64Array(128)
    for (const i of activeFeatures(submodel)) x[i] = 1
    for (const [i, [weight, bias]] of layers.entries()) {
      x = linear(weight, bias, x)
      if (i < layers.length - 1) x = relu(x)
    }
    return x[0] ?? Number.NaN
  }
}
