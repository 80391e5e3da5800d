/**
 * Small random models of every shape in the EXAONE family, in Hugging Face form, for comparing the core with
 * {@link reference}. The weights are scaled so that a mistake shows: attention is neither flat nor one-hot, norms are
 * uneven, the correction bias changes the chosen experts, and logits are of order 1 to 10.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HfModel } from './goldens.js';
import { type HfConfig, type HfTensors, hasPostNorm, isMoeLayer, roundToBf16 } from './reference.js';

export type Dtype = 'BF16' | 'F16' | 'F32';

export interface WriteOptions {
  dtype: Dtype;
  /** One tensor per expert, or all of a layer's stacked as Transformers v5 saves them. */
  experts: 'separate' | 'fused';
  /** Name the correction bias `mlp.gate.e_score_correction_bias` rather than `mlp.e_score_correction_bias`. */
  biasUnderGate: boolean;
  shards: number;
  /** EXAONE 4.5 without its part that sees images: the language model's config and tensors under their own names. */
  isAlone?: boolean;
}

const common = {
  vocab_size: 200,
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 16,
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
  max_position_embeddings: 512,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 53,
  pad_token_id: 0,
};

const moe = {
  moe_intermediate_size: 24,
  num_experts: 8,
  num_experts_per_tok: 2,
  num_shared_experts: 1,
  n_group: 1,
  topk_group: 1,
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  scoring_func: 'sigmoid',
  num_nextn_predict_layers: 1,
};

