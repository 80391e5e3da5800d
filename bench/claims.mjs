// Measures, as far as a CPU can, how much the model's design saves: the KV cache and the attention of hybrid layers,
// drafts, and tokens that span spaces. Writes markdown to stdout, and with --json FILE the figures.
//   node bench/claims.mjs [--json bench/results/MACHINE.claims.json] [--contexts 512,1024,2048] [--rounds 2]
// Times are of a model with random weights, small but in the released one's proportions of layers and windows, at two
// settings that take turns: as it is, and with every layer global. Ratios are what counts.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeRandomModelFolder } from '../tools/make-random-model.mjs';
import { root, setUp } from '../tools/setup.mjs';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    contexts: { type: 'string', default: '512,1024,2048' },
    rounds: { type: 'string', default: '2' },
    generated: { type: 'string', default: '8' },
  },
});
setUp({ forTests: false });
const { benchmark, readSuite } = await import('../dist/index.js');
const { planContexts } = await import('../dist/bench/memory.js');
const { readConfigOnly } = await import('../dist/files/model-folder.js');
const { median } = await import('../dist/bench/statistics.js');

const figures = {
  machine: `${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}`,
  date: new Date().toISOString().slice(0, 10),
  planned: await planned(),
  measured: await measured(),
  drafts: await drafts(),
  superwords: await superwords(),
};
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);

/** K-EXAONE 236B by its config: bytes of the KV cache, and operations of one token's attention. */
async function planned() {
  const { shape } = await readConfigOnly(join(root, 'models/K-EXAONE-236B-A23B'));
  const { heads, headDim, layers } = shape;
  const work = (context, window) => 4 * Math.min(context, window || context) * heads * headDim;
  const rows = planContexts(shape, { cacheType: 'f16' }).map(({ context, cache, globalCache }) => ({
    context,
    cacheBytes: cache,
    globalCacheBytes: globalCache,
    attention: layers.reduce((sum, { window }) => sum + work(context, window), 0),
    globalAttention: layers.reduce((sum) => sum + work(context, 0), 0),
  }));
  print(
    "K-EXAONE 236B, planned: KV cache in f16 with its MTP layer, rings of four sequences; operations of a token's attention.\n",
  );
  table(
    ['context', 'cache, GiB', 'all global', 'ratio', 'attention, GFLOP', 'all global', 'ratio'],
    rows.map((row) => [
      row.context.toLocaleString('en-US'),
      gib(row.cacheBytes),
      gib(row.globalCacheBytes),
      (row.globalCacheBytes / row.cacheBytes).toFixed(2),
      (row.attention / 1e9).toFixed(3),
      (row.globalAttention / 1e9).toFixed(3),
      (row.globalAttention / row.attention).toFixed(2),
    ]),
  );
  return rows;
}

