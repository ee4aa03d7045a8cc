/**
 * AdamW (Loshchilov & Hutter 2019) and an exponential moving average of the weights, over a range of the flat vector, so that
 * each worker updates its own part of the shared state.
 */

export interface OptimizerState {
  readonly parameters: Float32Array
  readonly momentum: Float32Array
  readonly variance: Float32Array
  readonly average: Float32Array
  readonly decays: Uint8Array
}

export interface OptimizerSettings {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly weightDecay: number
  /** Decay of the moving average once it is warm. */
  readonly averageDecay: number
}

/** `update` counts from 1 since the moments were last zero (bias correction); `gradients` are summed and scaled by `scale`. */
export const optimizerStep = (
  state: OptimizerState,
  gradients: ReadonlyArray<Float32Array>,
  scale: number,
  range: readonly [number, number],
  settings: OptimizerSettings,
  learningRate: number,
  update: number,
): void => {
  const { parameters: p, momentum: m, variance: v, average, decays } = state
  const { beta1, beta2, epsilon } = settings
  const rate = learningRate / (1 - beta1 ** update)
  const correction = 1 / (1 - beta2 ** update)
  const decay = learningRate * settings.weightDecay
  // A young average follows quickly: (1 + t) / (10 + t), as in TensorFlow's ExponentialMovingAverage.
  const keep = Math.min(settings.averageDecay, (1 + update) / (10 + update))
  for (let i = range[0]; i < range[1]; i++) {
    let g = 0
    for (const slot of gradients) g += slot[i]!
    g *= scale
    const mi = beta1 * m[i]! + (1 - beta1) * g
    const vi = beta2 * v[i]! + (1 - beta2) * g * g
    m[i] = mi
    v[i] = vi
    let w = p[i]!
    if (decays[i] === 1) w -= decay * w
    w -= (rate * mi) / (Math.sqrt(vi * correction) + epsilon)
    p[i] = w
    average[i] = keep * average[i]! + (1 - keep) * w
  }
}
