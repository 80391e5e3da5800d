/** Many requests on the software GPU at the same time: each is answered as it is alone, to the bit. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { crowdRequests, verifyCrowd } from '../../lib/model/crowd.js';
import { randomIds } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

for (const name of ['edge', 'two'] as const)
  test(`${name}: a crowd on the GPU is answered as each request alone`, async (t) => {
    const options = { device: 'swiftshader', contextSize: 256, cacheTokens: 512, slots: 5, prefillChunk: 64 };
    const model = await loadModel(modelFolder(name), options);
    t.teardown(() => model.close());
    const requests = crowdRequests({
      ...{ count: 24, seed: 2, contextSize: 160, maxTokens: 16, hasDrafts: true, hasText: false },
      vocabSize: model.config.vocabSize,
      sources: [1, 2, 3].map((seed) => randomIds(140, model.config.vocabSize, seed)),
    });
    const report = await verifyCrowd(model, requests);
    t.deepEqual(report.divergences, [], `${report.tokens} tokens, up to ${report.atOnce} at once`);
    t.ok(report.atOnce > 5, 'more than have a slot');
  });
