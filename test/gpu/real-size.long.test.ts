/** Choosing among 153,600 tokens on a software GPU: the CPU device's tokens, and ties to the lowest id. */
import test from 'tape';
import { type GenerateOptions, loadModel } from '../../lib/index.js';
import { loadGoldens } from '../support/goldens.js';
import { bigVocabularyGguf, realVocabulary } from '../support/real-size.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

const settings: GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 1, topP: 0.95, seed: 1 },
  { temperature: 1.5, topK: 3000, topP: 0.5, minP: 0.001, seed: 3 },
  {
    temperature: 1,
    repeatPenalty: 1.2,
    logitBias: { 12: Number.NEGATIVE_INFINITY, 150000: 3 },
    seed: 5,
  },
];

test('the GPU chooses among 153,600 tokens what the CPU chooses', async (t) => {
  const file = await bigVocabularyGguf();
  const cpu = await loadModel(file, { device: 'cpu', contextSize: 256 });
  const gpu = await loadModel(file, { device: 'swiftshader', contextSize: 256, prefillChunk: 16 });
  const { ids, greedy } = loadGoldens('tiny').prompts[0]!;
  for (const [i, setting] of settings.entries()) {
    const options = { ...setting, maxTokens: 3, ignoreEos: true };
    const wanted = await cpu.generate(ids, options);
    const found = await gpu.generate(ids, { ...options, mtp: i % 2 === 0 ? false : 2 });
    t.deepEqual(found.ids, wanted.ids, `${JSON.stringify(setting)}`);
    // The first copy of each token has its logits to the bit, under an id that is 4,096 higher.
    if (i === 0) t.deepEqual(found.ids, greedy.slice(0, 3), 'of two equal logits the lower id is taken');
  }
  // A bias this large swallows the logits, so the three are equal, and the lowest ids of them are within top-k.
  const logitBias = { 300: 1e9, 70000: 1e9, 140000: 1e9 };
  for (const topK of [1, 2]) {
    const tied = { temperature: 1, topK, seed: 2, maxTokens: 3, ignoreEos: true, logitBias };
    const wanted = (await cpu.generate(ids, tied)).ids;
    t.deepEqual((await gpu.generate(ids, tied)).ids, wanted, `ties at the edge of top-${topK}: ${wanted}`);
  }
  const only = realVocabulary - 1;
  const last = await gpu.generate(ids, { temperature: 1, maxTokens: 2, logitBias: { [only]: 1e9 } });
  t.deepEqual(last.ids, [only, only], 'the last token can be chosen');
  await gpu.close();
  await cpu.close();
});
