// What quantised weights and caches cost: makes docs/quality.md. For every type and recipe, the tiny model is written by
// `quantizeModel`, its values are read back by the format's definition (in FP8 it is written as a publisher would), and what
// it says of each token of bench/texts/help.txt is held against what the model itself says; for every type of cache, what it
// says with one.
// `node tools/quality.mjs` takes a few minutes; `--json` prints the figures and writes nothing.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';
import { root, setUp } from './setup.mjs';

setUp();
register();
const { loadModel } = await import('../lib/index.ts');
const { quantizeModel } = await import('../lib/quantize/quantize-model.ts');
const { recipes } = await import('../lib/quantize/recipes.ts');
const { bitsOf } = await import('../lib/files/gguf-types.ts');
const { storedScales } = await import('../lib/files/fp8.ts');
const { openModelFolder } = await import('../lib/files/model-folder.ts');
const { writeFp8Model } = await import('../test/support/fp8-model.ts');
const { readHfModel } = await import('../test/support/goldens.ts');
const { writeAsFolder } = await import('../test/support/gguf-file.ts');

const tiny = join(root, 'models/tiny');
const textFile = 'bench/texts/help.txt';
const types = ['q8_0', 'q6_k', 'q5_k', 'q5_0', 'q4_k', 'iq4_nl', 'iq4_xs', 'q4_0', 'mxfp4', 'q3_k', 'q2_k'];
/** Bits an element. */
const cacheTypes = { f16: 16, bf16: 16, q8: 8.5, q4: 5 };
const windowTokens = 512;
const folder = mkdtempSync(join(tmpdir(), 'kexa-quality-'));

/** The text's ids in windows, each of which begins with no context. */
async function windowsOf(model) {
  const ids = await model.tokenizer.encodeAsync(readFileSync(join(root, textFile), 'utf8'));
  const windows = [];
  for (let at = 0; at < ids.length; at += windowTokens) windows.push(ids.slice(at, at + windowTokens));
  return windows;
}

async function logitsOf(model, windows) {
  const rows = [];
  for (const ids of windows) rows.push((await model.forward(ids)).logits);
  return rows;
}

/** Natural logarithms of a row's probabilities, and its likeliest token. */
function logProbabilities(logits, at, size) {
  const row = Float64Array.from(logits.subarray(at, at + size));
  let top = 0;
  for (let i = 1; i < size; i++) if (row[i] > row[top]) top = i;
  const most = row[top];
  let sum = 0;
  for (const logit of row) sum += Math.exp(logit - most);
  const shift = most + Math.log(sum);
  for (let i = 0; i < size; i++) row[i] -= shift;
  return { row, top };
}

/** Means over all rows: KL(model || quantised) in nats, and how often both choose the same token. */
function compare(wanted, found, windows, vocabSize) {
  const sums = { rows: 0, divergence: 0, squares: 0, agreed: 0, nats: 0, scored: 0 };
  for (const [w, ids] of windows.entries()) {
    for (let r = 0; r < ids.length; r++) {
      const p = logProbabilities(wanted[w], r * vocabSize, vocabSize);
      const q = logProbabilities(found[w], r * vocabSize, vocabSize);
      let divergence = 0;
      for (let i = 0; i < vocabSize; i++) divergence += Math.exp(p.row[i]) * (p.row[i] - q.row[i]);
      sums.rows++;
      sums.divergence += divergence;
      sums.squares += divergence ** 2;
      if (p.top === q.top) sums.agreed++;
      if (r + 1 < ids.length) {
        sums.nats -= q.row[ids[r + 1]];
        sums.scored++;
      }
    }
  }
  const mean = sums.divergence / sums.rows;
  const deviation = Math.sqrt(Math.max(0, sums.squares / sums.rows - mean ** 2) / sums.rows);
  return {
    divergence: mean,
    deviation,
    agreement: sums.agreed / sums.rows,
    perplexity: Math.exp(sums.nats / sums.scored),
  };
}

/** The tiny model in FP8; the router is left alone, as in the other types. */
async function writeFp8(name, strategy) {
  const to = join(folder, name);
  cpSync(tiny, to, { recursive: true, filter: (path) => !path.endsWith('.safetensors') });
  const stays = (module) => module.endsWith('mlp.gate');
  await writeFp8Model(to, readHfModel(tiny), { method: 'compressed-tensors', strategy, scales: 'BF16', stays });
  return to;
}

async function measureFp8(name, from, original, wanted, windows) {
  const { description } = await openModelFolder(from);
  const model = await loadModel(from, { device: 'cpu' });
  try {
    const matrices = description.tensors.filter(({ shape }) => shape.length > 1);
    const elements = matrices.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
    const bits = (8 * matrices.reduce((sum, entry) => sum + entry.bytes + storedScales(entry).bytes, 0)) / elements;
    return { name, bits, ...compare(wanted, await logitsOf(model, windows), windows, original.config.vocabSize) };
  } finally {
    await model.close();
  }
}

