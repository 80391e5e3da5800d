/** Writes a model's metadata as GGUF keys: the architecture's, and those that other tools show. */
import type { LayerDescription, ModelShape } from '../description.js';
import { KexaError } from '../errors.js';
import { knownFamily } from '../files/family/families.js';
import type { Family } from '../files/family/family.js';
import type { MetadataValue } from '../files/gguf/gguf-header.js';
import { samplingOptions } from '../sampling-options.js';
import type { ModelConfig } from '../types.js';

export type Entries = [string, MetadataValue][];

/** The value of `general.quantization_version`: blocks of the format's second version, the only one in use. */
const quantizationVersion = 2;

const sigmoidGating = 2;

/**
 * The keys of the family's architecture, such as `exaone-moe`.
 *
 * @throws KexaError KEXA_UNSUPPORTED for a model that these keys cannot describe.
 */
export function modelMetadata(shape: ModelShape, config: ModelConfig, name: string, fileType: number): Entries {
  const family = knownFamily(config.modelType);
  const arch = family.gguf.architecture;
  refuseUnsaid(shape, family);
  const { layers, mtp, heads, kvHeads, headDim } = shape;
  const blocks = mtp === null ? layers : [...layers, mtp];
  const window = slidingWindow(layers);
  const entries: Entries = [
    ['general.architecture', text(arch)],
    ['general.type', text('model')],
    ['general.name', text(name)],
    ...samplingMetadata(config),
    [`${arch}.block_count`, u32(blocks.length)],
    [`${arch}.context_length`, u32(shape.maxPositions)],
    [`${arch}.embedding_length`, u32(shape.hiddenSize)],
    [`${arch}.feed_forward_length`, u32(denseWidth(blocks))],
    [`${arch}.attention.head_count`, u32(heads)],
    [`${arch}.attention.head_count_kv`, u32(kvHeads)],
    [`${arch}.attention.key_length`, u32(headDim)],
    [`${arch}.attention.value_length`, u32(headDim)],
    [`${arch}.attention.layer_norm_rms_epsilon`, f32(shape.normEpsilon)],
  ];
  if (window > 0) {
    entries.push(
      [`${arch}.attention.sliding_window`, u32(window)],
      [`${arch}.attention.sliding_window_pattern`, { type: 'bool[]', value: blocks.map((layer) => layer.window > 0) }],
    );
  }
  entries.push(
    [`${arch}.rope.dimension_count`, u32(headDim)],
    [`${arch}.rope.freq_base`, f32(shape.ropeTheta)],
    // llama3's factors are written as a tensor, rope_freqs.
    [`${arch}.rope.scaling.type`, text('none')],
    [`${arch}.vocab_size`, u32(shape.vocabSize)],
  );
  if (mtp !== null) entries.push([`${arch}.nextn_predict_layers`, u32(1)]);
  entries.push(...moeMetadata(shape, arch));
  entries.push(
    ['general.quantization_version', u32(quantizationVersion)],
    ['general.file_type', u32(fileType)],
    ['general.alignment', u32(32)],
  );
  return entries;
}

/**
 * The tensor `rope_freqs` [headDim / 2]: llama3's scaling divides each pair's frequency by it. Null without scaling.
 */
export function ropeFactors({ ropeScaling, ropeTheta, headDim }: ModelShape): Float32Array | null {
  if (ropeScaling === null) return null;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = ropeScaling;
  return Float32Array.from({ length: headDim / 2 }, (_, pair) => {
    const turns = (originalMaxPositions * ropeTheta ** ((-2 * pair) / headDim)) / (2 * Math.PI);
    if (turns > highFreqFactor) return 1;
    if (turns < lowFreqFactor) return factor;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function moeMetadata({ moe, layers }: ModelShape, arch: string): Entries {
  if (moe === null) return [];
  const leading = layers.findIndex(({ ffn }) => ffn === 'moe');
  const width = layers[leading]!.ffnWidth;
  return [
    [`${arch}.expert_count`, u32(moe.experts)],
    [`${arch}.expert_used_count`, u32(moe.topK)],
    [`${arch}.expert_shared_count`, u32(moe.sharedExperts)],
    [`${arch}.expert_feed_forward_length`, u32(width)],
    [`${arch}.expert_shared_feed_forward_length`, u32(width * moe.sharedExperts)],
    [`${arch}.expert_group_count`, u32(moe.groups)],
    [`${arch}.expert_group_used_count`, u32(moe.keptGroups)],
    [`${arch}.expert_gating_func`, u32(sigmoidGating)],
    [`${arch}.expert_weights_norm`, { type: 'bool', value: moe.normalize }],
    [`${arch}.expert_weights_scale`, f32(moe.scale)],
    [`${arch}.leading_dense_block_count`, u32(leading)],
  ];
}

/** The sampling defaults of the model's makers. */
function samplingMetadata({ generationDefaults }: ModelConfig): Entries {
  return samplingOptions.flatMap(({ name, kind, gguf }) => {
    const value = generationDefaults[name];
    const type = kind === 'integer' ? 'i32' : 'f32';
    return value === undefined ? [] : [[gguf, { type, value }] satisfies Entries[number]];
  });
}

function slidingWindow(layers: readonly LayerDescription[]): number {
  return Math.max(0, ...layers.map(({ window }) => window));
}

function denseWidth(blocks: readonly LayerDescription[]): number {
  return blocks.find(({ ffn }) => ffn === 'dense')?.ffnWidth ?? 0;
}

/** Refuses a model with a setting that no key can say, because a reader would compute it in another way. */
function refuseUnsaid({ layers, mtp, moe }: ModelShape, { gguf, mtpWindow }: Family): void {
  const blocks = mtp === null ? layers : [...layers, mtp];
  const window = slidingWindow(layers);
  const firstMoe = layers.findIndex(({ ffn }) => ffn === 'moe');
  const refuse = (what: string) => {
    throw new KexaError('KEXA_UNSUPPORTED', `${what}, which the GGUF architecture ${gguf.architecture} has no key for`);
  };
  if (blocks.some(({ swigluLimit }) => swigluLimit !== 0)) refuse('the model clamps its SwiGLU (swiglu_limits)');
  for (const layer of layers)
    if (layer.window !== 0 && layer.window !== window)
      refuse(`the model has sliding windows of ${layer.window} and of ${window}`);
  if (moe !== null && layers.some(({ ffn }, i) => i > firstMoe && ffn === 'dense'))
    refuse('the model has a dense layer after one of experts');
  // Readers of a family whose block may slide take its kind from the pattern's last entry.
  const said = mtpWindow === 'first' ? [0, window] : [0];
  if (mtp !== null && !said.includes(mtp.window)) refuse(`the MTP block has a sliding window, of ${mtp.window}`);
}

function u32(value: number): MetadataValue {
  return { type: 'u32', value };
}

function f32(value: number): MetadataValue {
  return { type: 'f32', value };
}

function text(value: string): MetadataValue {
  return { type: 'string', value };
}