const llama3 = { factor: 16, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
const pattern = (letters: string) =>
  [...letters].map((letter) => (letter === 'L' ? 'sliding_attention' : 'full_attention'));

/** Each of the family's models in small, and two corner cases. Arguments of {@link makeRandomModel}. */
export const sisterConfigs = {
  /** EXAONE 4.0 1.2B: post-norm, no window although a pattern is named, RoPE everywhere with llama3 scaling, tied. */
  exaone4Small: {
    model_type: 'exaone4',
    architectures: ['Exaone4ForCausalLM'],
    num_hidden_layers: 4,
    num_attention_heads: 4,
    head_dim: 24,
    tie_word_embeddings: true,
    layer_types: pattern('GGGG'),
    sliding_window: null,
    sliding_window_pattern: 'LLLG',
    rope_parameters: { rope_theta: 1e6, rope_type: 'llama3', ...llama3 },
  },
  /** EXAONE 4.0 32B: post-norm, LLLG, with the older form of the RoPE fields. */
  exaone4Large: {
    model_type: 'exaone4',
    architectures: ['Exaone4ForCausalLM'],
    num_hidden_layers: 5,
    hidden_size: 80,
    num_attention_heads: 5,
    num_key_value_heads: 1,
    layer_types: pattern('LLLGL'),
    sliding_window: 7,
    sliding_window_pattern: 'LLLG',
    rope_theta: 1e6,
    rope_scaling: { rope_type: 'llama3', ...llama3 },
  },
  /** K-EXAONE 236B in the older form of its config, with groups that limit the choice and two shared experts. */
  kExaone: {
    model_type: 'exaone_moe',
    architectures: ['ExaoneMoEForCausalLM'],
    num_hidden_layers: 5,
    hidden_size: 72,
    num_attention_heads: 8,
    ...moe,
    num_experts: 16,
    num_experts_per_tok: 4,
    num_shared_experts: 2,
    n_group: 4,
    topk_group: 2,
    first_last_k_dense_replace: 1,
    sliding_window: 4,
    sliding_window_pattern: 'LLLG',
    rope_theta: 1e6,
    rope_scaling: null,
  },
  /** K-EXAONE 2.0: a window for each layer and no other, two dense layers first, clamps at the end, sliding MTP. */
  kExaone2: {
    model_type: 'exaone_moe',
    architectures: ['ExaoneMoeForCausalLM'],
    num_hidden_layers: 6,
    ...moe,
    num_experts: 12,
    num_experts_per_tok: 3,
    mlp_layer_types: ['dense', 'dense', 'sparse', 'sparse', 'sparse', 'sparse'],
    sliding_windows: [0, 12, 3, 3, 3, 0],
    swiglu_limits: [0, 0, 0, 0, 0.75, 1.5],
    mtp_layer_types: ['sliding_attention'],
    mtp_sliding_windows: [3],
    mtp_num_speculative_steps: 4,
    rope_parameters: { rope_theta: 1e6, rope_type: 'default' },
  },
  /** Weights that are not divided by their sum, no shared expert and no MTP block. */
  unnormalized: {
    model_type: 'exaone_moe',
    architectures: ['ExaoneMoeForCausalLM'],
    num_hidden_layers: 4,
    hidden_size: 48,
    ...moe,
    num_shared_experts: 0,
    norm_topk_prob: false,
    routed_scaling_factor: 1.3,
    num_nextn_predict_layers: 0,
    is_moe_layer: [false, true, true, true],
    layer_types: pattern('LLLG'),
    sliding_window: 6,
    rope_parameters: { rope_theta: 1e4, rope_type: 'default' },
  },
  /** Sliding layers on which a token sees only itself; one query head for each kv head. */
  windowOfOne: {
    model_type: 'exaone_moe',
    architectures: ['ExaoneMoeForCausalLM'],
    num_hidden_layers: 4,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    ...moe,
    first_k_dense_replace: 1,
    layer_types: pattern('LGLG'),
    sliding_windows: [1, 0, 1, 0],
    rope_parameters: { rope_theta: 1e6, rope_type: 'default' },
  },
  /** EXAONE 4.5: the text part of a model that sees, post-norm, LLLG, an MTP block that slides and rotates. */
  exaone45: {
    model_type: 'exaone4_5',
    num_hidden_layers: 4,
    layer_types: pattern('LLLG'),
    sliding_window: 7,
    sliding_window_pattern: 'LLLG',
    num_nextn_predict_layers: 1,
    rope_scaling: { rope_type: 'llama3', rope_theta: 1e6, ...llama3 },
  },
  /** EXAONE 3.5 2.4B: pre-norm without QK-norm, all global, RoPE everywhere with llama3 scaling, tied. */
  exaone3: {
    model_type: 'exaone',
    architectures: ['ExaoneForCausalLM'],
    num_hidden_layers: 4,
    hidden_size: 80,
    num_attention_heads: 5,
    num_key_value_heads: 1,
    tie_word_embeddings: true,
    rope_theta: 1e6,
    rope_scaling: { rope_type: 'llama3', ...llama3, factor: 8 },
  },
} satisfies Record<string, Partial<HfConfig>>;

/**
 * A model of the given shape, equal for equal arguments. Fields that `overrides` leaves out come from a 5-layer
 * K-EXAONE (or, for `model_type: 'exaone4'`, nothing about experts). Every value is exact in `dtype`, the
 * correction bias in F32.
 */
export function makeRandomModel(overrides: Partial<HfConfig>, seed: number, dtype: Dtype = 'BF16'): HfModel {
  const config = complete(overrides);
  const { hidden_size: hidden, intermediate_size: ffn, head_dim: headDim } = config;
  const [queries, keys] = [config.num_attention_heads * headDim, config.num_key_value_heads * headDim];
  const normal = normals(seed);
  const tensors: HfTensors = new Map();

  const fill = (name: string, shape: number[], next: () => number, type = dtype) => {
    const data = new Float64Array(shape.reduce((a, b) => a * b)).map(() => roundTo(type, next()));
    tensors.set(name, { shape, data });
  };
  /** A matrix that turns inputs of size 1 into outputs of size `gain`. */
  const matrix = (name: string, outputs: number, inputs: number, gain = 1) =>
    fill(`${name}.weight`, [outputs, inputs], () => (gain * normal()) / Math.sqrt(inputs));
  const norm = (name: string, width: number, gain = 1) =>
    fill(`${name}.weight`, [width], () => gain * (1 + 0.25 * normal()));
  const swiglu = (prefix: string, width: number) => {
    matrix(`${prefix}.gate_proj`, width, hidden, 1.5);
    matrix(`${prefix}.up_proj`, width, hidden, 1.5);
    matrix(`${prefix}.down_proj`, hidden, width);
  };
  const layer = (prefix: string, sparse: boolean) => {
    if (!hasPostNorm(config)) norm(`${prefix}.input_layernorm`, hidden);
    norm(`${prefix}.post_attention_layernorm`, hidden);
    if (hasPostNorm(config)) norm(`${prefix}.post_feedforward_layernorm`, hidden);
    matrix(`${prefix}.self_attn.q_proj`, queries, hidden);
    matrix(`${prefix}.self_attn.k_proj`, keys, hidden);
    matrix(`${prefix}.self_attn.v_proj`, keys, hidden);
    matrix(`${prefix}.self_attn.o_proj`, hidden, queries, 1.5);
    if (config.model_type !== 'exaone') {
      norm(`${prefix}.self_attn.q_norm`, headDim, 1.3); // scores are then of size 1.3 * 1.3
      norm(`${prefix}.self_attn.k_norm`, headDim, 1.3);
    }
    if (!sparse) return swiglu(`${prefix}.mlp`, ffn);
    const { num_experts: experts, num_shared_experts: shared, moe_intermediate_size: width } = config;
    matrix(`${prefix}.mlp.gate`, experts!, hidden, 1.5);
    fill(`${prefix}.mlp.e_score_correction_bias`, [experts!], () => 0.25 * normal(), 'F32');
    for (let e = 0; e < experts!; e++) swiglu(`${prefix}.mlp.experts.${e}`, width!);
    if (shared) swiglu(`${prefix}.mlp.shared_experts`, shared * width!);
  };

  const logitSize = 3;
  const embedding = config.tie_word_embeddings ? logitSize / Math.sqrt(hidden) : 1;
  fill('model.embed_tokens.weight', [config.vocab_size, hidden], () => embedding * normal());
  norm('model.norm', hidden);
  if (!config.tie_word_embeddings) matrix('lm_head', config.vocab_size, hidden, logitSize);
  for (let i = 0; i < config.num_hidden_layers; i++) layer(`model.layers.${i}`, isMoeLayer(config, i));
  if (config.num_nextn_predict_layers) {
    norm('mtp.pre_fc_norm_embedding', hidden);
    norm('mtp.pre_fc_norm_hidden', hidden);
    matrix('mtp.fc', hidden, 2 * hidden);
    layer('mtp.layers.0', false);
    norm('mtp.norm', hidden);
  }
  return { config: { ...config, dtype: { BF16: 'bfloat16', F16: 'float16', F32: 'float32' }[dtype] }, tensors };
}

function complete(overrides: Partial<HfConfig>): HfConfig {
  if (overrides.model_type === 'exaone') {
    const architectures = ['ExaoneForCausalLM'];
    return { ...common, model_type: 'exaone', architectures, num_hidden_layers: 4, ...overrides };
  }
  if (overrides.model_type === 'exaone4_5') {
    const architectures = ['Exaone4ForCausalLM'];
    return { ...common, model_type: 'exaone4_5', architectures, num_hidden_layers: 4, ...overrides };
  }
  if (overrides.model_type === 'exaone4') {
    const architectures = ['Exaone4ForCausalLM'];
    return { ...common, model_type: 'exaone4', architectures, num_hidden_layers: 4, ...overrides };
  }
  const has = (...names: (keyof HfConfig)[]) => names.some((name) => name in overrides);
  return {
    ...common,
    ...moe,
    model_type: 'exaone_moe',
    architectures: ['ExaoneMoeForCausalLM'],
    num_hidden_layers: 5,
    ...(has('rope_parameters', 'rope_theta') ? {} : { rope_parameters: { rope_theta: 1e6, rope_type: 'default' } }),
    ...(has('layer_types', 'sliding_windows', 'sliding_window_pattern') ? {} : { sliding_window_pattern: 'LLLG' }),
    ...(has('sliding_window', 'sliding_windows') ? {} : { sliding_window: 5 }),
    ...(has('mlp_layer_types', 'is_moe_layer', 'first_k_dense_replace', 'first_last_k_dense_replace')
      ? {}
      : { first_k_dense_replace: 1 }),
    ...overrides,
  };
}

/** Writes `config.json` and the tensors, in one file or in shards with an index. Every value must fit `dtype`. */
export function writeRandomModel(folder: string, model: HfModel, options: WriteOptions): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(storedConfig(model.config, options), null, 2)}\n`);
  const tensors = [...(options.experts === 'fused' ? fuseExperts(model.tensors) : model.tensors)].map(
    ([name, tensor]) => {
      const isBias = name.endsWith('e_score_correction_bias');
      const own = options.isAlone ? name : publishedName(name, model.config.model_type);
      const stored = isBias && options.biasUnderGate ? name.replace('.e_score', '.gate.e_score') : own;
      const dtype = isBias ? 'F32' : options.dtype;
      return { name: stored, dtype, shape: tensor.shape, bytes: encode(dtype, tensor.data, name) };
    },
  );
  if (model.config.model_type === 'exaone4_5' && !options.isAlone)
    tensors.push({ name: 'model.visual.merger.ln_q.weight', dtype: 'BF16', shape: [8], bytes: new Uint8Array(16) });
  if (options.shards === 1) {
    writeSafetensors(join(folder, 'model.safetensors'), tensors);
    return;
  }
  const number = (n: number) => String(n).padStart(5, '0');
  const weightMap: Record<string, string> = {};
  for (let shard = 0; shard < options.shards; shard++) {
    const file = `model-${number(shard + 1)}-of-${number(options.shards)}.safetensors`;
    const [from, to] = [shard, shard + 1].map((n) => Math.floor((n * tensors.length) / options.shards));
    const part = tensors.slice(from, to);
    for (const { name } of part) weightMap[name] = file;
    writeSafetensors(join(folder, file), part);
  }
  const total = tensors.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  writeFileSync(join(folder, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
}

/** config.json as the model's publishers write it. */
function storedConfig(config: HfConfig, { isAlone }: WriteOptions): object {
  if (isAlone) return { ...config, model_type: 'exaone4_5_text' };
  if (config.model_type === 'exaone4_5') return withVision(config);
  if (config.model_type !== 'exaone') return config;
  const { num_hidden_layers, hidden_act, rms_norm_eps, ...others } = config;
  return {
    ...others,
    num_layers: num_hidden_layers,
    activation_function: hidden_act,
    layer_norm_epsilon: rms_norm_eps,
  };
}

/** The config of a model that sees: the language model's fields are in text_config, but for two. */
function withVision({ tie_word_embeddings, vocab_size, ...text }: HfConfig): object {
  return {
    architectures: ['Exaone4_5_ForConditionalGeneration'],
    image_token_id: 67,
    model_type: 'exaone4_5',
    text_config: { ...text, vocab_size, model_type: 'exaone4_5_text', _num_mtp_layers: text.num_nextn_predict_layers },
    tie_word_embeddings,
    vision_config: { depth: 2, model_type: 'exaone4_5_vision' },
    vocab_size,
  };
}

/** The name that the model's publishers have for a tensor. */
function publishedName(name: string, type: HfConfig['model_type']): string {
  if (type === 'exaone4_5') return name.replace(/^model\./, 'model.language_model.');
  if (type !== 'exaone') return name;
  const renamed: [string, string][] = [
    ['model.embed_tokens', 'transformer.wte'],
    ['model.norm', 'transformer.ln_f'],
    ['model.layers', 'transformer.h'],
    ['input_layernorm', 'ln_1'],
    ['post_attention_layernorm', 'ln_2'],
    ['self_attn.o_proj', 'self_attn.out_proj'],
    ['self_attn', 'attn.attention'],
    ['mlp.gate_proj', 'mlp.c_fc_0'],
    ['mlp.up_proj', 'mlp.c_fc_1'],
    ['mlp.down_proj', 'mlp.c_proj'],
  ];
  return renamed.reduce((text, [from, to]) => text.replace(from, to), name);
}

/** Stacks each layer's experts: `gate_up_proj` [experts, 2 * width, hidden], gate rows first, and `down_proj`. */
function fuseExperts(tensors: HfTensors): HfTensors {
  const fused: HfTensors = new Map();
  const stacks = new Map<string, { parts: Float64Array[]; experts: number; rows: number; columns: number }>();
  for (const [name, tensor] of tensors) {
    const part = /^(.*\.experts)\.(\d+)\.(gate|up|down)_proj\.weight$/.exec(name);
    if (!part) {
      fused.set(name, tensor);
      continue;
    }
    // A layer's experts come in order, and each one's gate just before its up.
    const [, prefix, , kind] = part;
    const stack = `${prefix}.${kind === 'down' ? 'down_proj' : 'gate_up_proj'}`;
    const [rows, columns] = tensor.shape as [number, number];
    const parts = [...(stacks.get(stack)?.parts ?? []), tensor.data];
    stacks.set(stack, { parts, experts: Number(part[2]) + 1, rows: kind === 'down' ? rows : 2 * rows, columns });
  }
  for (const [stack, { parts, experts, rows, columns }] of stacks) {
    const data = new Float64Array(experts * rows * columns);
    for (const [i, values] of parts.entries()) data.set(values, i * values.length);
    fused.set(stack, { shape: [experts, rows, columns], data });
  }
  return fused;
}

interface StoredTensor {
  name: string;
  dtype: Dtype;
  shape: number[];
  bytes: Uint8Array;
}

function writeSafetensors(path: string, tensors: StoredTensor[]): void {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([json, Buffer.alloc(-json.length & 7, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(path, Buffer.concat([length, padded, ...tensors.map(({ bytes }) => bytes)]));
}

function encode(dtype: Dtype, data: Float64Array, name: string): Uint8Array {
  const inexact = data.find((value) => roundTo(dtype, value) !== value);
  if (inexact !== undefined) throw new Error(`${name}: ${inexact} is not exact in ${dtype}`);
  const floats = Float32Array.from(data);
  if (dtype === 'F32') return new Uint8Array(floats.buffer);
  const bits = new Uint32Array(floats.buffer);
  const halves = Uint16Array.from(data, (value, i) => (dtype === 'BF16' ? bits[i]! >>> 16 : f16Bits(value)));
  return new Uint8Array(halves.buffer);
}

/** The nearest value that `dtype` can hold, ties to even. */
export function roundTo(dtype: Dtype, value: number): number {
  if (dtype === 'F32') return Math.fround(value);
  if (dtype === 'BF16') return roundToBf16(value);
  const quantum = 2 ** (f16Exponent(value) - 10);
  const steps = value / quantum;
  const floor = Math.floor(steps);
  const up = steps - floor > 0.5 || (steps - floor === 0.5 && floor % 2 !== 0);
  return (up ? floor + 1 : floor) * quantum;
}

/** The power of two below a magnitude, but no less than that of F16's subnormals. */
function f16Exponent(value: number): number {
  float[0] = Math.abs(value);
  return Math.max(-14, (floatBits[0]! >>> 23) - 127);
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** A value that F16 holds exactly, as its bits. */
export function f16Bits(value: number): number {
  const exponent = f16Exponent(value);
  const magnitude = ((exponent + 14) << 10) + Math.abs(value) / 2 ** (exponent - 10);
  return value < 0 ? magnitude | 0x8000 : magnitude;
}

/** Normally distributed numbers from mulberry32, a 32-bit generator, by way of Box and Muller. */
function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