async function measure(name, recipe, original, wanted, windows, from = tiny) {
  const file = join(folder, `${name}.gguf`);
  const { tensors } = await quantizeModel(from, file, { recipe });
  const as = join(folder, name);
  await writeAsFolder(file, from, as);
  const model = await loadModel(as, { device: 'cpu' });
  try {
    const matrices = tensors.filter(({ shape }) => shape.length > 1);
    const elements = matrices.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
    const bits = (8 * matrices.reduce((sum, { bytes }) => sum + bytes, 0)) / elements;
    return { name, bits, ...compare(wanted, await logitsOf(model, windows), windows, original.config.vocabSize) };
  } finally {
    await model.close();
    rmSync(as, { recursive: true });
    rmSync(file);
  }
}

async function measureCache(cacheType, original, wanted, windows) {
  const model = await loadModel(tiny, { device: 'cpu', cacheType });
  try {
    const found = await logitsOf(model, windows);
    return {
      name: cacheType,
      bits: cacheTypes[cacheType],
      ...compare(wanted, found, windows, original.config.vocabSize),
    };
  } finally {
    await model.close();
  }
}

function tableOf(rows, first, of = 'weight') {
  const lines = [
    `| ${first} | bits ${of === 'weight' ? 'a' : 'an'} ${of} | KL, nats | top-1 | perplexity |`,
    '| --- | ---: | ---: | ---: | ---: |',
  ];
  for (const { name, bits, divergence, deviation, agreement, perplexity } of rows) {
    const kl = `${divergence.toFixed(5)} ± ${deviation.toFixed(5)}`;
    const cells = [name, bits.toFixed(2), kl, `${(100 * agreement).toFixed(1)}%`, perplexity.toFixed(2)];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}

function page({ tokens, perplexity, byType, byRecipe, byCache }) {
  return `# What quantised weights and caches cost

Made by \`node tools/quality.mjs\`; do not edit. The bundled tiny model against itself with its matrices quantised by
kexa, on ${tokens.toLocaleString('en-US')} tokens of [${textFile}](../${textFile}): plain English help, written for this
and in none of the model's training. The model itself, in bf16, has perplexity ${perplexity.toFixed(2)} there.

**KL** is the mean over all tokens of the divergence of the quantised model's distribution from the model's own, with
the error of that mean; **top-1** is how often both find the same token likeliest. The values come from the written
file by the format's definition, and are computed with in f32, so nothing but the weights differs. Bits count all
matrices, the f32 router included. **fp8** is E4M3 with a scale for each block of 128 x 128 weights or for each channel
(row), rounded to nearest, as publishers store it; \`from fp8\` is what \`kexa quantize\` makes of the former: the second
rounding adds to the first.

A model of 11.7M parameters with rows of 256 suffers more than a large one. Compare lines with each other, not with
other models. Its routed experts' down matrices have rows of 64, where the types with blocks of 256 do not fit: those
take one with blocks of 32, and the bits say so.

## Recipes

${tableOf(byRecipe, 'recipe')}

## Types, for every matrix

${tableOf(byType, 'type')}

## KV cache

The model's own weights, and keys and values stored otherwise (\`cacheType\`) than in f32. q8 and q4 are blocks of 32 along a
head: q8_0's, a scale and 32 bytes, and q4_1's, a scale, a minimum and 32 half-bytes. q4_0's blocks, without a minimum and half
a bit smaller, cost a quarter more KL (0.00700 against 0.00560). Texts here are 512 tokens at most: what a longer context adds was not measured.

${tableOf(byCache, 'cache', 'element')}
`;
}

const original = await loadModel(tiny, { device: 'cpu' });
try {
  const windows = await windowsOf(original);
  const wanted = await logitsOf(original, windows);
  const own = compare(wanted, wanted, windows, original.config.vocabSize);
  const told = (row) => {
    console.error(`${row.name.padEnd(16)} ${row.bits.toFixed(2)} bits  KL ${row.divergence.toFixed(5)}`);
    return row;
  };
  const run = async (name, recipe, from) => told(await measure(name, recipe, original, wanted, windows, from));
  const blocks = await writeFp8('blocks', 'block');
  const byRecipe = [];
  for (const [name, recipe] of Object.entries(recipes)) byRecipe.push(await run(name, recipe));
  for (const name of ['q8', 'q4']) byRecipe.push(await run(`${name} from fp8`, recipes[name], blocks));
  const byType = [];
  for (const type of types.sort((a, b) => bitsOf(b) - bitsOf(a)))
    byType.push(await run(type, { routed: type, rest: type, fileType: 1 }));
  for (const [name, from] of Object.entries({
    'fp8 (128 x 128)': blocks,
    'fp8 (channel)': await writeFp8('channels', 'channel'),
  }))
    byType.push(told(await measureFp8(name, from, original, wanted, windows)));
  byType.sort((a, b) => b.bits - a.bits);
  const byCache = [];
  for (const cacheType of Object.keys(cacheTypes)) {
    byCache.push(await measureCache(cacheType, original, wanted, windows));
    console.error(`${cacheType.padEnd(8)} cache     KL ${byCache.at(-1).divergence.toFixed(5)}`);
  }
  const tokens = windows.reduce((sum, ids) => sum + ids.length, 0);
  const figures = { tokens, perplexity: own.perplexity, byRecipe, byType, byCache };
  if (process.argv.includes('--json')) console.log(JSON.stringify(figures));
  else writeFileSync(join(root, 'docs/quality.md'), page(figures));
} finally {
  await original.close();
  rmSync(folder, { recursive: true });
}
