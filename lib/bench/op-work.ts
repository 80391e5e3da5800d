/**
 * Counts the least work of each op of a step: bytes, each moved once, and operations. An op's time is compared with it.
 */
import type { ModelDescription, TensorEntry } from '../description.js';
import type { OpName } from '../device/ops.js';
import { limits } from '../limits.js';
import { heldBytes } from '../plan/option-values.js';
import type { WeightType } from '../types.js';

/** Calls of one op that are alike but for the layer. */
export interface OpGroup {
  op: OpName;
  /** The op's size in words: inputs by outputs, keys, or experts. */
  shape: string;
  /** The layers whose calls take turns. A single 0 for an op that has no layer. */
  layers: number[];
  /** The number of calls in a step. */
  perStep: number;
}

export interface OpWork {
  /** The bytes of weights, keys, values and rows, each read or written once. */
  bytes: number;
  /** The bytes of the weights alone. */
  weightBytes: number;
  /** The operations. A product and a sum are two. */
  flops: number;
}

/** The facts that the work depends on and that the model does not tell. */
export interface StepSize {
  rows: number;
  /** The tokens in the context before. */
  depth: number;
  /** The option `weights` that the model was loaded with. */
  weights: WeightType;
  /** The size of an activation between ops (bytes). */
  elementBytes: number;
  /** The size of an element of the KV cache (bytes). */
  cacheBytes: number;
  /** The number of different experts that the rows are sent to. */
  expertsRead: number;
}

/** The ops of a step of the model, grouped by op and shape. `draft_input` is no part of a step without drafts. */
export function opGroups(description: ModelDescription): OpGroup[] {
  const { layers, moe, hiddenSize, heads, kvHeads, headDim, vocabSize } = description;
  const indices = layers.map((_, i) => i);
  const queries = heads * headDim;
  const groups: OpGroup[] = [];
  const add = (op: OpName, shape: string, wanted: number[]) => {
    if (wanted.length > 0) groups.push({ op, shape, layers: wanted, perStep: wanted.length });
  };
  add('embed', `${hiddenSize}`, [0]);
  add('attention_input', `${hiddenSize}x${queries + 2 * kvHeads * headDim}`, indices);
  for (const window of new Set(layers.map((layer) => layer.window))) {
    const shape = `${heads}/${kvHeads} heads of ${headDim}, ${window === 0 ? 'global' : `window ${window}`}`;
    add(
      'attention',
      shape,
      indices.filter((i) => layers[i]!.window === window),
    );
  }
  add('attention_output', `${queries}x${hiddenSize}`, indices);
  const ofKind = (ffn: 'dense' | 'moe') => indices.filter((i) => layers[i]!.ffn === ffn);
  for (const width of new Set(ofKind('dense').map((i) => layers[i]!.ffnWidth)))
    add(
      'dense_ffn',
      `${hiddenSize}x${width}`,
      ofKind('dense').filter((i) => layers[i]!.ffnWidth === width),
    );
  if (moe !== null) {
    add('route', `${hiddenSize}x${moe.experts}`, ofKind('moe'));
    for (const width of new Set(ofKind('moe').map((i) => layers[i]!.ffnWidth)))
      add(
        'experts',
        `${hiddenSize}x${width}, ${moe.topK} of ${moe.experts}${moe.sharedExperts > 0 ? ` and ${moe.sharedExperts}` : ''}`,
        ofKind('moe').filter((i) => layers[i]!.ffnWidth === width),
      );
  }
  add('final_norm', `${hiddenSize}`, [0]);
  add('head', `${hiddenSize}x${vocabSize}`, [0]);
  add('choose', `${vocabSize}`, [0]);
  if (description.mtp !== null) {
    add('draft_input', `${2 * hiddenSize}x${hiddenSize}`, [0]);
    groups.at(-1)!.perStep = 0;
  }
  return groups;
}

