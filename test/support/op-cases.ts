/**
 * Makes the shapes and steps on which every op of the GPU device is checked: sizes that divide nothing, and every edge.
 */
import type { LayerDescription, ModelDescription, QuantizedType } from '../../lib/description.js';
import { blockTypes, quantizedNames } from '../../lib/files/gguf/gguf-types.js';
import type { LoadOptions } from '../../lib/types.js';
import { randomNumbers } from './compare.js';
import type { OpRequest, StepRow } from './op-probe.js';
import type { RandomType } from './quantized-model.js';
import type { Dtype } from './random-model.js';
import type { HfConfig } from './reference.js';

export interface OpShape {
  config: Partial<HfConfig>;
  dtype: Dtype;
  rowCounts: readonly number[];
}

/** Numbers of rows: the kernels' tiles, one less and one more. */
const tiles = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65];
/** The most rows of a step: one more than any step here has. */
const chunk = 66;
const context = 2048;
const pageRows = 64;
const slots = 4;
/** Numbers of rows for attention. It takes rows one by one, so fewer counts are tried, each at many positions. */
const attentionCounts = [1, 4, 5, 16, 17, 33, 65];

export const probeOptions = { contextSize: context, prefillChunk: chunk } satisfies LoadOptions;

export const opShapes: Readonly<Record<string, OpShape>> = {
  'groups of experts, two shared experts, window 5': {
    config: {
      model_type: 'exaone_moe',
      vocab_size: 203,
      hidden_size: 52,
      intermediate_size: 101,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      head_dim: 24,
      max_position_embeddings: context,
      num_hidden_layers: 3,
      layer_types: ['sliding_attention', 'sliding_attention', 'full_attention'],
      sliding_window: 5,
      first_k_dense_replace: 1,
      moe_intermediate_size: 48,
      num_experts: 16,
      num_experts_per_tok: 4,
      num_shared_experts: 2,
      n_group: 4,
      topk_group: 2,
    },
    dtype: 'BF16',
    rowCounts: tiles,
  },
  'head_dim 128, 8 heads on 1, window 128, SwiGLU limits': {
    config: {
      model_type: 'exaone_moe',
      vocab_size: 130,
      hidden_size: 139,
      num_attention_heads: 8,
      num_key_value_heads: 1,
      head_dim: 128,
      max_position_embeddings: context,
      num_hidden_layers: 2,
      sliding_windows: [128, 0],
      swiglu_limits: [0.5, 0.75],
      mlp_layer_types: ['dense', 'sparse'],
      moe_intermediate_size: 57,
      num_experts: 9,
      num_experts_per_tok: 8,
    },
    dtype: 'F16',
    rowCounts: [1, 4, 5, 16, 17, 65],
  },
  'post-norm, tied head, window 7': {
    config: {
      model_type: 'exaone4',
      vocab_size: 77,
      hidden_size: 60,
      intermediate_size: 92,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 40,
      max_position_embeddings: context,
      num_hidden_layers: 2,
      tie_word_embeddings: true,
      layer_types: ['sliding_attention', 'full_attention'],
      sliding_window: 7,
      rope_theta: 1e6,
    },
    dtype: 'F32',
    rowCounts: [1, 3, 8, 16, 17, 65],
  },
  'one expert of three, none shared, weights not divided, window 1': {
    config: {
      model_type: 'exaone_moe',
      vocab_size: 64,
      hidden_size: 44,
      num_attention_heads: 3,
      num_key_value_heads: 3,
      head_dim: 64,
      max_position_embeddings: context,
      num_hidden_layers: 2,
      sliding_windows: [1, 0],
      mlp_layer_types: ['sparse', 'dense'],
      moe_intermediate_size: 51,
      num_experts: 3,
      num_experts_per_tok: 1,
      num_shared_experts: 0,
      norm_topk_prob: false,
      num_nextn_predict_layers: 0,
    },
    dtype: 'F32',
    rowCounts: [1, 7, 9, 16, 17, 65],
  },
};

export interface TwoBlockTypes {
  types: readonly [QuantizedType, QuantizedType];
  /** Weights of a block, the same in both types. */
  block: number;
}

/**
 * Every type in blocks, with another type whose blocks have as many weights, for a small model whose rows are whole
 * blocks. q, k, gate and up are of the first type, v, o and down of the second.
 */
export const quantizedShapes: readonly TwoBlockTypes[] = [
  ...new Set(quantizedNames.map((type) => blockTypes[type].elements)),
].flatMap((block) => {
  const names = quantizedNames.filter((type) => blockTypes[type].elements === block);
  const firsts = names.filter((_, i) => i % 2 === 0);
  return firsts.map((first, i) => ({ types: [first, names[i * 2 + 1] ?? names[0]!], block }) as const);
});

