import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'tape';
import { readGenerationConfig } from '../../lib/files/generation-config.js';
import { openModelFolder, readConfigOnly } from '../../lib/files/model-folder.js';
import { modelFolder } from '../support/models.js';
import { type Config, moeConfig, moeTensors, newFolder, refuses, writeModel } from '../support/small-model.js';

test('a folder may be given as a file: URL, and no other', async (t) => {
  const folder = modelFolder('tiny');
  t.equal((await openModelFolder(pathToFileURL(folder))).folder, (await openModelFolder(folder)).folder);
  await refuses(t, 'KEXA_NOT_FOUND', ['https:', 'downloads nothing'], () =>
    openModelFolder(new URL('https://example.org/model')),
  );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['on this machine', 'file://elsewhere/model'], () =>
    openModelFolder(new URL('file://elsewhere/model')),
  );
});

test('all four model folders open', async (t) => {
  const tiny = await openModelFolder(modelFolder('tiny'));
  t.equal(tiny.config.modelType, 'exaone_moe');
  t.equal(tiny.config.generationDefaults.topP, 0.95);
  t.equal(tiny.description.files.length, 1);
  const wide = await openModelFolder(modelFolder('wide'));
  t.equal(wide.description.moe?.experts, 128);
  t.equal(wide.description.files.length, 3);
  const edge = await openModelFolder(modelFolder('edge'));
  t.deepEqual(
    edge.description.layers.map(({ window }) => window),
    [5, 5, 0, 5, 5, 0],
    'layer_types outrank a pattern',
  );
  t.deepEqual([edge.description.moe?.groups, edge.description.moe?.keptGroups], [3, 2]);
  const two = await openModelFolder(modelFolder('two'));
  t.deepEqual(
    two.description.layers.map(({ window }) => window),
    [0, 64, 6, 6, 6, 0, 6, 0],
  );
  t.deepEqual(
    two.description.layers.map(({ swigluLimit }) => swigluLimit),
    [0, 0, 0, 0, 0, 0, 1.5, 1.5],
  );
  t.deepEqual(two.description.mtp, { window: 6, rope: true, ffn: 'dense', ffnWidth: 256, swigluLimit: 0 });
});

test('generation_config.json gives the sampling defaults', async (t) => {
  const generation = (json: Config | null) => readGenerationConfig('generation_config.json', json, 10);
  t.deepEqual(generation(null), { sampling: {}, faults: {}, eosTokenIds: [] });
  t.deepEqual(
    generation({
      ...{ do_sample: true, temperature: 0.6, top_k: 20, top_p: 0.9, min_p: 0.05, repetition_penalty: 1.1 },
      ...{ presence_penalty: 1.5, frequency_penalty: -1, eos_token_id: [2, 3], num_beams: 1, top_h: null },
    }),
    {
      sampling: {
        ...{ temperature: 0.6, topK: 20, topP: 0.9, minP: 0.05, repeatPenalty: 1.1 },
        ...{ presencePenalty: 1.5, frequencyPenalty: -1 },
      },
      faults: {},
      eosTokenIds: [2, 3],
    },
  );
  t.deepEqual(generation({ do_sample: false, temperature: 1 }).sampling, { temperature: 0 });
  t.deepEqual(generation({ top_k: -1, top_p: 0 }).sampling, { topK: 0, topP: 1 }, 'off, as other engines have it');
  t.deepEqual(generation({ top_k: 0, top_p: 1, min_p: 0 }).sampling, { topK: 0, topP: 1, minP: 0 });
  const bad = (name: string, value: unknown) => {
    const { sampling, faults } = generation({ [name]: value });
    const [fault, ...more] = Object.values(faults);
    t.ok(fault?.includes(`${name}: wanted`) && fault.includes(JSON.stringify(value)), fault);
    t.ok(fault?.includes('in generation_config.json') && more.length === 0);
    t.deepEqual(sampling, {}, 'and it is no default');
  };
  bad('temperature', -1);
  bad('temperature', '1');
  bad('top_k', 1.5);
  bad('top_p', -0.5);
  bad('top_p', 1.1);
  bad('min_p', 2);
  bad('repetition_penalty', 0);
  bad('presence_penalty', 3);
  bad('frequency_penalty', -3);
  bad('do_sample', 'no');
  await refuses(t, 'KEXA_BAD_CONFIG', ['eos_token_id', '[11]', 'generation_config.json'], () =>
    generation({ eos_token_id: [11] }),
  );
});

