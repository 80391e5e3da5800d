/** Compares answers of a crowd on the software GPU with those of each request alone. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { crowdRequests, verifyCrowd } from '../../lib/model/crowd.js';
import { randomIds } from './compare.js';
import { type GoldenName, modelFolder } from './goldens.js';
import { useSoftwareGpu } from './software-gpu.js';

/** A test of `count` requests that come and go on five slots of a golden model. */
export function testGpuCrowd(name: GoldenName, count: number): void {
  useSoftwareGpu();
  test(`${name}: a crowd of ${count} on the GPU is answered as each request alone`, async (t) => {
    const options = { device: 'swiftshader', contextSize: 256, cacheTokens: 512, slots: 5, prefillChunk: 64 };
    const model = await loadModel(modelFolder(name), options);
    t.teardown(() => model.close());
    const requests = crowdRequests({
      ...{ count, seed: 2, contextSize: 160, maxTokens: 16, hasDrafts: true, hasText: false },
      vocabSize: model.config.vocabSize,
      sources: [1, 2, 3].map((seed) => randomIds(140, model.config.vocabSize, seed)),
    });
    const report = await verifyCrowd(model, requests);
    t.deepEqual(report.divergences, [], `${report.tokens} tokens, up to ${report.atOnce} at once`);
    t.ok(report.atOnce > 5, 'more than have a slot');
  });
}