/**
 * Rows whose units are shared by four threads, by two and by one (blocks of 32: 128, 1216 and 96 weights), rows of one,
 * three and ten blocks of 128, of one, three and nine of 256, and rows of more units than a workgroup has threads,
 * though not of twice as many.
 */
export function quantizedConfig(block: number): Partial<HfConfig> {
  const few = block < 256;
  return {
    model_type: 'exaone_moe',
    vocab_size: 67,
    hidden_size: few ? 128 : 256,
    intermediate_size: block === 256 ? 2304 : block === 128 ? 1280 : 1216,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: few ? (block * 3) / 4 : 64,
    max_position_embeddings: context,
    num_hidden_layers: 2,
    layer_types: ['sliding_attention', 'full_attention'],
    sliding_window: 5,
    first_k_dense_replace: 1,
    moe_intermediate_size: few ? block * 3 : 768,
    num_experts: 5,
    num_experts_per_tok: 2,
    num_shared_experts: 1,
  };
}

interface TwoTypes {
  gate?: RandomType;
  up?: RandomType;
}

/** A small model whose gates have other types than their ups. Every other tensor is of `dtype`. */
export interface TwoTypeShape {
  config: Partial<HfConfig>;
  dtype: Dtype;
  types: { dense: TwoTypes; shared: TwoTypes; experts: TwoTypes };
}

function twoTypeConfig(hidden: number): Partial<HfConfig> {
  return {
    model_type: 'exaone_moe',
    vocab_size: 60,
    hidden_size: hidden,
    intermediate_size: 101,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    max_position_embeddings: context,
    num_hidden_layers: 2,
    layer_types: ['sliding_attention', 'full_attention'],
    sliding_window: 5,
    first_k_dense_replace: 1,
    moe_intermediate_size: 37,
    num_experts: 5,
    num_experts_per_tok: 2,
    num_shared_experts: 1,
    num_nextn_predict_layers: 0,
  };
}

/** Units of one size and of different ones, of rows that divide nothing where the types have no blocks. */
export const twoTypeShapes: Readonly<Record<string, TwoTypeShape>> = {
  'blocks of 256': {
    config: twoTypeConfig(256),
    dtype: 'F32',
    types: {
      dense: { gate: 'q4_k', up: 'q6_k' },
      shared: { gate: 'q3_k', up: 'q3_k' },
      experts: { gate: 'iq2_xxs', up: 'q5_k' },
    },
  },
  'blocks of 32, bf16 and FP8': {
    config: twoTypeConfig(96),
    dtype: 'BF16',
    types: { dense: { gate: 'q8_0' }, shared: { gate: 'fp8 by blocks', up: 'q4_0' }, experts: { up: 'q5_1' } },
  },
  "folders' blocks of 128, 64 and 32": {
    config: twoTypeConfig(128),
    dtype: 'F32',
    types: {
      dense: { gate: 'int4_128', up: 'int8_128' },
      shared: { gate: 'fp4_64', up: 'int4_32' },
      experts: { gate: 'int8_32', up: 'int4_128' },
    },
  },
  'f32 and FP8, rows of 139': {
    config: { ...twoTypeConfig(139), swiglu_limits: [0.5, 0.75] },
    dtype: 'F32',
    types: { dense: { gate: 'fp8 by rows' }, shared: {}, experts: { up: 'fp8 by blocks' } },
  },
};

/** The ops that read gate and up, in small steps and in several tiles. */
export function* inputCases(description: ModelDescription): Generator<OpCase> {
  for (const opCase of opCases(description, [1, 5, 40]))
    if (['dense_ffn', 'experts'].includes(opCase.request.op)) yield opCase;
}

/** The ops that read weights. */
export function* weightCases(description: ModelDescription): Generator<OpCase> {
  for (const opCase of opCases(description, [1, 5, 17]))
    if (!['attention', 'final_norm', 'begin_draft'].includes(opCase.request.op)) yield opCase;
}

export interface OpCase {
  title: string;
  request: OpRequest;
}

/**
 * Every op on every step that can make a difference to it. `isPrompt` is the kind of all steps; without it those of
 * more than 16 rows are prompts'.
 */
