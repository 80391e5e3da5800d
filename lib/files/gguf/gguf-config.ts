/** GGUF's metadata as the config.json that says the same, so that both are checked by one reader. */
import { ConfigFields, isBoolean, isIntegerIn } from '../config-fields.js';
import { families, listedWith } from '../family/families.js';
import type { Family } from '../family/family.js';
import { insteadOf } from '../family/others.js';
import { type JsonObject, shown } from '../json-file.js';
import { isNeutral } from '../known-fields.js';
import type { GgufFile } from './gguf.js';
import { endValues } from './gguf-ends.js';
import { GgufNumbers, GgufStrings, type GgufValue } from './gguf-values.js';

const largest = 2 ** 31 - 1;
/** The most entries of a list that has one for every block. */
const longestList = 4096;

/** Keys under the architecture's name that are read below. */
const knownKeys = new Set(
  [
    'block_count context_length embedding_length feed_forward_length vocab_size nextn_predict_layers',
    'leading_dense_block_count expert_count expert_used_count expert_shared_count expert_feed_forward_length',
    'expert_shared_feed_forward_length expert_group_count expert_group_used_count expert_gating_func',
    'expert_weights_norm expert_weights_scale attention.head_count attention.head_count_kv attention.key_length',
    'attention.value_length attention.layer_norm_rms_epsilon attention.sliding_window',
    'attention.sliding_window_pattern rope.dimension_count rope.freq_base rope.scaling.type',
  ].flatMap((line) => line.split(' ')),
);

/** Keys that say nothing of the maths: where the file is from, what its training or other uses were. */
const bookkeepingKeys = new Set(
  [
    'tensor_data_layout decoder_start_token_id rope.scaling.finetuned rope.scaling.original_context_length',
    'classifier.output_labels',
  ].flatMap((line) => line.split(' ')),
);

/** The values with which a key changes nothing, for keys whose value alone does not show it. */
const neutralValues: Readonly<Record<string, (fields: ConfigFields, headDim: number) => unknown[]>> = {
  'attention.causal': () => [true],
  'attention.scale': (_, headDim) => [1 / Math.sqrt(headDim)],
  'attention.key_length_swa': (_, headDim) => [headDim],
  'attention.value_length_swa': (_, headDim) => [headDim],
  'attention.output_scale': () => [1],
  'rope.dimension_count_swa': (_, headDim) => [headDim],
  'rope.freq_base_swa': (fields) => [fields.raw('rope.freq_base')],
  embedding_length_out: (fields) => [fields.raw('embedding_length')],
  n_expert_groups: (fields) => [fields.raw('expert_group_count') ?? 1],
  moe_every_n_layers: () => [1],
  interleave_moe_layer_step: () => [1],
};

/**
 * The config.json of a GGUF file's metadata. `hasHead` tells whether it has a head of its own, `nextn` which blocks
 * have tensors of an MTP block, and `notes` gets a line for each key that was passed over.
 *
 * @throws KexaError KEXA_BAD_CONFIG for a key that is missing or wrong, KEXA_UNSUPPORTED for an architecture or a key
 *   that this version does not compute.
 */
export function configOfGguf(
  file: GgufFile,
  { hasHead, nextn }: { hasHead: boolean; nextn: ReadonlySet<number> },
  notes: string[],
): JsonObject {
  const all = new ConfigFields(file.path, jsonOf(file.metadata));
  const family = readArchitecture(all);
  const arch = family.gguf.architecture;
  const fields = new ConfigFields(file.path, keysUnder(file, arch), `${arch}.`);
  const blocks = fields.integer('block_count', 1, largest);
  const mtp = fields.optionalInteger('nextn_predict_layers', 0, blocks - 1) ?? 0;
  let layers = blocks - mtp;
  // A block that is told of as no MTP block but has its tensors drafts no less, and is no layer.
  while (mtp === 0 && layers > 1 && nextn.has(layers - 1)) layers--;
  const headDim = readHeadDim(fields, blocks);
  refuseUnknownKeys(fields, headDim, notes);
  readScaling(fields);
  fields.demand('attention.value_length', headDim);
  fields.demand('rope.dimension_count', headDim);
  const tokens = file.metadata.get('tokenizer.ggml.tokens');
  return {
    model_type: family.modelType,
    hidden_act: 'silu',
    vocab_size:
      fields.has('vocab_size') || !(tokens instanceof GgufStrings)
        ? fields.integer('vocab_size', 1, largest)
        : tokens.length,
    hidden_size: fields.integer('embedding_length', 1, largest),
    intermediate_size: uniform(fields, 'feed_forward_length', layers, blocks),
    num_hidden_layers: layers,
    num_attention_heads: uniform(fields, 'attention.head_count', layers, blocks),
    num_key_value_heads: uniform(fields, 'attention.head_count_kv', layers, blocks),
    head_dim: headDim,
    rms_norm_eps: fields.positive('attention.layer_norm_rms_epsilon', 1),
    max_position_embeddings: fields.integer('context_length', 1, largest),
    tie_word_embeddings: !hasHead,
    rope_theta: fields.positive('rope.freq_base', 1e12),
    ...(family.mtp === 'none' ? {} : { num_nextn_predict_layers: mtp }),
    ...(family.windows === 'none' ? {} : attentionOf(fields, family, layers, blocks)),
    ...(family.hasExperts ? expertsOf(fields, layers, blocks) : {}),
    bos_token_id: all.raw('tokenizer.ggml.bos_token_id') ?? null,
    eos_token_id: endValues((key) => all.raw(key)),
    pad_token_id: all.raw('tokenizer.ggml.padding_token_id') ?? null,
  };
}

