// Measures in a process of its own, with nothing in it but the built library, what a load and a growing context cost:
// `node --expose-gc test/support/resident-bytes.mjs CONFIG TYPE...`, with a config that has sliding layers and types of
// the cache. Prints a list with an object for each type.
import { readFileSync } from 'node:fs';
import { loadSynthetic } from '../../dist/model/load.js';

const chunk = 64;
// The tokens of two prompts. The first fills the rings.
const [first, further] = [2 * chunk, 8 * chunk];
const [config, ...cacheTypes] = process.argv.slice(2);
const ids = (count) => Array.from({ length: count }, (_, i) => (i * 37) % 200);

// Pages that belong to no file, those that the system has swapped out too: it does so when others need memory.
// JavaScript's heap is among them, so it is swept first. /proc/self/status would be a few hundred KiB off, because it
// counts late.
async function anonymousBytes() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const pages = readFileSync('/proc/self/smaps_rollup', 'utf8');
  const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(pages)?.[1]) * 1024;
  return bytes('Anonymous') + bytes('Swap');
}

async function measure(cacheType) {
  const empty = await anonymousBytes();
  const options = { threads: 1, contextSize: 2048, cacheType, prefillChunk: chunk, prefixCacheBytes: 0 };
  const model = await loadSynthetic(config, {}, { device: 'cpu', ...options });
  const { cache, weights, scratch } = model.memory;
  const session = model.createSession();
  const reach = (length) => session.generate(ids(length), { maxTokens: 1 });
  await reach(first);
  const small = await anonymousBytes();
  await reach(first + further);
  const large = await anonymousBytes();
  await model.close();
  return {
    // By loading and the first tokens: weights, scratch, one of the four sequences' rings, and the tokens' rows.
    loaded: small - empty,
    plannedLoaded: weights.total + cache.sliding / 4 + scratch + first * cache.bytesPerToken,
    // By the further tokens.
    grown: large - small,
    plannedGrown: further * cache.bytesPerToken,
  };
}

// Not counted: the addon, its threads and JavaScript's heap find their size the first time. The second time they give
// back what the first has left, so a load then seems to cost less than it does.
for (let i = 0; i < 2; i++) await measure(cacheTypes[0]);
const measured = [];
for (const cacheType of cacheTypes) measured.push(await measure(cacheType));
console.log(JSON.stringify(measured));
