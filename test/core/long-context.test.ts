/** Positions are exact to the end of K-EXAONE's context, far past the 65,536 that 16 bits hold. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { writeLongModel } from '../support/attention-model.js';
import { openModel, randomIds, rowDifference, show } from '../support/compare.js';
import { makeRandomModel } from '../support/random-model.js';
import { reference, ropeFrequencies } from '../support/reference.js';

const context = 262144;
const windows = [4, 9, 6];
/** The number of tokens that a row's logits depend on. */
const seen = windows.reduce((sum, window) => sum + window - 1, 1);

test('logits at positions up to 262,143 are those of float64', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-long-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { config, tensors } = writeLongModel(folder, windows, 2);
  const model = await openModel(t, folder, { contextSize: context, prefillChunk: 512 });
  const ids = randomIds(context, config.vocab_size, 1);
  const { logits } = await model.forward(ids);
  let worst = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const edge of [100, 4096, 32768, 65535, 65536, 65537, 131071, 131072, 200000, 262142, 262143]) {
    const part = ids.slice(edge - seen + 1, edge + 1);
    const origin = edge - seen + 1;
    const found = logits.subarray(edge * config.vocab_size, (edge + 1) * config.vocab_size);
    const wanted = reference(config, tensors, part, undefined, { origin }).logits.at(-1)!;
    const off = rowDifference(found, wanted, config.vocab_size);
    worst = Math.max(worst, off);
    t.ok(off < 5e-6, `position ${edge}: within ${show(off)}`);
    if (edge < 200000) continue;
    const wrong = reference(config, tensors, part, 'angles-in-32-bit', { origin }).logits.at(-1)!;
    least = Math.min(least, rowDifference(wrong, wanted, config.vocab_size));
  }
  t.ok(least > 100 * worst, `angles in f32 would be off by ${show(least)} at least there`);
});

test('attention over 16,384 keys is as near to float64 as over few', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-long-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const tokens = 16384;
  const { config, tensors } = writeLongModel(folder, [8, 0], 1);
  const model = await openModel(t, folder, { contextSize: tokens, prefillChunk: 512 });
  const ids = randomIds(tokens, config.vocab_size, 1);
  const { logits } = await model.forward(ids);
  const rows = new Set(Array.from({ length: 256 }, (_, i) => i * 64 + (i % 64)));
  const wanted = reference(config, tensors, ids, undefined, { rows }).logits;
  /** The median error of the rows from `first` on. */
  const typical = (first: number, end: number) => {
    const offs = [...rows]
      .filter((row) => row >= first && row < end)
      .map((row) =>
        rowDifference(
          logits.subarray(row * config.vocab_size, (row + 1) * config.vocab_size),
          wanted[row]!,
          config.vocab_size,
        ),
      );
    return offs.sort((a, b) => a - b)[offs.length >> 1]!;
  };
  const [few, many] = [typical(0, tokens / 4), typical(tokens / 2, tokens)];
  t.ok(many < 1e-6 && many < 1.5 * few, `half of all rows within ${show(many)}, of the first quarter ${show(few)}`);
});

test('an f32 angle is off by up to 0.016 radians at the end of the context', (t) => {
  const { config } = makeRandomModel({ model_type: 'exaone_moe', head_dim: 128 }, 1);
  let worst = 0;
  for (const frequency of ropeFrequencies(config))
    for (let position = context - 2000; position < context; position++) {
      const angle = Math.fround(Math.fround(position) * Math.fround(frequency));
      worst = Math.max(worst, Math.abs(angle - position * frequency));
    }
  t.ok(worst > 0.01 && worst < 0.016, `${worst.toFixed(4)} radians`);
  t.end();
});