export function* opCases(
  description: ModelDescription,
  rowCounts: readonly number[],
  isPrompt?: boolean,
): Generator<OpCase> {
  let seed = 1;
  const { layers, mtp, moe } = description;
  for (const count of rowCounts) {
    const plain = run(1, 3, count);
    const of = `${count} row${count > 1 ? 's' : ''}`;
    const kind = isPrompt === undefined ? {} : { isPrompt };
    const make = (op: OpRequest['op'], title: string, more: Partial<OpRequest> = {}): OpCase => ({
      title: `${of}, ${title}`,
      request: { op, rows: plain, seed: seed++, ...kind, ...more },
    });
    yield make('embed', 'any tokens');
    yield make('final_norm', "the model's");
    for (const [title, logitRows] of Object.entries(logitRowsOf(count))) yield make('head', title, { logitRows });
    if (mtp) {
      yield make('final_norm', "the MTP block's", { isMtp: true });
      yield make('draft_input', 'any next tokens');
      if (count === 1)
        for (const hiddenRow of [0, 1, chunk - 1]) yield make('begin_draft', `hidden row ${hiddenRow}`, { hiddenRow });
    }
    for (const [layer, { window, ffn }] of layers.entries()) {
      const about = `layer ${layer}`;
      yield make('attention_output', about, { layer });
      if (ffn === 'dense') yield make('dense_ffn', about, { layer });
      else {
        yield make('route', about, { layer });
        for (const [title, experts] of Object.entries(routesOf(moe!, count)))
          yield make('experts', `${about}, ${title}`, { layer, experts });
      }
      if (!attentionCounts.includes(count)) continue;
      for (const [title, rows] of Object.entries(stepsOf(count, window))) {
        yield make('attention_input', `${about}, ${title}`, { layer, rows });
        yield make('attention', `${about}, ${title}`, { layer, rows });
      }
    }
  }
}

/** The attention ops of each kind of layer on a few steps, for caches of other types. */
export function* cacheCases(layers: readonly LayerDescription[]): Generator<OpCase> {
  for (const [layer, { window }] of layers.entries())
    for (const count of [1, 5, 17])
      for (const [title, rows] of Object.entries(stepsOf(count, window)))
        for (const op of ['attention_input', 'attention'] as const)
          yield { title: `${count} rows, layer ${layer}, ${title}`, request: { op, rows, layer, seed: count } };
}

function run(slot: number, start: number, count: number): StepRow[] {
  return Array.from({ length: count }, (_, i) => ({ slot, position: start + i }));
}

function logitRowsOf(count: number): Record<string, number[]> {
  const all = Array.from({ length: count }, (_, i) => i);
  if (count === 1) return { 'its logits': all };
  return { 'all logits': all, 'the last logits': [count - 1], 'every third logits': all.filter((i) => i % 3 === 1) };
}

/** Each row's experts: random ones, the same for all rows, and a choice that leaves half of the experts out. */
function routesOf({ experts, topK }: NonNullable<ModelDescription['moe']>, count: number): Record<string, number[]> {
  const next = randomNumbers(count);
  const draw = (among: number) => {
    const ids = Array.from({ length: among }, (_, i) => i);
    return Array.from({ length: topK }, () => ids.splice(Math.floor(next() * ids.length), 1)[0]!);
  };
  const same = draw(experts);
  return {
    'experts from nowhere': Array.from({ length: count }, () => draw(experts)).flat(),
    'all rows to the same experts': Array.from({ length: count }, () => same).flat(),
    'some experts without rows': Array.from({ length: count }, () => draw(Math.max(topK, experts >> 1))).flat(),
  };
}

/**
 * Positions of rows: at the start, over a window's edge, a page's edge, a ring's end, in several sequences, and far on.
 */
function stepsOf(count: number, window: number): Record<string, StepRow[]> {
  const before = (edge: number) => run(2, Math.max(0, edge - Math.ceil(count / 2)), count);
  const starts = [0, 3, pageRows - 1, 2 * pageRows + 7];
  const share = Math.ceil(count / slots);
  const steps: Record<string, StepRow[]> = {
    'from the start': run(3, 0, count),
    'four sequences': starts
      .flatMap((start, slot) => run(slot, start, Math.max(0, Math.min(share, count - slot * share))))
      .slice(0, count),
  };
  if (window) {
    steps["over the window's edge"] = before(window);
    steps['over the end of the ring'] = before(window + chunk - 1);
    steps['twice round the ring'] = before(2 * (window + chunk - 1) + 1);
  } else {
    steps["over a page's edge"] = before(pageRows);
    steps["after a page's edge"] = run(0, pageRows, count);
    if (count <= 5 || count === 17) steps['far on'] = run(0, 1100, count);
  }
  return steps;
}
