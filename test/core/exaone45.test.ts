/** EXAONE 4.5, small and random: its text part runs, drafts change no answer, and what is left out is told. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { type KexaWarning, loadModel } from '../../lib/index.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';
import { isSame, randomIds } from '../support/compare.js';
import { makeRandomModel, sisterConfigs, type WriteOptions, writeRandomModel } from '../support/random-model.js';
import { newFolder } from '../support/small-model.js';

const form: WriteOptions = { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 };
const model = makeRandomModel(sisterConfigs.exaone45, 1);
const ids = randomIds(30, model.config.vocab_size, 2);

async function written(t: test.Test, options: Partial<WriteOptions> = {}): Promise<string> {
  const folder = await newFolder(t);
  writeRandomModel(folder, model, { ...form, ...options });
  return folder;
}

test('the part that sees is left out, which is told once on load and by inspect', async (t) => {
  const folder = await written(t);
  const told: KexaWarning[] = [];
  await using read = await loadModel(folder, { onWarning: (warning) => told.push(warning) });
  t.equal(told.length, 1);
  t.equal(told[0]!.code, 'KEXA_PASSED_OVER');
  t.match(
    told[0]!.message,
    /part that sees images is left out \(vision_config, 1 tensor such as model\.visual\.merger/,
  );
  t.equal(read.config.mtp?.window, 7);
  const { code, stdout, stderr } = await kexa(['inspect', folder]);
  t.equal(code, 0, stderr);
  t.match(stdout, /type +exaone4_5\n/);
  t.match(stdout, /MTP +1 layer, window 7, dense 96\n/);
  t.match(stdout, /notes +.*only the language model is run, the part that sees images is left out/);
});

test('the language model alone gives the same bits, and says nothing', async (t) => {
  const told: KexaWarning[] = [];
  await using whole = await loadModel(await written(t), { onWarning: () => {} });
  await using alone = await loadModel(await written(t, { isAlone: true, shards: 3 }), {
    onWarning: (warning) => told.push(warning),
  });
  t.deepEqual(told, []);
  const [a, b] = [await whole.forward(ids, { mtp: true }), await alone.forward(ids, { mtp: true })];
  t.ok(isSame(a.logits, b.logits) && isSame(a.mtpLogits, b.mtpLogits));
});

test('drafts past the window change no answer, and some are kept', async (t) => {
  await using read = await loadModel(await written(t), { onWarning: () => {} });
  let accepted = 0;
  for (const [seed, temperature] of [0, 0, 30, 30].entries()) {
    const options = { maxTokens: 24, temperature, seed };
    const prompt = ids.slice(0, 3 + 5 * seed);
    const plain = await read.generate(prompt, { ...options, mtp: false });
    for (const mtp of [1, 3, 8]) {
      const drafted = await read.generate(prompt, { ...options, mtp });
      t.deepEqual(drafted.ids, plain.ids, `temperature ${temperature}, ${mtp} drafts`);
      accepted += drafted.speculation.accepted;
    }
  }
  t.ok(accepted > 0, `${accepted} kept`);
});

test('a quantised file has the window of the MTP block, all texts, and nearly the same logits', async (t) => {
  const from = await newFolder(t);
  // EXAONE 4.5 has K-EXAONE's tokens, as the bundled model has.
  const { vocab_size } = JSON.parse(readFileSync(join(tiny, 'config.json'), 'utf8')) as { vocab_size: number };
  const random = makeRandomModel({ ...sisterConfigs.exaone45, vocab_size }, 1, 'F16');
  writeRandomModel(from, random, { ...form, dtype: 'F16' });
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'])
    cpSync(join(tiny, name), join(from, name));
  writeFileSync(join(from, 'generation_config.json'), JSON.stringify({ temperature: 0.6, top_p: 0.95 }));
  const file = join(temporaryFolder(t), 'model.gguf');
  const run = await kexa(['quantize', from, file, '--recipe', 'f16']);
  t.equal(run.code, 0, run.stderr);
  await using source = await loadModel(from, { onWarning: () => {} });
  await using read = await loadModel(file);
  t.deepEqual(read.config.mtp, source.config.mtp);
  t.equal(read.config.modelType, 'exaone4', 'GGUF has one architecture for both');
  t.deepEqual(read.config.generationDefaults, source.config.generationDefaults);
  t.equal(read.config.ropeFactors?.length, 8);
  const messages = [
    { role: 'system' as const, content: '안녕' },
    { role: 'user' as const, content: 'Insert 12 rows' },
  ];
  const prompt = source.tokenizer.applyChatTemplate(messages);
  t.equal(read.tokenizer.applyChatTemplate(messages), prompt);
  t.deepEqual(read.tokenizer.encode(prompt), source.tokenizer.encode(prompt));
  // The file has RoPE's scaling as factors rounded to f32.
  const [a, b] = [await read.forward(ids, { mtp: true }), await source.forward(ids, { mtp: true })];
  t.ok(Math.max(...a.logits.map((value, i) => Math.abs(value - b.logits[i]!))) < 1e-4);
  t.ok(Math.max(...a.mtpLogits!.map((value, i) => Math.abs(value - b.mtpLogits![i]!))) < 1e-4);
});
