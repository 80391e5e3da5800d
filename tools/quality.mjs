// Measures what quantised weights and caches cost in quality, and writes docs/quality.md. For every type and recipe,
// `quantizeModel` writes the tiny model (in FP8 as a publisher would write it). The file's log-probability of each
// token of bench/texts/help.txt is compared with the model's own; so is the model's with every type of cache.
// `node tools/quality.mjs` takes a few minutes; `--json` prints the figures and writes nothing.
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';
import { root, setUp } from './setup.mjs';

setUp({ forTests: true });
register();
const { loadModel } = await import('../lib/index.ts');
const { quantizeModel } = await import('../lib/quantize/quantize-model.ts');
const { byRole, recipes } = await import('../lib/plan/recipes.ts');
const { storedScales } = await import('../lib/files/fp8.ts');
const { blockBytes, blockTypes } = await import('../lib/files/gguf/gguf-types.ts');
const { openModelFolder, readConfigOnly } = await import('../lib/files/model-folder.ts');
const { elementsOf, wantedTensors } = await import('../lib/files/wanted-tensors.ts');
const { kExaone } = await import('../lib/files/family/k-exaone.ts');
const { sourcesOf } = await import('../lib/files/family/tensor-sources.ts');
const { planMemory } = await import('../lib/plan/memory-plan.ts');
const { native } = await import('../lib/native.ts');
const { blockValues } = await import('../test/support/block-formats.ts');
const { writeFp8Model } = await import('../test/support/fp8-model.ts');
const { readHfModel } = await import('../test/support/goldens.ts');
const { writeSafetensors } = await import('../test/support/safetensors-writer.ts');

const tiny = join(root, 'models/tiny');
const textFile = 'bench/texts/help.txt';
/**
 * The types that kexa quantises to, and those that the CPU device multiplies by activations in 16 bits, if it is asked
 * to.
 */
const coreTypes = createRequire(import.meta.url)(join(root, 'build/Release/kexa_checks.node')).types();
const types = Object.keys(blockTypes).filter((name) => coreTypes.some((type) => type.name === name && type.isWritten));
/** The types of the routed experts' gate and up, and of their down, in two bits and a little more. */
const smallest = [
  ['iq2_xxs', 'iq2_xxs'],
  ['iq2_xxs', 'iq2_xs'],
  ['iq2_xxs', 'q2_k'],
  ['iq2_xs', 'iq2_xs'],
  ['q2_k', 'q2_k'],
  ['iq3_xxs', 'iq3_xxs'],
];
const roundedTypes = coreTypes.filter((type) => type.isRounded).map(({ name }) => name);
/** Bits an element. */
const cacheTypes = { f16: 16, bf16: 16, q8: 8.5, q4: 5 };
const windowTokens = 512;
/** The number of tokens that the test gpu/quantized.long scores again, as docs/quality.md says. */
const firstTokens = 128;
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

/**
 * Compares the scores of the model in `path` with the wanted ones. `bits` is the size of a weight, or of an element of
 * its cache.
 */
async function compareWith(path, name, bits, { windows, wanted, vocabSize }, options) {
  const model = await loadModel(path, { device: 'cpu', ...options });
  try {
    const scores = await model.score(windows[0].slice(0, firstTokens));
    const first = Math.exp(-scores.reduce((sum, score) => sum + score, 0) / scores.length);
    const figures = compare(wanted, await logitsOf(model, windows), windows, vocabSize);
    console.error(`${name.padEnd(24)} ${bits.toFixed(2)} bits  KL ${figures.divergence.toFixed(5)}`);
    return { name, bits, first, ...figures };
  } finally {
    await model.close();
  }
}

/** Bits a weight of all matrices, with the scales of those in FP8. */
function bitsAWeight(tensors) {
  const matrices = tensors.filter(({ shape }) => shape.length > 1);
  const elements = matrices.reduce((sum, { shape }) => sum + elementsOf(shape), 0);
  return (8 * matrices.reduce((sum, tensor) => sum + tensor.bytes + storedScales(tensor).bytes, 0)) / elements;
}

async function measure(name, recipe, text, from = tiny) {
  const file = join(folder, `${name}.gguf`);
  const { tensors } = await quantizeModel(from, file, { recipe });
  const row = await compareWith(file, name, bitsAWeight(tensors), text);
  rmSync(file);
  return row;
}

/** The model in one type, with activations in 16 bits against itself with activations in f32. */
async function measureActivations(type, { windows, vocabSize }) {
  const file = join(folder, 'activations.gguf');
  await quantizeModel(tiny, file, { recipe: byRole(type, type, 1) });
  const logits = {};
  for (const activations of ['f32', 'i16']) {
    const model = await loadModel(file, { device: 'cpu', activations });
    logits[activations] = await logitsOf(model, windows);
    await model.close();
  }
  rmSync(file);
  const own = compare(logits.f32, logits.f32, windows, vocabSize);
  return { name: type, own: own.perplexity, ...compare(logits.f32, logits.i16, windows, vocabSize) };
}

