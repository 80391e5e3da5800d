import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'tape';
import { readGenerationConfig } from '../lib/files/generation-config.js';
import { openModelFolder, readConfigOnly } from '../lib/files/model-folder.js';
import { modelFolder } from './support/models.js';
import { type Config, moeConfig, newFolder, refuses } from './support/small-model.js';

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
  for (const text of ['', '{', '[]', 'null', '\xff', '{"a": NaN}']) {
    await writeFile(join(folder, 'config.json'), text, 'latin1');
    await refused('KEXA_BAD_FILE', folder, 'config.json');
  }
  await refused('KEXA_INVALID_ARGUMENT', join(folder, 'config.json'), 'config.json');
  await writeFile(join(folder, 'config.json'), JSON.stringify(moeConfig()));
  await refused('KEXA_NOT_FOUND', folder, 'model.safetensors', 'model.safetensors.index.json', 'model.gguf');
});
