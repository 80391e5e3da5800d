// Writes a model folder with random weights at given shapes, for measuring speed: its text means nothing.
//   node tools/make-random-model.mjs OUT [--hidden 1024] [--layers 12] [--experts 32] [--top-k 4] [--width 512]
//     [--heads 8] [--kv-heads 2] [--head-dim 128] [--dense 3072] [--vocab 32768] [--window 128] [--context 32768]
// The defaults are the model of SPEED.md: 680M parameters, 195M active. K-EXAONE's own layers are
//   --hidden 6144 --experts 128 --top-k 8 --width 2048 --heads 64 --kv-heads 8 --dense 18432 --vocab 153600
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const defaults = {
  hidden: 1024,
  layers: 12,
  experts: 32,
  'top-k': 4,
  width: 512,
  heads: 8,
  'kv-heads': 2,
  'head-dim': 128,
  dense: 3072,
  vocab: 32768,
  window: 128,
  context: 32768,
};

/** Writes the config.json of such a model into `folder`; returns its sizes. */
export function writeConfig(folder, shape = {}) {
  const size = { ...defaults, ...shape };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(size), null, 2));
  return size;
}

/** Writes config.json and model.safetensors into `folder`; returns the bytes of the weights. */
export function makeRandomModelFolder(folder, shape = {}) {
  const size = writeConfig(folder, shape);
  const tensors = tensorsOf(size);
  const { file, bytes } = beginWeights(folder, tensors);
  const noise = noiseBlock();
  const ones = Buffer.alloc(2 * Math.max(size.hidden, size['head-dim']));
  for (let i = 0; i < ones.length; i += 2) ones.writeUInt16LE(0x3f80, i);
  for (const [name, dims] of tensors) {
    let left = dims.reduce((product, dim) => product * dim, 2);
    if (name.includes('norm')) {
      writeSync(file, ones, 0, left);
      continue;
    }
    // Each tensor starts at another place of the noise, so that successive rows differ.
    for (let start = (name.length * 7919 * 2) % 65536; left > 0; start = 0) {
      const count = Math.min(left, noise.length - start);
      writeSync(file, noise, start, count);
      left -= count;
    }
  }
  closeSync(file);
  return bytes;
}

/**
 * Begins model.safetensors in `folder` with the header of these tensors, each a name and its sizes. Their bf16 numbers
 * are to be written next, in the same order. Returns the open file and the bytes of all numbers.
 */
export function beginWeights(folder, tensors) {
  const header = {};
  let at = 0;
  for (const [name, shape] of tensors) {
    const bytes = shape.reduce((product, dim) => product * dim, 2);
    header[name] = { dtype: 'BF16', shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, length);
  writeSync(file, json);
  return { file, bytes: at };
}

function configOf(size) {
  return {
    architectures: ['ExaoneMoeForCausalLM'],
    model_type: 'exaone_moe',
    bos_token_id: 1,
    eos_token_id: 53,
    pad_token_id: 0,
    dtype: 'bfloat16',
    first_k_dense_replace: 1,
    head_dim: size['head-dim'],
    hidden_act: 'silu',
    hidden_size: size.hidden,
    intermediate_size: size.dense,
    layer_types: Array.from({ length: size.layers }, (_, i) => (i % 4 === 3 ? 'full_attention' : 'sliding_attention')),
    max_position_embeddings: size.context,
    moe_intermediate_size: size.width,
    n_group: 1,
    norm_topk_prob: true,
    num_attention_heads: size.heads,
    num_experts: size.experts,
    num_experts_per_tok: size['top-k'],
    num_hidden_layers: size.layers,
    num_key_value_heads: size['kv-heads'],
    num_nextn_predict_layers: 0,
    num_shared_experts: 1,
    rms_norm_eps: 1e-5,
    rope_parameters: { rope_theta: 1000000, rope_type: 'default' },
    routed_scaling_factor: 2.5,
    scoring_func: 'sigmoid',
    sliding_window: size.window,
    tie_word_embeddings: false,
    topk_group: 1,
    vocab_size: size.vocab,
  };
}

function tensorsOf(size) {
  const { hidden, width, experts } = size;
  const q = size.heads * size['head-dim'];
  const kv = size['kv-heads'] * size['head-dim'];
  const ffn = (prefix, inner) => [
    [`${prefix}gate_proj.weight`, [inner, hidden]],
    [`${prefix}up_proj.weight`, [inner, hidden]],
    [`${prefix}down_proj.weight`, [hidden, inner]],
  ];
  const tensors = [
    ['model.embed_tokens.weight', [size.vocab, hidden]],
    ['lm_head.weight', [size.vocab, hidden]],
    ['model.norm.weight', [hidden]],
  ];
  for (let i = 0; i < size.layers; i++) {
    const layer = `model.layers.${i}.`;
    tensors.push(
      [`${layer}input_layernorm.weight`, [hidden]],
      [`${layer}post_attention_layernorm.weight`, [hidden]],
      [`${layer}self_attn.q_proj.weight`, [q, hidden]],
      [`${layer}self_attn.k_proj.weight`, [kv, hidden]],
      [`${layer}self_attn.v_proj.weight`, [kv, hidden]],
      [`${layer}self_attn.o_proj.weight`, [hidden, q]],
      [`${layer}self_attn.q_norm.weight`, [size['head-dim']]],
      [`${layer}self_attn.k_norm.weight`, [size['head-dim']]],
    );
    if (i === 0) {
      tensors.push(...ffn(`${layer}mlp.`, size.dense));
      continue;
    }
    tensors.push([`${layer}mlp.gate.weight`, [experts, hidden]], [`${layer}mlp.e_score_correction_bias`, [experts]]);
    for (let e = 0; e < experts; e++) tensors.push(...ffn(`${layer}mlp.experts.${e}.`, width));
    tensors.push(...ffn(`${layer}mlp.shared_experts.`, width));
  }
  return tensors;
}

/** A megabyte of small bf16 numbers of both signs, the same every time. */
function noiseBlock() {
  const block = Buffer.alloc(2 ** 20);
  const value = new Float32Array(1);
  const bits = new Uint32Array(value.buffer);
  let state = 1;
  for (let i = 0; i < block.length; i += 2) {
    let sum = 0;
    for (let k = 0; k < 4; k++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      sum += state / 2 ** 32 - 0.5;
    }
    value[0] = sum * 0.05;
    block.writeUInt16LE(bits[0] >>> 16, i);
  }
  return block;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' }]));
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals.length !== 1) {
    console.error('usage: node tools/make-random-model.mjs OUT [--hidden N] [--layers N] ...');
    process.exit(2);
  }
  const shape = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
  console.log(`${(makeRandomModelFolder(positionals[0], shape) / 1e9).toFixed(2)} GB in ${positionals[0]}`);
}
