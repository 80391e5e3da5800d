/** Every tensor a model of a given shape has, under the core's names, and where checkpoints keep it. */
import type { LayerDescription, ModelShape, MoeDescription } from '../description.js';

/** One place where a checkpoint may keep a wanted tensor: a tensor of its own, or a part of a larger one. */
export interface TensorSource {
  name: string;
  /** The shape of the whole stored tensor. */
  shape: number[];
  /** Where the wanted part begins in it, in elements. */
  firstElement: number;
}

export interface WantedTensor {
  /** The core's name, as in {@link TensorEntry}. */
  name: string;
  shape: number[];
  /** Likeliest first. */
  sources: TensorSource[];
}

/**
 * The part of the model that a tensor counts towards. `norm` is read for each token, but the published active count
 * leaves it out.
 */
export type TensorPart = 'embedding' | 'attention' | 'router' | 'routed' | 'ffn' | 'head' | 'norm' | 'mtp';

export type Wanted = WantedTensor & { part: TensorPart };

/**
 * Every tensor the core wants for a model, in the order a forward pass uses them. It needs no files, so that a model
 * can be measured from its config alone.
 */
export function* wantedTensors(shape: ModelShape): Generator<Wanted> {
  const { vocabSize, hiddenSize } = shape;
  yield stored('embedding', 'embed', 'model.embed_tokens.weight', [vocabSize, hiddenSize]);
  for (const [index, layer] of shape.layers.entries()) {
    yield* layerTensors(shape, layer, `layers.${index}.`, `model.layers.${index}.`);
  }
  yield stored('norm', 'norm', 'model.norm.weight', [hiddenSize]);
  if (!shape.tiedHead) yield stored('head', 'head', 'lm_head.weight', [vocabSize, hiddenSize]);
  if (shape.mtp !== null) yield* mtpTensors(shape, shape.mtp);
}

/** Elements of a tensor. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function* mtpTensors(shape: ModelShape, layer: LayerDescription): Generator<Wanted> {
  const hidden = shape.hiddenSize;
  yield stored('mtp', 'mtp.embedding_norm', 'mtp.pre_fc_norm_embedding.weight', [hidden]);
  yield stored('mtp', 'mtp.hidden_norm', 'mtp.pre_fc_norm_hidden.weight', [hidden]);
  // Its input is the embedding's norm followed by the hidden state's.
  yield stored('mtp', 'mtp.fc', 'mtp.fc.weight', [hidden, 2 * hidden]);
  for (const tensor of layerTensors(shape, layer, 'mtp.layer.', 'mtp.layers.0.')) yield { ...tensor, part: 'mtp' };
  yield stored('mtp', 'mtp.norm', 'mtp.norm.weight', [hidden]);
}

function* layerTensors(shape: ModelShape, layer: LayerDescription, name: string, from: string): Generator<Wanted> {
  const { hiddenSize, headDim } = shape;
  const queries = shape.heads * headDim;
  const keys = shape.kvHeads * headDim;
  // post_attention_layernorm reads the FFN's input where norms come first, and the attention's output where they
  // come last.
  const isPre = shape.normPlacement === 'pre';
  const attentionNorm = isPre ? 'input_layernorm' : 'post_attention_layernorm';
  const ffnNorm = isPre ? 'post_attention_layernorm' : 'post_feedforward_layernorm';
  yield stored('norm', `${name}attention_norm`, `${from}${attentionNorm}.weight`, [hiddenSize]);
  yield stored('attention', `${name}q`, `${from}self_attn.q_proj.weight`, [queries, hiddenSize]);
  yield stored('attention', `${name}k`, `${from}self_attn.k_proj.weight`, [keys, hiddenSize]);
  yield stored('attention', `${name}v`, `${from}self_attn.v_proj.weight`, [keys, hiddenSize]);
  yield stored('attention', `${name}q_norm`, `${from}self_attn.q_norm.weight`, [headDim]);
  yield stored('attention', `${name}k_norm`, `${from}self_attn.k_norm.weight`, [headDim]);
  yield stored('attention', `${name}o`, `${from}self_attn.o_proj.weight`, [hiddenSize, queries]);
  yield stored('norm', `${name}ffn_norm`, `${from}${ffnNorm}.weight`, [hiddenSize]);
  if (layer.ffn === 'dense') yield* ffnTensors(hiddenSize, layer.ffnWidth, name, `${from}mlp.`);
  else yield* moeTensors(hiddenSize, shape.moe!, layer.ffnWidth, name, `${from}mlp.`);
}

function* ffnTensors(hidden: number, width: number, name: string, from: string): Generator<Wanted> {
  yield stored('ffn', `${name}gate`, `${from}gate_proj.weight`, [width, hidden]);
  yield stored('ffn', `${name}up`, `${from}up_proj.weight`, [width, hidden]);
  yield stored('ffn', `${name}down`, `${from}down_proj.weight`, [hidden, width]);
}

function* moeTensors(
  hidden: number,
  moe: MoeDescription,
  width: number,
  name: string,
  from: string,
): Generator<Wanted> {
  yield stored('router', `${name}router`, `${from}gate.weight`, [moe.experts, hidden]);
  const bias = stored('norm', `${name}router_bias`, `${from}e_score_correction_bias`, [moe.experts]);
  // Where transformers keeps it in memory, and so where a model saved by it has it.
  bias.sources.push(whole(`${from}gate.e_score_correction_bias`, bias.shape));
  yield bias;
  for (let expert = 0; expert < moe.experts; expert++) {
    for (const matrix of expertTensors(hidden, moe.experts, width, expert, from)) {
      yield { ...matrix, name: `${name}experts.${expert}.${matrix.name}` };
    }
  }
  if (moe.sharedExperts > 0) {
    yield* ffnTensors(hidden, moe.sharedExperts * width, `${name}shared.`, `${from}shared_experts.`);
  }
}

/**
 * One expert's matrices, each on its own, or as transformers 5 saves them: all experts' in one tensor, of which the
 * first holds every expert's gate rows and then its up rows.
 */
function expertTensors(hidden: number, experts: number, width: number, expert: number, from: string): Wanted[] {
  const gateUp = [experts, 2 * width, hidden];
  const down = [experts, hidden, width];
  const matrix = width * hidden;
  const own = `${from}experts.${expert}.`;
  const wanted: [string, number[], string, number[], number][] = [
    ['gate', [width, hidden], 'gate_up_proj', gateUp, 2 * expert * matrix],
    ['up', [width, hidden], 'gate_up_proj', gateUp, (2 * expert + 1) * matrix],
    ['down', [hidden, width], 'down_proj', down, expert * matrix],
  ];
  return wanted.map(([name, shape, fused, fusedShape, firstElement]) => {
    const tensor = stored('routed', name, `${own}${name}_proj.weight`, shape);
    for (const suffix of ['', '.weight']) {
      tensor.sources.push({ name: `${from}experts.${fused}${suffix}`, shape: fusedShape, firstElement });
    }
    return tensor;
  });
}

function stored(part: TensorPart, name: string, source: string, shape: number[]): Wanted {
  return { part, name, shape, sources: [whole(source, shape)] };
}

function whole(name: string, shape: number[]): TensorSource {
  return { name, shape, firstElement: 0 };
}
