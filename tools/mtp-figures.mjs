// Measures the gain of drafts by the bundled model's MTP block: acceptance by position, tokens a step, and time against
// none.
//   node tools/mtp-figures.mjs [--device cpu] [--prompts 40] [--rounds 3] [--tokens 64] [--mtp auto,1,2,3]
// Prompts are the beginnings of the lines of bench/texts/help.txt, which the model has not seen, without the chat
// template. Settings take turns prompt by prompt. Each time is divided by that of the same answer without drafts in the
// same round; the figures are the median of these ratios and the range of their middle half.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tsImport } from 'tsx/esm/api';
import { root, setUp } from './setup.mjs';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cpu' },
    prompts: { type: 'string', default: '40' },
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '64' },
    mtp: { type: 'string', default: 'auto,1,2,3' },
  },
});
const settings = [false, ...options.mtp.split(',').map((word) => (word === 'auto' ? word : Number(word)))];

setUp({ forTests: options.device === 'swiftshader' });
if (options.device === 'swiftshader') {
  const { useSoftwareGpu } = await tsImport('../test/support/software-gpu.ts', import.meta.url);
  useSoftwareGpu();
}
const { loadModel } = await import('../dist/index.js');
const model = await loadModel(join(root, 'models/tiny'), { device: options.device, contextSize: 1024 });
const lines = readFileSync(join(root, 'bench/texts/help.txt'), 'utf8')
  .split('\n')
  .filter((line) => line.trim().length > 20)
  .slice(0, Number(options.prompts));
const prompts = lines.map((line) => model.tokenizer.encode(line.slice(0, Math.floor(line.length / 2)).trimEnd()));

for (const temperature of [0, 1]) {
  const found = new Map(settings.map((mtp) => [mtp, { ratios: [], speculation: [], tokens: 0, ms: 0 }]));
  for (let round = -1; round < Number(options.rounds); round++) {
    for (const [index, prompt] of prompts.entries()) {
      // The order rotates, so that no setting always follows the same one.
      const order = settings.map((_, i) => settings[(i + index + round + settings.length) % settings.length]);
      const times = new Map();
      for (const mtp of order) {
        const result = await model.generate(prompt, {
          ...{ temperature, seed: index, ignoreEos: true, maxTokens: Number(options.tokens) },
          mtp,
        });
        times.set(mtp, result.timings.prefillMs + result.timings.decodeMs);
        if (round < 0) continue;
        const entry = found.get(mtp);
        if (round === 0) entry.speculation.push(result.speculation);
      }
      if (round >= 0) for (const mtp of settings) found.get(mtp).ratios.push(times.get(false) / times.get(mtp));
    }
  }
  console.log(
    `\ntemperature ${temperature}, ${prompts.length} prompts, ${options.tokens} tokens each, ${model.device.name}`,
  );
  console.log('| mtp | kept by position | tokens a step | time without / with: median | middle half |');
  console.log('| --- | --- | --- | --- | --- |');
  for (const [mtp, { ratios, speculation }] of found) {
    const sorted = ratios.toSorted((a, b) => a - b);
    const at = (part) => sorted[Math.floor(part * (sorted.length - 1))].toFixed(3);
    const sum = (of) => speculation.reduce((total, one) => total + of(one), 0);
    const places = Array.from({ length: Math.max(0, ...speculation.map((one) => one.byPosition.length)) }, (_, i) =>
      (sum((one) => one.byPosition[i]?.accepted ?? 0) / sum((one) => one.byPosition[i]?.drafted ?? 0)).toFixed(2),
    );
    const steps = sum((one) => one.steps);
    const length = steps > 0 ? (1 + sum((one) => one.accepted) / steps).toFixed(2) : '';
    console.log(`| ${mtp || 'off'} | ${places.join(' ')} | ${length} | ${at(0.5)} | ${at(0.25)} to ${at(0.75)} |`);
  }
}
await model.close();