function readArchitecture(all: ConfigFields): Family {
  const type = all.raw('general.type');
  const arch = all.raw('general.architecture');
  if (type === 'imatrix' || type === 'mmproj' || arch === 'clip') {
    const what = type === 'imatrix' ? 'an importance matrix' : 'the part of a model that sees';
    throw all.unsupported(`general.type: wanted a model, found ${what}; give the GGUF file of the model itself`);
  }
  const name = all.text('general.architecture');
  const family = families.find(({ gguf }) => gguf.architecture === name);
  if (family !== undefined) return family;
  const runs = listedWith('and', [...new Set(families.map(({ gguf }) => gguf.architecture))]);
  throw all.unsupported(`general.architecture ${shown(name)}: this version runs ${runs}; ${insteadOf(name)}`);
}

/** The size of a head. Without a key for it, it is the width divided by the heads, as in llama.cpp. */
function readHeadDim(fields: ConfigFields, blocks: number): number {
  if (fields.has('attention.key_length')) return fields.integer('attention.key_length', 1, largest);
  const hidden = fields.integer('embedding_length', 1, largest);
  const heads = uniform(fields, 'attention.head_count', blocks, blocks);
  if (hidden % heads !== 0) throw fields.missing('attention.key_length');
  return hidden / heads;
}

/**
 * A key that is not known may change the maths, unless its value is one that changes nothing.
 *
 * @throws KexaError KEXA_UNSUPPORTED naming the key
 */
function refuseUnknownKeys(fields: ConfigFields, headDim: number, notes: string[]): void {
  for (const name of fields.names()) {
    if (knownKeys.has(name) || bookkeepingKeys.has(name)) continue;
    const value = fields.raw(name);
    const label = `${fields.label(name)} ${shown(value)}`;
    const neutral = Object.hasOwn(neutralValues, name) ? neutralValues[name]!(fields, headDim) : null;
    const isOff = neutral === null ? isNeutral(name, value) : [0, ...neutral].some((one) => isSame(one, value));
    if (!isOff) throw fields.unsupported(`${label}: not computed by this version`);
    notes.push(`${label}: changes nothing`);
  }
}

function isSame(wanted: unknown, found: unknown): boolean {
  if (typeof wanted !== 'number' || typeof found !== 'number') return wanted === found;
  return Math.abs(wanted - found) <= 1e-6 * Math.abs(wanted);
}

/** Refuses a scaling of RoPE by a key, unless it is by 1. llama3's factors are a tensor, rope_freqs. */
function readScaling(fields: ConfigFields): void {
  if (fields.raw('rope.scaling.type') === 'linear' && fields.raw('rope.scaling.factor') === 1) return;
  fields.demand('rope.scaling.type', 'none');
}

function keysUnder(file: GgufFile, arch: string): JsonObject {
  const keys = [...file.metadata].filter(([key]) => key.startsWith(`${arch}.`));
  return jsonOf(keys.map(([key, value]) => [key.slice(arch.length + 1), value]));
}

