// Proves that another engine reads what `kexa quantize` writes: a small random model of each family, or the folders
// given, is quantised by several recipes, and node-llama-cpp and kexa compute the same file on the CPU.
//   node --import tsx bench/other-reader.mjs [--recipes f16,q8,q4_k] [FOLDER...]
// Prints a line for each file: top-1 is the share of positions at which both find the same token likeliest, and the
// margin is the largest, where they differ, by which kexa's likeliest leads (logits). A greedy text goes on to its
// first difference. llama.cpp rounds activations to 8 bits beside quantised weights and keeps its cache in f16, so
// small margins flip.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../test/support/random-model.ts';
import { setUp } from '../tools/setup.mjs';

const { values: options, positionals } = parseArgs({
  options: { recipes: { type: 'string', default: 'f16,q8,q4_k' }, rows: { type: 'string', default: '120' } },
  allowPositionals: true,
});
setUp({ forTests: false });
const { loadModel } = await import('../dist/index.js');
const { quantizeModel } = await import('../dist/quantize/quantize-model.js');
const { recipes, uniformRecipes } = await import('../dist/plan/recipes.js');
const { findPeer } = await import('../dist/bench/against/peer.js');

const vocabSize = 320;
const greedyTokens = 24;
const peer = findPeer('node-llama-cpp');
const { getLlama } = await import(peer.entry);
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: 2 });
const folder = mkdtempSync(join(tmpdir(), 'kexa-reader-'));
process.on('exit', () => rmSync(folder, { recursive: true }));

console.log(`node-llama-cpp ${peer.version}\n`);
console.log('| model | recipe | top-1 equal | margin where not | greedy tokens equal | margin there |');
console.log('| --- | --- | ---: | ---: | ---: | ---: |');
for (const model of positionals.length > 0 ? positionals.map(copied) : randomModels())
  for (const recipe of options.recipes.split(',')) {
    const file = join(folder, `${basename(model)}-${recipe}.gguf`);
    await quantizeModel(model, file, { recipe: { ...recipes, ...uniformRecipes }[recipe] });
    console.log(`| ${[basename(model), recipe, ...(await compared(file))].join(' | ')} |`);
  }
await llama.dispose();

/** Both engines on one file. */
async function compared(file) {
  const own = await loadModel(file, { threads: 2, cacheType: 'f16', contextSize: 512, onWarning() {} });
  const other = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await other.createContext({ contextSize: 512, threads: 2, flashAttention: false });
  const sequence = context.getSequence();
  const ids = Array.from({ length: Number(options.rows) }, (_, i) => (i * i * 7 + 13 * i + 5) % own.config.vocabSize);
  const wanted = { generateNext: { token: true, options: { temperature: 0 } } };
  const next = await sequence.controlledEvaluate(ids.map((id) => [id, wanted]));
  const { logits } = await own.forward(ids, { logits: 'all' });
  const rows = ids.map((_, row) => logits.subarray(row * own.config.vocabSize, (row + 1) * own.config.vocabSize));
  const margins = rows.flatMap((row, i) => (topOf(row) === next[i].next.token ? [] : [marginOf(row)]));

  const prompt = ids.slice(0, 16);
  await sequence.clearHistory();
  const theirs = [];
  for await (const id of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    theirs.push(id);
    if (theirs.length === greedyTokens) break;
  }
  let equal = 0;
  let margin = '';
  for (const id of theirs) {
    const { logits: last } = await own.forward([...prompt, ...theirs.slice(0, equal)], { logits: 'last' });
    if (topOf(last) !== id) {
      margin = marginOf(last).toFixed(3);
      break;
    }
    equal++;
  }
  await context.dispose();
  await other.dispose();
  await own.close();
  return [
    `${ids.length - margins.length} of ${ids.length}`,
    margins.length === 0 ? '' : Math.max(...margins).toFixed(3),
    `${equal} of ${theirs.length}`,
    margin,
  ];
}

function topOf(row) {
  return row.indexOf(Math.max(...row));
}

/** By how much the likeliest token leads. */
function marginOf(row) {
  const [first, second] = [...row].sort((a, b) => b - a);
  return first - second;
}

/**
 * A model of each architecture, of sizes that llama.cpp reads as kexa does: it knows sliding windows of `exaone4` in
 * models of 64 layers alone, and K-EXAONE's in any.
 */
function randomModels() {
  const wide = { vocab_size: vocabSize, hidden_size: 128, intermediate_size: 256, max_position_embeddings: 4096 };
  const heads = { num_attention_heads: 4, num_key_value_heads: 2, head_dim: 32 };
  const layers = Array.from({ length: 64 }, (_, i) => (i % 4 === 3 ? 'full_attention' : 'sliding_attention'));
  const deep = { num_hidden_layers: 64, layer_types: layers, sliding_window: 4096, sliding_window_pattern: 'LLLG' };
  return Object.entries({
    exaone3: sisterConfigs.exaone3,
    exaone4Small: sisterConfigs.exaone4Small,
    exaone4Large: { ...sisterConfigs.exaone4Large, ...deep },
    exaone45: { ...sisterConfigs.exaone45, ...deep },
    kExaone: { ...sisterConfigs.kExaone, num_hidden_layers: 4, moe_intermediate_size: 64 },
  }).map(([name, config]) => {
    const to = join(folder, name);
    const random = makeRandomModel({ ...config, ...wide, ...heads }, 1, 'F16');
    writeRandomModel(to, random, { dtype: 'F16', experts: 'separate', biasUnderGate: false, shards: 1 });
    return withTokenizer(to);
  });
}

/** A copy of a folder, with a tokenizer if it has none: llama.cpp opens no model without one. */
function copied(from) {
  const to = join(folder, basename(from));
  cpSync(from, to, { recursive: true });
  return withTokenizer(to);
}

/** Adds a byte-level tokenizer of as many tokens as the model has. */
function withTokenizer(to) {
  mkdirSync(to, { recursive: true });
  const file = join(to, 'tokenizer.json');
  if (existsSync(file)) return to;
  const config = JSON.parse(readFileSync(join(to, 'config.json'), 'utf8'));
  const size = config.vocab_size ?? config.text_config.vocab_size;
  const vocab = Object.fromEntries([...byteNames(), 'ab'].map((name, id) => [name, id]));
  const added = Array.from({ length: size - 257 }, (_, i) => ({
    ...{ id: 257 + i, content: `<|${i}|>`, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  }));
  const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = {
    ...{ version: '1.0', truncation: null, padding: null, added_tokens: added, normalizer: { type: 'NFC' } },
    ...{ pre_tokenizer: level, post_processor: null, decoder: level },
    model: { type: 'BPE', vocab, merges: ['a b'] },
  };
  writeFileSync(file, JSON.stringify(tokenizer));
  return to;
}

/** The characters that stand for the 256 bytes in byte-level vocabularies. */
function byteNames() {
  const isPlain = (byte) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  let moved = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPlain(byte) ? byte : moved++));
}