test('ids that say "none" are none', async (t) => {
  for (const none of [-1, 2 ** 32 - 1, 2 ** 64, null]) {
    const folder = await newFolder(t);
    const config = moeConfig({
      bos_token_id: none,
      pad_token_id: none,
      eos_token_id: [2, none].filter((id) => id !== null),
    });
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    const read = (await readConfigOnly(folder)).config;
    t.deepEqual([read.bosTokenId, read.padTokenId, read.eosTokenIds], [null, null, [2]], String(none));
  }
  const folder = await newFolder(t);
  await writeFile(join(folder, 'config.json'), JSON.stringify(moeConfig({ pad_token_id: 10 })));
  t.equal((await readConfigOnly(folder)).config.padTokenId, null, 'a padding token that has no row is not used');
  await writeFile(join(folder, 'config.json'), JSON.stringify(moeConfig({ pad_token_id: '0' })));
  await refuses(t, 'KEXA_BAD_CONFIG', ['pad_token_id', '"0"'], () => readConfigOnly(folder));
  await writeFile(join(folder, 'config.json'), JSON.stringify(moeConfig({ eos_token_id: 10 })));
  await refuses(t, 'KEXA_BAD_CONFIG', ['eos_token_id', '10'], () => readConfigOnly(folder));
});

test('the ids that end an answer are those of both configs', async (t) => {
  const folder = await newFolder(t);
  await writeFile(join(folder, 'config.json'), JSON.stringify(moeConfig({ eos_token_id: [2, 4] })));
  await writeFile(join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id: [5, 4] }));
  t.deepEqual((await readConfigOnly(folder)).config.eosTokenIds, [2, 4, 5]);
  await writeFile(join(folder, 'generation_config.json'), '{');
  await refuses(t, 'KEXA_BAD_FILE', ['generation_config.json', 'JSON'], () => readConfigOnly(folder));
});

test('a path that is no model folder is refused', async (t) => {
  const folder = await newFolder(t);
  const refused = (code: string, path: unknown, ...words: string[]) =>
    refuses(t, code, words, () => openModelFolder(path as string));
  await refused('KEXA_NOT_FOUND', join(folder, 'nowhere'), 'nowhere', 'no such model folder');
  await refused('KEXA_NOT_FOUND', folder, 'config.json');
  await refused('KEXA_INVALID_ARGUMENT', undefined, 'path');
  await refused('KEXA_INVALID_ARGUMENT', '', 'path');
  await refused('KEXA_INVALID_ARGUMENT', 'a\0b', 'path');
  await writeFile(join(folder, 'model.gguf'), 'GGUF');
  await refused('KEXA_BAD_FILE', join(folder, 'model.gguf'), 'version: wanted 4 bytes at 4, the file ends at 4');
  await writeFile(join(folder, 'model.gguf'), 'version https://git-lfs.github.com/spec/v1\n');
  await refused('KEXA_BAD_FILE', folder, 'model.gguf', 'Git LFS pointer', 'git lfs pull');
  await rm(join(folder, 'model.gguf'));
  await writeFile(join(folder, 'config.json'), `{"a":"${'x'.repeat(5_000_000)}"}`);
  await refused('KEXA_BAD_FILE', folder, 'config.json', 'more than the 4194304');
  for (const text of ['', '{', '[]', 'null', '\xff', '{"a": NaN}']) {
    await writeFile(join(folder, 'config.json'), text, 'latin1');
    await refused('KEXA_BAD_FILE', folder, 'config.json');
  }
  await refused('KEXA_INVALID_ARGUMENT', join(folder, 'config.json'), 'config.json');
  await writeFile(join(folder, 'config.json'), JSON.stringify(moeConfig()));
  await writeFile(join(folder, 'pytorch_model.bin'), '');
  await refused(
    'KEXA_NOT_FOUND',
    folder,
    'model.safetensors',
    'model.safetensors.index.json',
    'pytorch_model.bin is there',
  );
});

test('what is given in place of a model is answered with what to give', async (t) => {
  const folder = await newFolder(t);
  const refused = (code: string, path: string, ...words: string[]) =>
    refuses(t, code, words, () => openModelFolder(path));
  for (const name of [
    'model.safetensors',
    'README.md',
    'tokenizer.json',
    'config.json',
    'model.safetensors.index.json',
  ]) {
    await writeFile(join(folder, name), '{}');
    await refused('KEXA_INVALID_ARGUMENT', join(folder, name), name, `give the model's folder, ${folder}`);
  }
  await writeFile(join(folder, 'weights'), 'GGMLxxxx');
  await refused('KEXA_INVALID_ARGUMENT', join(folder, 'weights'), 'does not begin as a GGUF file does');
  const download = 'kexa pull org/name';
  await refused('KEXA_NOT_FOUND', 'hf:org/none-of-this-name', 'is not in', 'kexa pull org/none-of-this-name');
  const places = ['org/name', 'https://huggingface.co/org/name', 'huggingface.co/org/name/tree/main'];
  for (const place of places) await refused('KEXA_NOT_FOUND', place, 'downloads nothing', download);
  await refused('KEXA_NOT_FOUND', 'https://example.org/model.gguf', 'downloads nothing');
  await refused('KEXA_NOT_FOUND', './org/name', 'no such model folder or GGUF file');

  const cache = join(folder, 'hub', 'models--org--name');
  await mkdir(join(cache, 'snapshots', 'abc'), { recursive: true });
  await refused('KEXA_NOT_FOUND', cache, join('models--org--name', 'snapshots'));
  await refused('KEXA_NOT_FOUND', join(folder, 'hub'), join('models--...', 'snapshots'));
  const adapter = await newFolder(t);
  await writeFile(join(adapter, 'adapter_config.json'), '{}');
  await refused('KEXA_NOT_FOUND', adapter, 'adapter (LoRA)', 'merge');
});

