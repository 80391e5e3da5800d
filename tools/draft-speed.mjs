// Measures what drafts gain on a dense model that is limited by memory, at a chosen acceptance: EXAONE 4.5's shape
// scaled down, with made-up weights.
//   node tools/draft-speed.mjs [--acceptance 0.7] [--weights bf16,q8] [--threads 2] [--rounds 5] [--tokens 96]
//     [--mtp 1,auto] [--keep FOLDER]
// Settings take turns, each against the same answer without drafts in the same round: decode time without by time with.
//
// How the weights give an acceptance: the layers add next to nothing, so the hidden state is the embedding of the last
// token, and row next(t) of the head is the embedding of t. The MTP block adds `share` of the last token's embedding to
// the next one's. It is right where the next token's embedding is longer than `share` times that of the last.
import { closeSync, mkdirSync, mkdtempSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { beginWeights } from './make-random-model.mjs';
import { setUp } from './setup.mjs';

const { values: options } = parseArgs({
  options: {
    acceptance: { type: 'string', default: '0.7' },
    weights: { type: 'string', default: 'bf16,q8' },
    threads: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '96' },
    mtp: { type: 'string', default: '1,auto' },
    keep: { type: 'string' },
  },
});

const [hidden, ffn, layers, heads, kvHeads, headDim, vocab] = [1280, 6848, 16, 10, 2, 128, 16384];
/** Standard deviation of an embedding's length, about 1. */
const spread = 0.1;

/** Normal numbers, the same every time. */
function normals(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(uniform() + 1e-12)) * Math.cos(2 * Math.PI * uniform()) };
}

/** The number that a share of all standard normal numbers is below. */
function quantile(share) {
  let [low, high] = [-6, 6];
  const below = (x) => {
    // Abramowitz and Stegun 7.1.26.
    const z = Math.abs(x) / Math.SQRT2;
    const t = 1 / (1 + 0.3275911 * z);
    const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    const erf = 1 - series * Math.exp(-z * z);
    return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
  };
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (below(middle) < share) low = middle;
    else high = middle;
  }
  return low;
}