/** A folder for the tiny model in other weights: all of its files but those. */
function folderLikeTiny(name) {
  const to = join(folder, name);
  cpSync(tiny, to, { recursive: true, filter: (path) => !path.endsWith('.safetensors') });
  return to;
}

/** The tiny model in FP8; the router is left alone, as in the other types. */
async function writeFp8(strategy) {
  const to = folderLikeTiny(strategy);
  const stays = (module) => module.endsWith('mlp.gate');
  await writeFp8Model(to, readHfModel(tiny), { method: 'compressed-tensors', strategy, scales: 'BF16', stays });
  return to;
}

async function measureFp8(name, from, text) {
  const { description } = await openModelFolder(from);
  return compareWith(from, name, bitsAWeight(description.tensors), text);
}

/**
 * The same with the routed experts' matrices in blocks that go on over the ends of rows: four rows of 64 make a block
 * of 256. The bits are those of the routed experts.
 */
async function measureAcrossRows(types, text) {
  const { description } = await openModelFolder(tiny);
  const entries = new Map(description.tensors.map((entry) => [entry.name, entry]));
  const as = folderLikeTiny('across');
  const output = {};
  let elements = 0;
  let bytes = 0;
  for (const wanted of wantedTensors(description)) {
    const { name, part, shape } = wanted;
    const place = sourcesOf(kExaone.folder, wanted, description)[0].name;
    const { file, offset, bytes: size, type } = entries.get(name);
    const from = Buffer.alloc(size);
    const opened = openSync(description.files[file], 'r');
    readSync(opened, from, 0, size, offset);
    closeSync(opened);
    const dtype = type.toUpperCase();
    if (shape.length < 2 || name.endsWith('.router')) {
      output[place] = { dtype, shape, data: from };
      continue;
    }
    const toType = part === 'routed' ? types[Number(name.endsWith('.down'))] : 'q8_0';
    const to = new Uint8Array(blockBytes(toType, elementsOf(shape)));
    await native().quantize({ from, fromType: type, to, toType, first: 0, threads: availableParallelism() });
    if (part === 'routed') {
      elements += elementsOf(shape);
      bytes += to.length;
    }
    const values = Float32Array.from(blockValues(toType, to));
    output[place] = { dtype: 'F32', shape, data: Buffer.from(values.buffer) };
  }
  await writeSafetensors(join(as, 'model.safetensors'), output);
  const name = types[0] === types[1] ? types[0] : types.join(', ');
  const row = await compareWith(as, name, (8 * bytes) / elements, text);
  rmSync(as, { recursive: true });
  return row;
}

/** GiB that the 236B takes on a GPU with these types of routed experts and 262,144 tokens of cache in 16 bits. */
async function fullSize([input, down]) {
  const { shape } = await readConfigOnly(join(root, 'models/K-EXAONE-236B-A23B'));
  const options = { device: 'gpu', contextSize: 262144, cacheType: 'f16' };
  const { moe, layers, hiddenSize } = shape;
  const matrix =
    layers.filter(({ ffn }) => ffn === 'moe').reduce((sum, { ffnWidth }) => sum + ffnWidth, 0) *
    hiddenSize *
    moe.experts;
  const routed = (type) => blockBytes(type, matrix);
  const others = planMemory(shape, { ...options, weights: 'q2' }).total - 3 * routed('iq2_xxs');
  return (others + 2 * routed(input) + routed(down)) / 2 ** 30;
}

/** Heads of the columns that not every table has, and what is in them. */
const columns = {
  perplexity: ['perplexity', (row) => row.perplexity.toFixed(2)],
  first: [`of the first ${firstTokens}`, (row) => row.first.toFixed(2)],
  fullSize: ['236B, 262,144 tokens', (row) => `${row.fullSize.toFixed(1)} GiB`],
};

function tableOf(rows, name, bits, ...others) {
  const all = [
    [name, (row) => row.name],
    [bits, (row) => row.bits.toFixed(2)],
    ['KL, nats', (row) => `${row.divergence.toFixed(5)} ± ${row.deviation.toFixed(5)}`],
    ['top-1', (row) => `${(100 * row.agreement).toFixed(1)}%`],
    ...others,
  ];
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const heads = [line(all.map(([head]) => head)), line(all.map((_, i) => (i === 0 ? '---' : '---:')))];
  return [...heads, ...rows.map((row) => line(all.map(([, cell]) => cell(row))))].join('\n');
}

