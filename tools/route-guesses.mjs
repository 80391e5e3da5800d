// Measures how well a token's experts can be guessed before they are routed, to judge prefetching
// (docs/kernels/experts.md). `node tools/route-guesses.mjs`: a quarter of a minute; the bundled model, 500 tokens of
// bench/texts/help.txt in float64.
import { readFileSync } from 'node:fs';
import { register } from 'tsx/esm/api';
import { setUp } from './setup.mjs';

setUp({ forTests: true });
register();
const { loadModel } = await import('../lib/index.ts');
const { modelFolder, readHfModel } = await import('../test/support/goldens.ts');
const { reference } = await import('../test/support/reference.ts');

const folder = modelFolder('tiny');
const { config, tensors } = readHfModel(folder);
const model = await loadModel(folder, { device: 'cpu' });
const text = readFileSync(new URL('../bench/texts/help.txt', import.meta.url), 'utf8');
const ids = (await model.tokenizer.encodeAsync(text)).slice(0, 500);
await model.close();
const { layers, mtpHidden, routes, expertsFor } = reference(config, tensors, ids);

const names = ['token before', 'MTP row', 'layer before'];
console.log(`share of a token's ${config.num_experts_per_tok} of ${config.num_experts} experts that a guess names,`);
console.log('and of those which neither of the two tokens before went to:');
console.log(`layer  ${names.map((name) => name.padEnd(14)).join('')}`);
for (const { layer, experts } of routes) {
  const named = [0, 0, 0];
  const newNamed = [0, 0, 0];
  let all = 0;
  let allNew = 0;
  for (let t = 2; t < ids.length; t++) {
    const guesses = [experts[t - 1], expertsFor(layer, mtpHidden[t - 1]), expertsFor(layer, layers[layer - 1][t])];
    for (const expert of experts[t]) {
      const isNew = !experts[t - 1].includes(expert) && !experts[t - 2].includes(expert);
      all++;
      if (isNew) allNew++;
      for (const [i, guess] of guesses.entries()) {
        if (!guess.includes(expert)) continue;
        named[i]++;
        if (isNew) newNamed[i]++;
      }
    }
  }
  const cells = names.map((_, i) => `${(named[i] / all).toFixed(2)} / ${(newNamed[i] / allNew).toFixed(2)}`.padEnd(14));
  console.log(`${String(layer).padEnd(7)}${cells.join('')}${(allNew / all).toFixed(2)} are new`);
}
