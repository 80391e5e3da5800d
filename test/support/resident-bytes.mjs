// Measures in a process of its own, with nothing in it but the built library, what a load and a growing context cost:
// `node --expose-gc test/support/resident-bytes.mjs CONFIG TYPE...`, with a config that has sliding layers and types of the
// cache. Prints a list with an object for each type.
import { readFileSync } from 'node:fs';
import { loadSynthetic } from '../../dist/model/load.js';

const chunk = 64;
const [config, ...cacheTypes] = process.argv.slice(2);
const ids = (count) => Array.from({ length: count }, (_, i) => (i * 37) % 200);

// Pages that belong to no file, those that the system has swapped out too: it does so when others need memory. JavaScript's
// heap is among them, so it is swept first.
async function anonymousBytes() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const status = readFileSync('/proc/self/status', 'utf8');
  const bytes = (name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
  return bytes('RssAnon') + bytes('VmSwap');
}

async function measure(cacheType, chunks) {
  const empty = await anonymousBytes();
  const options = { device: 'cpu', contextSize: 2048, cacheType, prefillChunk: chunk, prefixCacheBytes: 0 };
  const model = await loadSynthetic(config, {}, options);
  const { cache, weights, scratch } = model.memory;
  const session = model.createSession();
  const reach = (length) => session.generate(ids(length), { maxTokens: 1 });
  await reach(4 * chunk);
  const small = await anonymousBytes();
  await reach((4 + chunks) * chunk);
  const large = await anonymousBytes();
  await model.close();
  return {
    // By loading and the first four chunks: weights, scratch, one of the four sequences' rings, and the tokens' rows.
    loaded: small - empty,
    plannedLoaded: weights.total + cache.sliding / 4 + scratch + 4 * chunk * cache.bytesPerToken,
    // By the further tokens.
    grown: large - small,
    plannedGrown: chunks * chunk * cache.bytesPerToken,
  };
}

// Not counted: the first time the addon, its threads and JavaScript's heap find their size.
await measure(cacheTypes[0], 1);
const measured = [];
for (const cacheType of cacheTypes) measured.push(await measure(cacheType, 16));
console.log(JSON.stringify(measured));
