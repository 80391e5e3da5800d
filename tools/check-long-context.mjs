// Logits far on in a long context, with a global layer over all of it, against the float64 reference: a small random
// model, its whole prompt through the CPU device in chunks, its sampled positions through the reference unchunked.
// `node tools/check-long-context.mjs [tokens]`: 16,384 take half a minute on two cores, and time grows with the square.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';
import { setUp } from './setup.mjs';

setUp();
register();
const { loadModel } = await import('../lib/index.ts');
const { makeRandomModel, writeRandomModel } = await import('../test/support/random-model.ts');
const { reference } = await import('../test/support/reference.ts');
const { randomIds, rowDifference } = await import('../test/support/compare.ts');

const tokens = Number(process.argv[2] ?? 262144);
const folder = mkdtempSync(join(tmpdir(), 'kexa-long-'));
try {
  const random = makeRandomModel(
    {
      model_type: 'exaone_moe',
      num_hidden_layers: 2,
      vocab_size: 64,
      hidden_size: 16,
      intermediate_size: 16,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      head_dim: 16,
      max_position_embeddings: 262144,
      sliding_windows: [8, 0],
      mlp_layer_types: ['dense', 'dense'],
      num_nextn_predict_layers: 0,
      rope_parameters: { rope_theta: 1e6, rope_type: 'default' },
    },
    5,
  );
  writeRandomModel(folder, random, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  const { config, tensors } = random;
  const ids = randomIds(tokens, config.vocab_size, 1);
  const model = await loadModel(folder, { device: 'cpu', contextSize: tokens, prefillChunk: 512 });
  const start = performance.now();
  const { logits } = await model.forward(ids);
  console.log(`${tokens} tokens in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  await model.close();
  const positions = [100, 4095, 32768, 65535, 65536, 65537, 131071, 131072, 200000, tokens - 2, tokens - 1];
  const rows = new Set(positions.filter((position) => position < tokens));
  const wanted = reference(config, tensors, ids, undefined, { rows });
  let worst = 0;
  for (const position of rows) {
    const found = logits.subarray(position * config.vocab_size, (position + 1) * config.vocab_size);
    const off = rowDifference(found, wanted.logits[position], config.vocab_size);
    worst = Math.max(worst, off);
    console.log(`position ${position}: within ${off.toExponential(1)}`);
  }
  if (!(worst < 1e-5)) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true });
}
