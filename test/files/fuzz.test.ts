/**
 * Runs the fuzzer for a few seconds over every format that kexa reads. `npm run fuzz` goes on for as long as you like.
 */
import test from 'tape';
import { runCampaign, summary } from '../fuzz/campaign.js';
import { type Format, formats } from '../fuzz/formats.js';
import { damageBytes, damageJson } from '../fuzz/mutations.js';
import { Random } from '../fuzz/random.js';

test('the same seed makes the same damage, and another one other damage', (t) => {
  const bytes = Buffer.from(Array.from({ length: 400 }, (_, i) => i % 251));
  const made = (seed: number) => {
    const random = new Random(seed);
    return JSON.stringify([damageBytes(random, bytes, 64).toString('hex'), damageJson(random, { a: [1, { b: 'c' }] })]);
  };
  const all = Array.from({ length: 200 }, (_, seed) => made(seed));
  t.deepEqual(
    all,
    Array.from({ length: 200 }, (_, seed) => made(seed)),
  );
  t.ok(new Set(all).size > 190);
  t.end();
});

for (const format of formats as readonly Format[]) {
  test(`damaged files end in success or a KexaError: ${format}`, async (t) => {
    const result = await runCampaign(format, {
      firstSeed: 1,
      cases: 60,
      until: Number.POSITIVE_INFINITY,
      keepIn: null,
    });
    t.deepEqual(result.findings, [], summary(result));
    t.ok(result.succeeded > 0 && result.refused.size > 0, 'some are read and some refused');
  });
}
