/**
 * The fuzzer by itself: `npm run fuzz -- [--seconds N] [--cases N] [--seed N] [--format NAME] [--keep DIR]`. Without a
 * number of cases, two minutes are shared among the formats. `--cases 1 --seed N --format NAME` runs one case again.
 */
import { parseArgs } from 'node:util';
import { runCampaign, summary } from './campaign.js';
import { type Format, formats } from './formats.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    cases: { type: 'string' },
    seed: { type: 'string', default: '1' },
    format: { type: 'string' },
    keep: { type: 'string' },
  },
});
const chosen = formats.filter((format) => values.format === undefined || format === values.format);
if (chosen.length === 0) throw new Error(`--format takes one of ${formats.join(', ')}`);
const cases = values.cases === undefined ? Number.POSITIVE_INFINITY : Number(values.cases);
const seconds = Number(values.seconds ?? (values.cases === undefined ? 120 : Number.POSITIVE_INFINITY));
let findings = 0;
for (const format of chosen as Format[]) {
  const result = await runCampaign(format, {
    firstSeed: Number(values.seed),
    cases,
    until: performance.now() + (seconds * 1000) / chosen.length,
    keepIn: values.keep ?? null,
  });
  console.log(summary(result));
  for (const { seed, what } of result.findings) console.log(`  seed ${seed}: ${what.replaceAll('\n', '\n    ')}`);
  findings += result.findings.length;
}
process.exitCode = findings > 0 ? 1 : 0;