/** The work of one call: the mean over the group's layers. */
export function opWork(description: ModelDescription, { op, layers }: OpGroup, size: StepSize): OpWork {
  const tensors = new Map(description.tensors.map((tensor) => [tensor.name, tensor]));
  const works = layers.map((layer) => workOf(description, tensors, op, layer, size));
  const mean = (of: (work: OpWork) => number) => works.reduce((sum, work) => sum + of(work), 0) / works.length;
  return {
    bytes: mean(({ bytes }) => bytes),
    weightBytes: mean(({ weightBytes }) => weightBytes),
    flops: mean(({ flops }) => flops),
  };
}

function workOf(
  description: ModelDescription,
  tensors: ReadonlyMap<string, TensorEntry>,
  op: OpName,
  layer: number,
  { rows, depth, weights, elementBytes, cacheBytes, expertsRead }: StepSize,
): OpWork {
  const { hiddenSize: hidden, heads, kvHeads, headDim, vocabSize, moe } = description;
  const queries = heads * headDim;
  const keyWidth = 2 * kvHeads * headDim;
  const { window, ffnWidth } = description.layers[layer]!;
  // Decoding chooses from every row. A prompt's step needs only the logits of its last row.
  const logitRows = rows <= limits.smallRows ? rows : 1;
  const stored = (name: string) => heldBytes(tensors.get(name)!, weights);
  const ofLayer = (...names: string[]) => names.reduce((sum, name) => sum + stored(`layers.${layer}.${name}`), 0);
  /**
   * The work of a product of `count` rows. `f32` and `elements` count the activations of either size that it reads and
   * writes.
   */
  const product = (weightBytes: number, weights: number, count: number, f32: number, elements: number): OpWork => ({
    bytes: weightBytes + count * (f32 * 4 + elements * elementBytes),
    weightBytes,
    flops: 2 * weights * count,
  });
  const ffn = (prefix: string) => ofLayer(`${prefix}gate`, `${prefix}up`, `${prefix}down`);
  switch (op) {
    case 'embed': {
      const row = stored('embed') / vocabSize;
      return { bytes: rows * (row + hidden * 4), weightBytes: rows * row, flops: 0 };
    }
    case 'attention_input': {
      const work = product(ofLayer('q', 'k', 'v'), hidden * (queries + keyWidth), rows, hidden, queries + keyWidth);
      return { ...work, bytes: work.bytes + rows * keyWidth * cacheBytes };
    }
    case 'attention': {
      const seenBy = (position: number) => (window === 0 ? position + 1 : Math.min(window, position + 1));
      const first = depth + 1 - seenBy(depth);
      let pairs = 0;
      for (let row = 0; row < rows; row++) pairs += seenBy(depth + row);
      const keys = (depth + rows - first) * keyWidth * cacheBytes;
      return { bytes: keys + rows * 2 * queries * elementBytes, weightBytes: 0, flops: 4 * pairs * queries };
    }
    case 'attention_output':
      return product(ofLayer('o'), queries * hidden, rows, 2 * hidden, queries);
    case 'dense_ffn':
      return product(ffn(''), 3 * hidden * ffnWidth, rows, 2 * hidden, 2 * ffnWidth);
    case 'route':
      return product(ofLayer('router'), hidden * moe!.experts, rows, hidden + 2 * moe!.topK, 0);
    case 'experts': {
      const width = (moe!.topK + moe!.sharedExperts) * ffnWidth;
      const read = expertsRead * ffn('experts.0.') + (moe!.sharedExperts > 0 ? ffn('shared.') : 0);
      return product(read, 3 * hidden * width, rows, 2 * hidden + 2 * moe!.topK, 2 * width);
    }
    case 'final_norm':
      return { bytes: rows * 2 * hidden * 4, weightBytes: 0, flops: rows * 4 * hidden };
    case 'head':
      return product(
        stored(description.tiedHead ? 'embed' : 'head'),
        hidden * vocabSize,
        logitRows,
        hidden + vocabSize,
        0,
      );
    case 'choose':
      return { bytes: vocabSize * 4, weightBytes: 0, flops: 0 };
    case 'draft_input':
      return product(stored('mtp.fc'), 2 * hidden * hidden, rows, 3 * hidden, 0);
  }
}
