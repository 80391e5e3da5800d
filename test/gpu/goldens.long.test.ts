/** All goldens of the four models on a software GPU, and texts drawn by a seed. */
import test from 'tape';
import { loadModel, type Model } from '../../lib/index.js';
import { modelFolder } from '../support/goldens.js';
import { testGoldens } from '../support/gpu-goldens.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu = { device: 'swiftshader', gpuChecks: true };

testGoldens('edge', 'plain', [1, 2, 9, 40, 150], true);
testGoldens('two', 'subgroups', [1, 2, 9, 40, 150], true);
testGoldens('tiny', 'subgroups', [4, 7, 15, 24, 32], false);
testGoldens('wide', 'subgroups', [1, 2, 9, 160], false);

test('the same seed draws the same text on GPU and CPU', async (t) => {
  const texts: string[] = [];
  for (const options of [{ device: 'cpu' }, onGpu]) {
    const model: Model = await loadModel(modelFolder('tiny'), options);
    const result = await model.generate('In the beginning', {
      raw: true,
      seed: 11,
      maxTokens: 8,
      topP: 0.9,
      ignoreEos: true,
    });
    texts.push(result.text);
    await model.close();
  }
  t.equal(texts[1], texts[0]);
});

// With Dawn's validation on. Test gpu/mtp has many prompts, without it.
test('drafts change no answer on the GPU either', async (t) => {
  await using model = await loadModel(modelFolder('two'), onGpu);
  const ids = Array.from({ length: 20 }, (_, i) => (i * i * 31 + 7 * i + 5) % model.config.vocabSize);
  const options = { temperature: 0.8, seed: 3, maxTokens: 7, ignoreEos: true };
  const plain = await model.generate(ids, options);
  const drafted = await model.generate(ids, { ...options, mtp: 4 });
  t.deepEqual(drafted.ids, plain.ids);
});