test('an end token is found wherever it is named', async (t) => {
  const endsOf = async (files: Record<string, unknown>, config: Config = {}) => {
    const folder = await writeModel(t, moeConfig({ eos_token_id: undefined, ...config }), moeTensors());
    for (const [name, json] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(json));
    const { config: read, notes } = await openModelFolder(folder);
    t.equal(
      notes.some(({ code }) => code === 'KEXA_NO_END_TOKEN'),
      read.eosTokenIds.length === 0,
      'told where there is none',
    );
    return read.eosTokenIds;
  };
  const tokenizer = (...names: string[]) => ({
    added_tokens: names.map((content, id) => ({ id, content, special: true })),
    model: { type: 'BPE', vocab: {}, merges: [] },
  });
  t.deepEqual(await endsOf({}), []);
  t.deepEqual(await endsOf({ 'tokenizer.json': tokenizer('a', '</s>') }), []);
  const named = { 'tokenizer.json': tokenizer('a', '</s>', '{"}') };
  t.deepEqual(await endsOf({ ...named, 'tokenizer_config.json': { eos_token: '</s>' } }), [1]);
  t.deepEqual(await endsOf({ ...named, 'tokenizer_config.json': { eos_token: { content: 'a' } } }), [0]);
  t.deepEqual(
    await endsOf({ ...named, 'tokenizer_config.json': { eos_token: '{"}' } }),
    [2],
    'with braces in its name',
  );
  t.deepEqual(await endsOf({ ...named, 'tokenizer_config.json': { eos_token: '</s>' } }, { eos_token_id: 5 }), [5, 1]);
  t.deepEqual(await endsOf({ 'tokenizer.json': tokenizer('a', 'b', '<|endofturn|>') }), [2], "the family's own");
  t.deepEqual(await endsOf({ 'tokenizer.json': tokenizer('[|endofturn|]') }), [0]);
  t.deepEqual(await endsOf({ 'tokenizer.json': tokenizer('[|endofturn|]') }, { eos_token_id: 5 }), [5]);
  const long = tokenizer(...Array.from({ length: 11 }, () => ''), '</s>');
  t.deepEqual(
    await endsOf({ 'tokenizer.json': long, 'tokenizer_config.json': { eos_token: '</s>' } }),
    [],
    'no row of it',
  );
});

test('what savers add to a config, and values that say "off", change nothing', async (t) => {
  const folder = await newFolder(t);
  const read = async (more: Config) => {
    await writeFile(join(folder, 'config.json'), `\ufeff${JSON.stringify(moeConfig(more))}`);
    return (await readConfigOnly(folder)).notes.map(({ message }) => message);
  };
  const savers = { unsloth_fixed: true, unsloth_version: '2025.7.1', model_name: 'x', use_sliding_window: true };
  t.deepEqual(await read({ ...savers, _attn_implementation_autoset: true, max_window_layers: 8 }), []);
  t.deepEqual(await read({ is_decoder: false, cross_attention: null }), []);
  const off = { new_bias: 0, layers_to_skip: [], prompt: '', blocks: {}, logit_scale: 1, residual_multiplier: 1 };
  t.equal((await read(off)).length, 6, 'each is told by inspect');
  t.match((await read({ new_bias: 0 }))[0]!, /new_bias 0: changes nothing/);
  for (const more of [{ new_bias: 1 }, { layers_to_skip: [3] }, { attention_multiplier: 1 }, { logit_scale: 0.5 }]) {
    await refuses(t, 'KEXA_UNSUPPORTED', [Object.keys(more)[0]!, 'config.json'], () => read(more));
  }
  await refuses(t, 'KEXA_UNSUPPORTED', ['MLX', 'group_size'], () =>
    read({ quantization: { group_size: 64, bits: 4 } }),
  );
});
