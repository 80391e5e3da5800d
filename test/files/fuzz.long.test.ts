/** Two minutes of the fuzzer, shared among the formats, by seeds of its own. */
import test from 'tape';
import { runCampaign, summary } from '../fuzz/campaign.js';
import { type Format, formats } from '../fuzz/formats.js';

const seconds = 120;

for (const format of formats as readonly Format[]) {
  test(`damaged files end in success or a KexaError: ${format}`, async (t) => {
    const result = await runCampaign(format, {
      firstSeed: 100_000,
      cases: Number.POSITIVE_INFINITY,
      until: performance.now() + (seconds * 1000) / formats.length,
      keepIn: null,
    });
    t.deepEqual(result.findings, [], summary(result));
    t.ok(result.executions > 50, `${result.executions} executions`);
  });
}