/** Short lists as JSON has them. Longer ones, which no block has, say in messages how long they are. */
function jsonOf(entries: Iterable<readonly [string, GgufValue]>): JsonObject {
  return Object.fromEntries(
    Array.from(entries, ([key, value]) => {
      const isList = value instanceof GgufNumbers || value instanceof GgufStrings;
      return [key, isList && value.length <= longestList ? [...value] : value];
    }),
  );
}

/** A number that newer writers give for every block: the same in all that have one, 0 in those that have none. */
function uniform(fields: ConfigFields, name: string, layers: number, blocks: number): number {
  if (!Array.isArray(fields.raw(name))) return fields.integer(name, 1, largest);
  const isCount = (value: unknown): value is number => isIntegerIn(value, 0, largest);
  const counts = fields
    .optionalList(name, lengths(layers, blocks), 'an integer from 0', isCount)!
    .filter((count) => count > 0);
  const first = counts[0];
  if (first === undefined) throw fields.bad(`${fields.label(name)}: 0 in every block`);
  if (counts.every((count) => count === first)) return first;
  throw fields.unsupported(`${fields.label(name)} ${shown(fields.raw(name))}: this version computes equal blocks only`);
}

/** Lists may have an entry for the MTP block, or none. */
function lengths(layers: number, blocks: number): number[] {
  return layers === blocks ? [layers] : [layers, blocks];
}

function attentionOf(fields: ConfigFields, { gguf, mtpWindow }: Family, layers: number, blocks: number): JsonObject {
  const window = fields.optionalInteger('attention.sliding_window', 0, largest) ?? 0;
  const typeOf = (slides: boolean) => (slides ? 'sliding_attention' : 'full_attention');
  if (window === 0) return { layer_types: new Array<string>(layers).fill(typeOf(false)) };
  const pattern = fields.raw('attention.sliding_window_pattern');
  let slides: boolean[];
  if (Array.isArray(pattern)) {
    const isFlag = (value: unknown): value is boolean | number => isBoolean(value) || value === 0 || value === 1;
    slides = fields
      .optionalList('attention.sliding_window_pattern', lengths(layers, blocks), 'true or false, or 1 or 0', isFlag)!
      .map(Boolean);
    // A last entry for the MTP block counts where the block may slide. K-EXAONE's was trained with full attention.
    if (mtpWindow === 'none') slides = slides.slice(0, layers);
  } else {
    const assumed = gguf.assumedPeriod;
    const period =
      pattern === undefined && layers === assumed?.layers
        ? assumed.period
        : fields.integer('attention.sliding_window_pattern', 1, 65536);
    slides = Array.from({ length: layers }, (_, layer) => (layer + 1) % period !== 0);
  }
  return { sliding_window: window, layer_types: slides.map(typeOf) };
}

function expertsOf(fields: ConfigFields, layers: number, blocks: number): JsonObject {
  if (fields.integer('expert_gating_func', 0, 255) !== 2) {
    throw fields.unsupported(
      `${fields.label('expert_gating_func')} ${shown(fields.raw('expert_gating_func'))}: this version computes 2, sigmoid`,
    );
  }
  const width = uniform(fields, 'expert_feed_forward_length', layers, blocks);
  const shared = fields.integer('expert_shared_count', 0, 64);
  if (shared > 0 && fields.has('expert_shared_feed_forward_length')) {
    const found = uniform(fields, 'expert_shared_feed_forward_length', layers, blocks);
    if (found !== shared * width) {
      throw fields.bad(
        `${fields.label('expert_shared_feed_forward_length')}: wanted ${shared} times the experts' ${width}, found ${found}`,
      );
    }
  }
  return {
    first_k_dense_replace: fields.integer('leading_dense_block_count', 0, blocks),
    moe_intermediate_size: width,
    num_experts: fields.integer('expert_count', 1, largest),
    num_experts_per_tok: fields.integer('expert_used_count', 1, largest),
    num_shared_experts: shared,
    n_group: fields.optionalInteger('expert_group_count', 1, largest) ?? 1,
    topk_group: fields.optionalInteger('expert_group_used_count', 1, largest) ?? 1,
    norm_topk_prob: flag(fields, 'expert_weights_norm'),
    routed_scaling_factor: fields.positive('expert_weights_scale', 1e6),
    scoring_func: 'sigmoid',
  };
}

/** Reads true or false. Some writers store it as 1 or 0. */
function flag(fields: ConfigFields, name: string): boolean {
  const value = fields.raw(name);
  return value === 0 || value === 1 ? value === 1 : fields.boolean(name);
}
