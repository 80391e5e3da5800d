/** Many requests at the same time: each is answered as it is alone, to the bit, however they come, go and are parked. */
import test from 'tape';
import type { LoadOptions } from '../../lib/index.js';
import { crowdRequests, verifyCrowd } from '../../lib/model/crowd.js';
import { openModel, randomIds } from '../support/compare.js';
import { type GoldenName, goldenNames } from '../support/goldens.js';

/** A cache with room for two of six, so that most of them have to give up their room. */
const crowded: LoadOptions = {
  device: 'cpu',
  threads: 1,
  contextSize: 256,
  slots: 6,
  cacheTokens: 384,
  prefillChunk: 32,
};

async function crowd(t: test.Test, name: GoldenName, count: number, options: LoadOptions) {
  const model = await openModel(t, name, options);
  const { vocabSize } = model.config;
  const requests = crowdRequests({
    ...{ count, seed: 11, vocabSize, contextSize: 256, maxTokens: 60, hasDrafts: true, hasText: false },
    sources: [1, 2, 3].map((seed) => randomIds(150, vocabSize, seed)),
  });
  const report = await verifyCrowd(model, requests);
  t.deepEqual(report.divergences, [], `${name}: ${report.tokens} tokens, up to ${report.atOnce} at once`);
  return { model, requests };
}

for (const name of goldenNames)
  test(`${name}: a crowd is answered as each request alone`, async (t) => {
    await crowd(t, name, name === 'edge' ? 100 : 50, crowded);
  });

test('answers that are parked, or computed again for lack of memory, stay the same', async (t) => {
  for (const [parkBytes, way] of [
    [2 ** 30, 'in main memory'],
    [0, 'computed again'],
  ] as const) {
    const model = await openModel(t, 'edge', { ...crowded, parkBytes });
    const prompts = Array.from({ length: 8 }, (_, i) => randomIds(60 + i, model.config.vocabSize, i));
    const ask = (ids: number[]) =>
      model.generate(ids, { temperature: 0, ignoreEos: true, logprobs: 3, maxTokens: 150, mtp: false });
    // After many short answers, long ones are expected to be short, so too many of them start.
    for (let i = 0; i < 40; i++) await model.generate(prompts[i % 8]!, { maxTokens: 1 });
    const results = await Promise.all(prompts.map(ask));
    const parked = results.reduce((sum, { usage }) => sum + usage.parked, 0);
    t.ok(parked > 0, `${way}: ${parked} times`);
    t.ok(
      results.every(({ usage }) => usage.parked <= 3),
      'none more than three times',
    );
    for (const [i, ids] of prompts.entries()) {
      const alone = await ask(ids);
      t.deepEqual(results[i]!.logprobs, alone.logprobs, `${way}: answer ${i}`);
    }
  }
});

test('as many drafts are right in company as alone', async (t) => {
  const model = await openModel(t, 'tiny', { device: 'cpu', threads: 1, contextSize: 256, cacheTokens: 1024 });
  const prompts = [1, 2, 3, 4].map((seed) => randomIds(20 * seed, model.config.vocabSize, seed));
  const ask = (ids: number[]) => model.generate(ids, { temperature: 0, ignoreEos: true, maxTokens: 60, mtp: 3 });
  const together = await Promise.all(prompts.map(ask));
  for (const [i, { ids, speculation }] of together.entries()) {
    const alone = await ask(prompts[i]!);
    t.deepEqual(ids, alone.ids, `answer ${i}`);
    t.equal(speculation.accepted, alone.speculation.accepted, `${speculation.accepted} of ${speculation.drafted}`);
    t.ok(speculation.accepted > 0, 'some are');
  }
});

test('a higher priority goes first', async (t) => {
  const model = await openModel(t, 'edge', { ...crowded, slots: 1 });
  const order: string[] = [];
  const ask = async (name: string, priority: number) => {
    await model.generate(randomIds(40, model.config.vocabSize, 1), { maxTokens: 20, ignoreEos: true, priority });
    order.push(name);
  };
  await Promise.all([ask('first', 0), ask('low', -1), ask('middle', 0), ask('high', 5)]);
  t.equal(order.at(-1), 'low', order.join(', '));
  t.ok(order.indexOf('high') < order.indexOf('middle'), 'high before middle');
});
