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
  t.deepEqual(generation(null), { sampling: {}, eosTokenIds: [] });
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
      eosTokenIds: [2, 3],
    },
  );
  t.deepEqual(generation({ do_sample: false, temperature: 1 }).sampling, { temperature: 0 });
  const bad = (name: string, value: unknown) =>
    refuses(t, 'KEXA_BAD_CONFIG', [name, JSON.stringify(value), 'generation_config.json'], () =>
      generation({ [name]: value }),
    );
  await bad('temperature', -1);
  await bad('temperature', '1');
  await bad('top_k', 1.5);
  await bad('top_k', -1);
  await bad('top_p', 0);
  await bad('top_p', 1.1);
  await bad('min_p', 2);
  await bad('repetition_penalty', 0);
  await bad('presence_penalty', 3);
  await bad('frequency_penalty', -3);
  await bad('do_sample', 'no');
  await bad('eos_token_id', [11]);
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
