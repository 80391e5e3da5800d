/** The released model's real size: 153,600 tokens, and the whole 236B's layout. */
import { existsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { openModelFolder } from '../lib/files/model-folder.js';
import { summarize } from '../lib/generation.js';
import { planMemory } from '../lib/memory-plan.js';
import { planModel, quantizeModel } from '../lib/quantize/quantize-model.js';
import { type RecipeName, recipes, uniformRecipes } from '../lib/quantize/recipes.js';
import { kexa, temporaryFolder } from './support/cli.js';
import { openModel } from './support/compare.js';
import { loadGoldens } from './support/goldens.js';
import { bigVocabularyFolder, fullSizeFolder, realVocabulary } from './support/real-size.js';

const device = 'cpu';
const { prompts } = loadGoldens('tiny');

test('a vocabulary of 153,600 tokens is quantised by every recipe, and the file runs', async (t) => {
  const from = await bigVocabularyFolder();
  const folder = temporaryFolder(t);
  const original = await openModel(t, from, { device });
  const text = 'In the beginning God created the heaven and the earth. 안녕하세요';
  const ids = original.tokenizer.encode(text);
  const { ids: first, greedy } = prompts[0]!;
  for (const [name, recipe] of Object.entries({ ...recipes, f16: uniformRecipes.f16 })) {
    const { file, bytes } = await quantizeModel(from, join(folder, `${name}.gguf`), { recipe });
    t.equal(bytes, statSync(file).size, `${name}: ${bytes} bytes`);
    if (name !== 'q8' && name !== 'q2') continue;
    const model = await openModel(t, file, { device });
    t.equal(model.config.vocabSize, realVocabulary, 'tokens');
    t.deepEqual(model.tokenizer.encode(text), ids, 'the same ids for a text');
    const answer = await model.generate(first, { temperature: 0, maxTokens: 8 });
    if (name === 'q8') t.deepEqual(answer.ids, greedy.slice(0, 8), 'the greedy answer of its source');
    else t.equal(answer.ids.length, 8, answer.text);
    await model.close();
  }
});

test('kexa quantize with 153,600 tokens', async (t) => {
  const out = join(temporaryFolder(t), 'out.gguf');
  const made = await kexa(['quantize', await bigVocabularyFolder(), out, '--recipe', 'q4']);
  t.equal(made.code, 0, made.stderr);
  t.ok(existsSync(out), made.stdout);
});

test('the layout of the 236B, for every recipe', async (t) => {
  const model = await openModelFolder(await fullSizeFolder());
  t.equal(model.description.files.length, 96, 'shards');
  const folder = temporaryFolder(t);
  for (const name of Object.keys(recipes) as RecipeName[]) {
    const plan = await planModel(model, recipes[name]);
    // The file without its weights: a header, and a hole that long.
    const file = join(folder, `${name}.gguf`);
    writeFileSync(file, plan.header);
    truncateSync(file, plan.bytes);
    const { description, config } = await openModelFolder(file);
    const { files: _, tensors, ...shape } = description;
    const { files: __, tensors: sources, ...wanted } = model.description;
    t.deepEqual(shape, wanted, `${name}: ${(plan.bytes / 2 ** 30).toFixed(1)} GiB`);
    t.equal(tensors.length, sources.length, 'tensors');
    t.equal(config.parameters, model.config.parameters, 'parameters');
    const planned = planMemory(description, { contextSize: 1024 }).weights.total;
    const stored = plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
    t.equal(planned, stored, 'bytes of weights');
  }
});

test('an answer with as many steps as the context has tokens is summed up', (t) => {
  const steps = Array.from({ length: 262_144 }, (_, i) => ({ drafted: 3, accepted: i % 4 }));
  const { histogram, byPosition, accepted } = summarize(steps);
  t.deepEqual(histogram, [65_536, 65_536, 65_536, 65_536]);
  t.deepEqual(byPosition[2], { drafted: 262_144, accepted: 65_536 });
  t.equal(accepted, 65_536 * 6);
  t.deepEqual(summarize([]).histogram, []);
  t.end();
});
