/** A thousand requests with each of two models, and ten thousand short ones that leave nothing behind. */
import test from 'tape';
import { openModel, randomIds } from '../support/compare.js';
import { greedy, smallModel } from '../support/kept-sessions.js';
import { allPagesFree, testUnrulyCrowd } from '../support/unruly-crowd.js';

testUnrulyCrowd('edge', 1000);
testUnrulyCrowd('tiny', 1000);

test('after ten thousand requests memory is what it was, and all pages are free', async (t) => {
  const model = await openModel(t, smallModel(t), {
    ...{ device: 'cpu', threads: 1, contextSize: 256, slots: 8, cacheTokens: 1024, prefixCacheBytes: 0 },
  });
  let left = 10_000;
  let early = 0;
  const work = async () => {
    while (left-- > 0) {
      const prompt = randomIds(1 + (left % 90), 200, left % 50);
      const generation = model.generate(prompt, { ...greedy, maxTokens: 1 + (left % 20), mtp: left % 4 });
      // Every fifth reader leaves before the end.
      if (left % 5 === 0) for await (const _ of generation) break;
      await generation;
      if (left === 5000) early = process.memoryUsage.rss();
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  const grown = process.memoryUsage.rss() - early;
  t.ok(early > 0 && grown < 32 * 2 ** 20, `${grown} bytes more after the second half`);
  const { running, waiting, parked } = model.stats();
  t.deepEqual([running, waiting, parked], [0, 0, 0]);
  t.ok(await allPagesFree(model), 'all pages are free');
});
