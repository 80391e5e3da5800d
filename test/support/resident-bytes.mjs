// Measures in a process of its own, with nothing in it but the built library, what a load and a growing context cost:
// `node --expose-gc test/support/resident-bytes.mjs CONFIG TYPE`, with a config that has sliding layers and the type of the cache.
import { readFileSync } from 'node:fs';
import { loadSynthetic } from '../../dist/model/load.js';

const chunk = 64;
const [config, cacheType] = process.argv.slice(2);
const ids = (count) => Array.from({ length: count }, (_, i) => (i * 37) % 200);
const load = () =>
  loadSynthetic(config, {}, { device: 'cpu', contextSize: 2048, cacheType, prefillChunk: chunk, prefixCacheBytes: 0 });

// Pages that belong to no file. JavaScript's heap is among them, so it is swept first.
async function anonymousBytes() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

// Twice: the first time the addon, its threads and JavaScript's heap find their size.
let memory, empty, small, large;
for (let round = 0; round < 2; round++) {
  empty = await anonymousBytes();
  const model = await load();
  memory = model.memory;
  const session = model.createSession();
  const reach = (length) => session.generate(ids(length), { maxTokens: 1 });
  await reach(4 * chunk);
  small = await anonymousBytes();
  await reach(20 * chunk);
  large = await anonymousBytes();
  await model.close();
}

const { cache, weights, scratch } = memory;
console.log(
  JSON.stringify({
    // By loading and the first four chunks: weights, scratch, one of the four sequences' rings, and the tokens' rows.
    loaded: small - empty,
    plannedLoaded: weights.total + cache.sliding / 4 + scratch + 4 * chunk * cache.bytesPerToken,
    // By 1,024 tokens more.
    grown: large - small,
    plannedGrown: 16 * chunk * cache.bytesPerToken,
  }),
);
