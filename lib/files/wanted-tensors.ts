/** Every tensor a model of a given shape has, under the core's names. */
import type { LayerDescription, ModelShape, MoeDescription } from '../description.js';

export interface WantedTensor {
  /** The core's name, as in `TensorEntry`. */
  name: string;
  shape: number[];
}

/**
 * The part of the model that a tensor counts towards. `norm` is read for each token, but the published active count
 * leaves it out.
 */
export type TensorPart = 'embedding' | 'attention' | 'router' | 'routed' | 'ffn' | 'head' | 'norm' | 'mtp';

export type Wanted = WantedTensor & { part: TensorPart };

/**
 * Every tensor the core wants for a model, in the order a forward pass uses them. It needs no files, so that a model
 * can be measured from its config alone. `sourcesOf()` in family/tensor-sources.ts says where files keep each.
 */
export function* wantedTensors(shape: ModelShape): Generator<Wanted> {
  const { vocabSize, hiddenSize } = shape;
  yield wanted('embedding', 'embed', [vocabSize, hiddenSize]);
  for (const [index, layer] of shape.layers.entries()) yield* layerTensors(shape, layer, `layers.${index}.`);
  yield wanted('norm', 'norm', [hiddenSize]);
  if (!shape.tiedHead) yield wanted('head', 'head', [vocabSize, hiddenSize]);
  if (shape.mtp !== null) yield* mtpTensors(shape, shape.mtp);
}

/** Elements of a tensor. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function* mtpTensors(shape: ModelShape, layer: LayerDescription): Generator<Wanted> {
  const hidden = shape.hiddenSize;
  yield wanted('mtp', 'mtp.embedding_norm', [hidden]);
  yield wanted('mtp', 'mtp.hidden_norm', [hidden]);
  // Its input is the embedding's norm followed by the hidden state's.
  yield wanted('mtp', 'mtp.fc', [hidden, 2 * hidden]);
  for (const tensor of layerTensors(shape, layer, 'mtp.layer.')) yield { ...tensor, part: 'mtp' };
  yield wanted('mtp', 'mtp.norm', [hidden]);
}

function* layerTensors(shape: ModelShape, layer: LayerDescription, name: string): Generator<Wanted> {
  const { hiddenSize, headDim } = shape;
  const queries = shape.heads * headDim;
  const keys = shape.kvHeads * headDim;
  yield wanted('norm', `${name}attention_norm`, [hiddenSize]);
  yield wanted('attention', `${name}q`, [queries, hiddenSize]);
  yield wanted('attention', `${name}k`, [keys, hiddenSize]);
  yield wanted('attention', `${name}v`, [keys, hiddenSize]);
  if (shape.qkNorm) {
    yield wanted('attention', `${name}q_norm`, [headDim]);
    yield wanted('attention', `${name}k_norm`, [headDim]);
  }
  yield wanted('attention', `${name}o`, [hiddenSize, queries]);
  yield wanted('norm', `${name}ffn_norm`, [hiddenSize]);
  if (layer.ffn === 'dense') yield* ffnTensors('ffn', hiddenSize, layer.ffnWidth, name);
  else yield* moeTensors(hiddenSize, shape.moe!, layer.ffnWidth, name);
}

function* ffnTensors(part: TensorPart, hidden: number, width: number, name: string): Generator<Wanted> {
  yield wanted(part, `${name}gate`, [width, hidden]);
  yield wanted(part, `${name}up`, [width, hidden]);
  yield wanted(part, `${name}down`, [hidden, width]);
}

function* moeTensors(hidden: number, moe: MoeDescription, width: number, name: string): Generator<Wanted> {
  yield wanted('router', `${name}router`, [moe.experts, hidden]);
  yield wanted('norm', `${name}router_bias`, [moe.experts]);
  for (let expert = 0; expert < moe.experts; expert++)
    yield* ffnTensors('routed', hidden, width, `${name}experts.${expert}.`);
  if (moe.sharedExperts > 0) yield* ffnTensors('ffn', hidden, moe.sharedExperts * width, `${name}shared.`);
}

function wanted(part: TensorPart, name: string, shape: number[]): Wanted {
  return { part, name, shape };
}