function activationsTable(rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const cells = ({ name, divergence, agreement, own, perplexity }) => [
    name,
    divergence.toExponential(1),
    `${(100 * agreement).toFixed(2)}%`,
    own.toFixed(3),
    perplexity.toFixed(3),
  ];
  const head = ['weights', 'KL, nats', 'top-1', 'perplexity, f32', 'i16'];
  return [
    line(head),
    line(head.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map((row) => line(cells(row))),
  ].join('\n');
}

const weightsTable = (rows, name) => tableOf(rows, name, 'bits a weight', columns.perplexity, columns.first);

function page({ tokens, perplexity, byType, byRecipe, bySmallest, byActivations, byCache }) {
  return `# What quantised weights and caches cost

Made by \`node tools/quality.mjs\`; do not edit. The bundled tiny model against itself with its matrices quantised by
kexa, on ${tokens.toLocaleString('en-US')} tokens of [${textFile}](../${textFile}): plain English help, written for this
and in none of the model's training. The model itself, in bf16, has perplexity ${perplexity.toFixed(2)} there.

**KL** is the mean over all tokens of the divergence of the quantised model's distribution from the model's own, with
the error of that mean; **top-1** is how often both find the same token likeliest; **first ${firstTokens}** is the
perplexity of so many tokens alone, which test \`gpu/quantized.long\` scores again for each of GGUF's types. Products are of the file's
values in f32, so nothing but the weights differs. Bits count all matrices, the f32 router included.

**fp8** is E4M3 with a scale for each block of 128 x 128 weights or for each channel (row), rounded to nearest, as
publishers store it; \`from fp8\` is what \`kexa quantize\` makes of the former: the second rounding adds to the first.

A model of 11.7M parameters with rows of 256 suffers more than a large one. Compare lines with each other, not with
other models. Its routed experts' down matrices have rows of 64, where the types with blocks of 256 do not fit: those
take one with blocks of 32, as the bits say, and the figures are better than the type's own.

## Recipes

${weightsTable(byRecipe, 'recipe')}

## Types, for every matrix

${weightsTable(byType, 'type')}

## The smallest routed experts

All else is q8_0. So that the types are judged and not what stands in for them, blocks here go on over the ends of rows:
four rows of a down matrix share one of 256. Bits are those of the routed experts. The last column is the plan of
K-EXAONE 236B on a GPU with all of its context cached in 16 bits, of which 13.1 GiB is the cache: a card of 80 GB, which
has 79 GiB to give, holds iq2_xxs alone, and that is the recipe q2.

${tableOf(bySmallest, 'gate and up, down', 'bits', columns.fullSize)}

## Activations

\`activations: 'i16'\` on the CPU device: each 256 activations of a row become integers of 16 bits with one scale, and a
block's products are summed exactly. Here a model in one type is held against itself with activations in f32, so this
comes on top of what the type costs above. Types that are not in this table are multiplied by f32 all the same.

${activationsTable(byActivations)}

## KV cache

The model's own weights, and keys and values stored otherwise (\`cacheType\`) than in f32. q8 and q4 are blocks of 32
along a head: q8_0's, a scale and 32 bytes, and q4_1's, a scale, a minimum and 32 half-bytes. When q4_0's, without a
minimum and half a bit smaller, were tried for q4, they cost a quarter more KL, 0.00700 against 0.00560; the tool does
not measure that again. Texts here are ${windowTokens} tokens at most: what a longer context adds was not measured.

${tableOf(byCache, 'cache', 'bits an element', columns.perplexity)}
`;
}

const original = await loadModel(tiny, { device: 'cpu' });
try {
  const windows = await windowsOf(original);
  const wanted = await logitsOf(original, windows);
  const own = compare(wanted, wanted, windows, original.config.vocabSize);
  const text = { windows, wanted, vocabSize: original.config.vocabSize };
  const blocks = await writeFp8('block');
  const byRecipe = [];
  for (const [name, recipe] of Object.entries(recipes)) byRecipe.push(await measure(name, recipe, text));
  for (const name of ['q8', 'q4']) byRecipe.push(await measure(`${name} from fp8`, recipes[name], text, blocks));
  const bySmallest = [];
  for (const pair of smallest)
    bySmallest.push({ ...(await measureAcrossRows(pair, text)), fullSize: await fullSize(pair) });
  const byType = [
    await measureFp8('fp8 (128 x 128)', blocks, text),
    await measureFp8('fp8 (channel)', await writeFp8('channel'), text),
  ];
  for (const type of types) byType.push(await measure(type, byRole(type, type, 1), text));
  byType.sort((a, b) => b.bits - a.bits);
  const byActivations = [];
  for (const type of roundedTypes) byActivations.push(await measureActivations(type, text));
  const byCache = [];
  for (const [cacheType, bits] of Object.entries(cacheTypes))
    byCache.push(await compareWith(tiny, cacheType, bits, text, { cacheType }));
  const tokens = windows.reduce((sum, ids) => sum + ids.length, 0);
  const figures = { tokens, perplexity: own.perplexity, byRecipe, byType, bySmallest, byActivations, byCache };
  if (process.argv.includes('--json')) console.log(JSON.stringify(figures));
  else writeFileSync(join(root, 'docs/quality.md'), page(figures));
} finally {
  await original.close();
  rmSync(folder, { recursive: true });
}