/** Writes the model into `folder`. */
function makeModel(folder, acceptance) {
  mkdirSync(folder, { recursive: true });
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const { uniform, normal } = normals(7);
  const round = new Float32Array(1);
  const bits = new Uint32Array(round.buffer);
  const matrix = (rows, columns, value) => {
    const to = new Uint16Array(rows * columns);
    for (let i = 0; i < to.length; i++) {
      round[0] = value(Math.floor(i / columns), i % columns);
      to[i] = (bits[0] + 0x8000) >>> 16;
    }
    return to;
  };
  const noise = matrix(1, 2 ** 20, () => 0.02 * normal());
  const random = (name, rows, columns) => {
    const to = new Uint16Array(rows * columns);
    for (let at = 0, start = (name.length * 7919) % 65536; at < to.length; start = 0) {
      const part = noise.subarray(start, start + to.length - at);
      to.set(part, at);
      at += part.length;
    }
    return to;
  };
  const filled = (size, value) => matrix(1, size, () => value);

  const lengths = Float64Array.from({ length: vocab }, () => 1 + spread * normal());
  const embedding = matrix(vocab, hidden, (token) => lengths[token] * normal());
  // A random order of all tokens: each is followed by the one after it.
  const order = Uint32Array.from({ length: vocab }, (_, i) => i);
  for (let i = vocab - 1; i > 0; i--) {
    const other = Math.floor(uniform() * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  const head = new Uint16Array(embedding.length);
  order.forEach((token, i) => {
    head.set(embedding.subarray(token * hidden, (token + 1) * hidden), order[(i + 1) % vocab] * hidden);
  });
  // Norms make both embeddings as long, so a score is the length of the head's row, by 1 or by the share.
  const share = 1 - quantile(acceptance) * spread * Math.SQRT2;
  const fc = matrix(hidden, 2 * hidden, (row, column) => (column === row ? 1 : column === hidden + row ? share : 0));

  const tensors = [
    ['model.embed_tokens.weight', [vocab, hidden], embedding],
    ['lm_head.weight', [vocab, hidden], head],
    ['model.norm.weight', [hidden], filled(hidden, 1)],
    ['mtp.pre_fc_norm_embedding.weight', [hidden], filled(hidden, 1)],
    ['mtp.pre_fc_norm_hidden.weight', [hidden], filled(hidden, 1)],
    ['mtp.fc.weight', [hidden, 2 * hidden], fc],
    ['mtp.norm.weight', [hidden], filled(hidden, 1)],
  ];
  for (const layer of [...Array.from({ length: layers }, (_, i) => `model.layers.${i}.`), 'mtp.layers.0.']) {
    for (const [name, rows, columns] of [
      ['self_attn.q_proj', q, hidden],
      ['self_attn.k_proj', kv, hidden],
      ['self_attn.v_proj', kv, hidden],
      ['self_attn.o_proj', hidden, q],
      ['mlp.gate_proj', ffn, hidden],
      ['mlp.up_proj', ffn, hidden],
      ['mlp.down_proj', hidden, ffn],
    ])
      tensors.push([`${layer}${name}.weight`, [rows, columns], random(layer + name, rows, columns)]);
    for (const name of ['self_attn.q_norm', 'self_attn.k_norm'])
      tensors.push([`${layer}${name}.weight`, [headDim], filled(headDim, 1)]);
    for (const name of ['post_attention_layernorm', 'post_feedforward_layernorm'])
      tensors.push([`${layer}${name}.weight`, [hidden], filled(hidden, 0.001)]);
  }

  const { file, bytes } = beginWeights(folder, tensors);
  for (const [, , data] of tensors)
    for (let written = 0; written < data.byteLength; ) written += writeSync(file, data, written);
  closeSync(file);
  const config = {
    ...{ architectures: ['Exaone4ForCausalLM'], model_type: 'exaone4', dtype: 'bfloat16', hidden_act: 'silu' },
    ...{ bos_token_id: 1, eos_token_id: 2, pad_token_id: 0, vocab_size: vocab, hidden_size: hidden },
    ...{ intermediate_size: ffn, num_hidden_layers: layers, num_attention_heads: heads, head_dim: headDim },
    ...{ num_key_value_heads: kvHeads, num_nextn_predict_layers: 1, max_position_embeddings: 8192 },
    ...{ rms_norm_eps: 1e-5, rope_theta: 1000000, tie_word_embeddings: false, sliding_window: 512 },
    layer_types: Array.from({ length: layers }, (_, i) => (i % 4 === 3 ? 'full_attention' : 'sliding_attention')),
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 2));
  return bytes;
}

setUp({ forTests: false });
const { loadModel } = await import('../dist/index.js');
const { median } = await import('../dist/bench/statistics.js');
const folder = options.keep ?? mkdtempSync(join(tmpdir(), 'kexa-drafts-'));
try {
  const bytes = makeModel(folder, Number(options.acceptance));
  console.log(
    `${(bytes / 1e9).toFixed(2)} GB in bf16, ${options.threads} threads, acceptance ${options.acceptance} wanted`,
  );
  console.log('| weights | mtp | kept of drafted | tokens a step | without / with: median | all |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  const settings = options.mtp.split(',').map((word) => (word === 'auto' ? word : Number(word)));
  for (const weights of options.weights.split(',')) {
    const model = await loadModel(folder, {
      ...{ device: 'cpu', weights, threads: Number(options.threads), contextSize: 512, prefixCacheBytes: 0 },
    });
    const ask = async (seed, mtp) => {
      const prompt = Array.from({ length: 16 }, (_, i) => (seed * 977 + i * 613 + 3) % vocab);
      const settings = { temperature: 0, ignoreEos: true, maxTokens: Number(options.tokens), mtp };
      const { ids, timings, speculation } = await model.generate(prompt, settings);
      return { ids: ids.join(), ms: timings.decodeMs, speculation };
    };
    const found = new Map(settings.map((mtp) => [mtp, { ratios: [], drafted: 0, accepted: 0, steps: 0, tokens: 0 }]));
    for (let round = -1; round < Number(options.rounds); round++) {
      const plain = await ask(round + 1, false);
      for (const mtp of settings) {
        const { ids, ms, speculation } = await ask(round + 1, mtp);
        if (ids !== plain.ids) throw new Error(`mtp ${mtp} changed the answer`);
        if (round < 0) continue; // the first round warms up, and 'auto' learns
        const entry = found.get(mtp);
        entry.ratios.push(plain.ms / ms);
        entry.drafted += speculation.drafted;
        entry.accepted += speculation.accepted;
        entry.steps += speculation.steps;
        entry.tokens += speculation.steps + speculation.accepted;
      }
    }
    for (const [mtp, { ratios, drafted, accepted, steps, tokens }] of found)
      console.log(
        `| ${weights} | ${mtp} | ${accepted} of ${drafted} (${(accepted / Math.max(1, drafted)).toFixed(2)}) ` +
          `| ${(tokens / Math.max(1, steps)).toFixed(2)} | ${median(ratios).toFixed(2)} ` +
          `| ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')} |`,
      );
    await model.close();
  }
} finally {
  if (!options.keep) rmSync(folder, { recursive: true, force: true });
}
