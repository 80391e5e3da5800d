// How much each kernel of the GPU device has to do, at the least, in one step of a model: what its time is held against.

/**
 * Bytes that the kernels of one decode step must read: weights once, and keys and values up to `position`, itself
 * included. Kernels that read neither are left out.
 *
 * @param {import('../dist/types.js').ModelConfig} config
 * @returns {Map<string, number>} by the kernel's name
 */
export function decodeWork(config, position, { weightBytes, cacheBytes }) {
  const work = new Map();
  const add = (name, bytes) => work.set(name, (work.get(name) ?? 0) + bytes);
  for (const layer of config.layers) {
    const { attentionWeights, routerWeights, ffnWeights } = weightsOf(config, layer);
    add('multiply', attentionWeights * weightBytes);
    add('route', routerWeights * weightBytes);
    add('swiglu_input', ((ffnWeights * 2) / 3) * weightBytes);
    add('swiglu_output', (ffnWeights / 3) * weightBytes);
    const keys = layer.window === 0 ? position + 1 : Math.min(layer.window, position + 1);
    add('attention', keys * 2 * config.kvHeads * config.headDim * cacheBytes);
  }
  add('multiply', config.vocabSize * config.hiddenSize * weightBytes);
  return work;
}

/**
 * Operations (a product and a sum are two) of the kernels that multiply weights in a prefill step of `rows` rows.
 *
 * @returns {Map<string, number>} by the kernel's name
 */
export function prefillWork(config, rows) {
  const work = new Map();
  const add = (name, products) => work.set(name, (work.get(name) ?? 0) + products * rows * 2);
  for (const layer of config.layers) {
    const { attentionWeights, ffnWeights } = weightsOf(config, layer);
    // One of the two is what the step runs.
    for (const name of ['multiply_tiled', 'multiply_matrices']) add(name, attentionWeights);
    add('swiglu_input_tiled', (ffnWeights * 2) / 3);
    add('swiglu_output_tiled', ffnWeights / 3);
  }
  return work;
}

/** Weights that one row meets in a layer. */
function weightsOf({ hiddenSize, heads, kvHeads, headDim, moe }, { ffn, ffnWidth }) {
  const attentionWeights = hiddenSize * headDim * (2 * heads + 2 * kvHeads);
  const width = ffn === 'moe' ? ffnWidth * (moe.topK + moe.sharedExperts) : ffnWidth;
  return {
    attentionWeights,
    routerWeights: ffn === 'moe' ? moe.experts * hiddenSize : 0,
    ffnWeights: 3 * hiddenSize * width,
  };
}
