/** Drafts change no answer on the GPU: some prompts of two models. Test gpu/mtp.long has a hundred of four. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { randomIds } from '../support/compare.js';
import { testDrafts, testDraftsWereKept } from '../support/gpu-drafts.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { newFolder } from '../support/small-model.js';

testDrafts('edge', { count: 13, first: 1, longest: 64 });
testDrafts('tiny', { count: 4, first: 1, longest: 64 });
testDraftsWereKept([1, 2, 3, 5, 8]);

test('drafts of EXAONE 4.5, whose block slides and rotates, change no answer past its window', async (t) => {
  const folder = await newFolder(t);
  const random = makeRandomModel({ ...sisterConfigs.exaone45, vocab_size: 64 }, 1);
  writeRandomModel(folder, random, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  await using model = await loadModel(folder, { device: 'swiftshader', onWarning: () => {} });
  // Random weights guess nothing; the noise of a hot answer decides, and drafts are kept.
  const options = { maxTokens: 14, temperature: 30, seed: 3 };
  const prompt = randomIds(9, 64, 4);
  const plain = await model.generate(prompt, { ...options, mtp: false });
  const drafted = await model.generate(prompt, { ...options, mtp: 2 });
  t.deepEqual(drafted.ids, plain.ids);
  t.ok(drafted.speculation.accepted > 0, `${drafted.speculation.accepted} of ${drafted.speculation.drafted} kept`);
});