/** A small model with random weights and the same with every layer global, in turns. */
async function measured() {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-claims-'));
  try {
    const size = { hidden: 128, layers: 4, experts: 8, 'top-k': 2, width: 64, heads: 8, 'kv-heads': 2, 'head-dim': 64 };
    const shape = { ...size, dense: 256, vocab: 512 };
    const folders = ['hybrid', 'global'].map((name) => join(folder, name));
    for (const path of folders) makeRandomModelFolder(path, shape);
    const path = join(folders[1], 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8'));
    config.layer_types = config.layer_types.map(() => 'full_attention');
    writeFileSync(path, JSON.stringify(config));

    const contexts = options.contexts.split(',').map(Number);
    const sweep = { contexts, generated: Number(options.generated), mtp: false };
    const found = [];
    for (let round = 0; round < Number(options.rounds); round++)
      for (const [i, model] of folders.entries())
        found.push({ i, rows: await benchmark(model, { sweeps: [sweep], repetitions: 1, rates: false }) });
    const rate = (i, at) => found.filter((one) => one.i === i).map(({ rows }) => rows[at].avg_ts);
    const ratio = (at) => median(rate(0, at).map((fast, round) => fast / rate(1, at)[round]));
    const rows = contexts.map((context, i) => ({
      context,
      kvBytes: found[0].rows[2 * i + 1].kv_bytes,
      globalKvBytes: found[1].rows[2 * i + 1].kv_bytes,
      prefill: median(rate(0, 2 * i)),
      globalPrefill: median(rate(1, 2 * i)),
      prefillRatio: ratio(2 * i),
      decode: median(rate(0, 2 * i + 1)),
      globalDecode: median(rate(1, 2 * i + 1)),
      decodeRatio: ratio(2 * i + 1),
    }));
    print('Measured: 4 layers (3 sliding of window 128, 1 global), 8 heads of 64; the newest part of the prompt and');
    print(`${options.generated} tokens after it, ${options.rounds} rounds in turns, medians.\n`);
    table(
      [
        'context',
        'keys and values, KiB',
        'all global',
        'ratio',
        'prefill, tok/s',
        'all global',
        'ratio',
        'decode, tok/s',
        'all global',
        'ratio',
      ],
      rows.map((row) => [
        row.context,
        (row.kvBytes / 1024).toFixed(0),
        (row.globalKvBytes / 1024).toFixed(0),
        (row.globalKvBytes / row.kvBytes).toFixed(2),
        row.prefill.toFixed(0),
        row.globalPrefill.toFixed(0),
        row.prefillRatio.toFixed(2),
        row.decode.toFixed(0),
        row.globalDecode.toFixed(0),
        row.decodeRatio.toFixed(2),
      ]),
    );
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The bundled model's drafts over two suites. */
async function drafts() {
  const suites = (await Promise.all(['chat', 'korean'].map(readSuite))).flat();
  const prompts = suites.map((prompt) => ({ ...prompt, maxTokens: 24 }));
  const settings = [false, 'auto', 1, 2];
  const results = await benchmark(join(root, 'models/tiny'), {
    ...{ prompts, mtp: settings, repetitions: Number(options.rounds), rates: false },
  });
  const rows = settings.slice(1).map((mtp) => {
    const own = results.filter((result) => result.mtp === mtp);
    const sum = (of) => own.reduce((total, result) => total + of(result), 0);
    const steps = sum((result) => result.num_spec_steps);
    const speedups = own.map(({ speedup }) => speedup).toSorted((a, b) => a - b);
    return {
      mtp,
      accepted:
        sum((result) => result.num_accepted_draft_tokens) /
        Math.max(
          1,
          sum((result) => result.num_draft_tokens),
        ),
      tokensAStep: steps === 0 ? null : 1 + sum((result) => result.num_accepted_draft_tokens) / steps,
      speedup: median(speedups),
      least: speedups[0],
      most: speedups.at(-1),
      sameAnswers: own.every(({ test, ids_hash }) => {
        const plain = results.find((result) => result.test === test.replace(` mtp ${mtp}`, ''));
        return plain.ids_hash === ids_hash;
      }),
    };
  });
  print(
    `Drafts of the bundled model over ${prompts.length} prompts (chat, korean), 24 tokens each, greedy; the ratio is of`,
  );
  print('tokens a second to the same prompt without drafts.\n');
  table(
    ['drafts a step', 'kept', 'tokens a step with drafts', 'ratio, median', 'least and most', 'same answers'],
    rows.map((row) => [
      row.mtp,
      `${(row.accepted * 100).toFixed(1)} %`,
      row.tokensAStep?.toFixed(2) ?? 'none made',
      row.speedup.toFixed(2),
      `${row.least.toFixed(2)} to ${row.most.toFixed(2)}`,
      row.sameAnswers ? 'yes' : 'NO',
    ]),
  );
  return rows;
}

/** The bundled tokenizer against itself without the merges that cross spaces. */
async function superwords() {
  const { Tokenizer } = await import('tokenizers');
  const text = readFileSync(join(root, 'models/tiny/tokenizer.json'), 'utf8');
  const json = JSON.parse(text);
  const { merges } = json.model;
  const pair = (merge) => (Array.isArray(merge) ? merge : merge.split(' '));
  // In byte-level BPE a space is written U+0120. One at the start of a token belongs to its word.
  const first = merges.filter((merge) => !pair(merge).join('').slice(1).includes('\u0120'));
  const stage = { ...json, model: { ...json.model, merges: first } };
  const [full, without] = [text, JSON.stringify(stage)].map((source) => Tokenizer.fromString(source));
  const count = async (tokenizer, from) =>
    (await tokenizer.encode(from, null, { addSpecialTokens: false })).getIds().length;
  const korean = (await readSuite('korean')).flatMap(({ prompt }) =>
    typeof prompt === 'string' ? prompt : prompt.map(({ content }) => content),
  );
  const samples = {
    'bench/texts/help.txt': readFileSync(join(root, 'bench/texts/help.txt'), 'utf8'),
    'the korean suite': korean.join('\n'),
  };
  const rows = [];
  for (const [name, sample] of Object.entries(samples)) {
    const [tokens, plain] = [await count(full, sample), await count(without, sample)];
    rows.push({ name, characters: sample.length, tokens, withoutSuperwords: plain, saved: 1 - tokens / plain });
  }
  print(
    `Superwords: ${merges.length - first.length} of the bundled tokenizer's ${merges.length} merges cross a space.\n`,
  );
  table(
    ['text', 'characters', 'tokens', 'without those merges', 'saved'],
    rows.map((row) => [
      row.name,
      row.characters,
      row.tokens,
      row.withoutSuperwords,
      `${(row.saved * 100).toFixed(1)} %`,
    ]),
  );
  return rows;
}

function gib(bytes) {
  return (bytes / 2 ** 30).toFixed(2);
}

function print(line = '') {
  console.log(line);
}

function table(header, rows) {
  print(`| ${header.join(' | ')} |`);
  print(`| ${header.map((_, i) => (i === 0 ? '---' : '---:')).join(' | ')} |`);
  for (const row of rows) print(`| ${row.join(' | ')} |`);
  print();
}
