/** The smallest models of each kind, spelled out by hand so that tests do not lean on the code they test. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tape';
import { KexaError } from '../../lib/errors.js';
import { type TensorToWrite, writeSafetensors, zeros } from './safetensors-writer.js';

export type Config = Record<string, unknown>;
export type Tensors = Record<string, TensorToWrite>;

/** Hidden 8, 2 heads on 1, head 4, four layers LLLG, the first dense, 4 experts of width 3, an MTP block. */
export function moeConfig(changes: Config = {}): Config {
  return pruned({
    architectures: ['ExaoneMoeForCausalLM'],
    model_type: 'exaone_moe',
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: 0,
    dtype: 'bfloat16',
    head_dim: 4,
    hidden_act: 'silu',
    hidden_size: 8,
    intermediate_size: 6,
    layer_types: ['sliding_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
    max_position_embeddings: 64,
    mlp_layer_types: ['dense', 'sparse', 'sparse', 'sparse'],
    moe_intermediate_size: 3,
    n_group: 1,
    norm_topk_prob: true,
    num_attention_heads: 2,
    num_experts: 4,
    num_experts_per_tok: 2,
    num_hidden_layers: 4,
    num_key_value_heads: 1,
    num_nextn_predict_layers: 1,
    num_shared_experts: 1,
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_theta: 10000, rope_type: 'default' },
    routed_scaling_factor: 2.5,
    scoring_func: 'sigmoid',
    sliding_window: 5,
    tie_word_embeddings: false,
    topk_group: 1,
    use_cache: true,
    vocab_size: 10,
    ...changes,
  });
}

/** An EXAONE 4.0 in small: post-norm, two layers, all full, tied head, llama3 scaling. */
export function exaone4Config(changes: Config = {}): Config {
  return pruned({
    architectures: ['Exaone4ForCausalLM'],
    model_type: 'exaone4',
    hidden_act: 'silu',
    hidden_size: 8,
    intermediate_size: 6,
    layer_types: ['full_attention', 'full_attention'],
    max_position_embeddings: 64,
    num_attention_heads: 2,
    num_hidden_layers: 2,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    rope_theta: 1000000,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 16,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    sliding_window: null,
    tie_word_embeddings: true,
    vocab_size: 10,
    ...changes,
  });
}

/** The weights of {@link moeConfig} as a released checkpoint names them. */
export function moeTensors(): Tensors {
  const tensors: Tensors = {
    'model.embed_tokens.weight': zeros('BF16', [10, 8]),
    'model.norm.weight': zeros('BF16', [8]),
    'lm_head.weight': zeros('BF16', [10, 8]),
    'mtp.pre_fc_norm_embedding.weight': zeros('BF16', [8]),
    'mtp.pre_fc_norm_hidden.weight': zeros('BF16', [8]),
    'mtp.fc.weight': zeros('BF16', [8, 16]),
    'mtp.norm.weight': zeros('BF16', [8]),
  };
  for (const layer of ['model.layers.0', 'model.layers.1', 'model.layers.2', 'model.layers.3', 'mtp.layers.0']) {
    addAttention(tensors, layer, ['input_layernorm', 'post_attention_layernorm']);
    if (layer.endsWith('.0')) addFfn(tensors, `${layer}.mlp`, 6);
    else addMoe(tensors, `${layer}.mlp`);
  }
  return tensors;
}

/** The weights of {@link exaone4Config}. */
export function exaone4Tensors(): Tensors {
  const tensors: Tensors = {
    'model.embed_tokens.weight': zeros('BF16', [10, 8]),
    'model.norm.weight': zeros('BF16', [8]),
  };
  for (const layer of ['model.layers.0', 'model.layers.1']) {
    addAttention(tensors, layer, ['post_attention_layernorm', 'post_feedforward_layernorm']);
    addFfn(tensors, `${layer}.mlp`, 6);
  }
  return tensors;
}

/** Writes config.json and one file of weights into a new folder, removed when the test ends. */
export async function writeModel(t: Test, config: Config, tensors: Tensors): Promise<string> {
  const folder = await newFolder(t);
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  return folder;
}

/** An empty folder, removed when the test ends. */
export async function newFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kexa-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Checks that something throws a KexaError with this code, whose message has all these words. */
export async function refuses(t: Test, code: string, words: string[], work: () => unknown): Promise<void> {
  try {
    await work();
    t.fail(`wanted ${code} with ${words.join(', ')}, found no error`);
  } catch (error) {
    if (!(error instanceof KexaError)) throw error;
    const missing = words.filter((word) => !error.message.includes(word));
    t.ok(error.code === code && missing.length === 0, `${error.code}: ${error.message} (wanted ${code} ${words})`);
  }
}

function addAttention(tensors: Tensors, layer: string, norms: string[]): void {
  for (const norm of norms) tensors[`${layer}.${norm}.weight`] = zeros('BF16', [8]);
  tensors[`${layer}.self_attn.q_proj.weight`] = zeros('BF16', [8, 8]);
  tensors[`${layer}.self_attn.k_proj.weight`] = zeros('BF16', [4, 8]);
  tensors[`${layer}.self_attn.v_proj.weight`] = zeros('BF16', [4, 8]);
  tensors[`${layer}.self_attn.o_proj.weight`] = zeros('BF16', [8, 8]);
  tensors[`${layer}.self_attn.q_norm.weight`] = zeros('BF16', [4]);
  tensors[`${layer}.self_attn.k_norm.weight`] = zeros('BF16', [4]);
}

function addFfn(tensors: Tensors, from: string, width: number): void {
  tensors[`${from}.gate_proj.weight`] = zeros('BF16', [width, 8]);
  tensors[`${from}.up_proj.weight`] = zeros('BF16', [width, 8]);
  tensors[`${from}.down_proj.weight`] = zeros('BF16', [8, width]);
}

function addMoe(tensors: Tensors, from: string): void {
  tensors[`${from}.gate.weight`] = zeros('BF16', [4, 8]);
  tensors[`${from}.e_score_correction_bias`] = zeros('F32', [4]);
  for (let expert = 0; expert < 4; expert++) addFfn(tensors, `${from}.experts.${expert}`, 3);
  addFfn(tensors, `${from}.shared_experts`, 3);
}

function pruned(config: Config): Config {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}
