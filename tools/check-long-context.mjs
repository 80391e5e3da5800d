// Logits far on in a long context, with a global layer over all of it, against the float64 reference: a small random
// model, its whole prompt through the CPU device in chunks, its sampled positions through the reference unchunked.
// `node tools/check-long-context.mjs [tokens]`: 16,384 take some ten seconds on two cores, and time grows with the
// square.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';
import { setUp } from './setup.mjs';

setUp();
register();
const { loadModel } = await import('../lib/index.ts');
const { writeLongModel } = await import('../test/support/attention-model.ts');
const { reference } = await import('../test/support/reference.ts');
const { randomIds, rowDifference } = await import('../test/support/compare.ts');

const tokens = Number(process.argv[2] ?? 262144);
const folder = mkdtempSync(join(tmpdir(), 'kexa-long-'));
try {
  const { config, tensors } = writeLongModel(folder, [8, 0], 1);
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
