/** Requests that come together with readers that pause or leave, forks, and calls for several answers. */
import test from 'tape';
import type { GenerationResult, Model } from '../../lib/index.js';
import { type CrowdRequest, compareOutcome, crowdRequests } from '../../lib/model/crowd.js';
import { openModel, randomIds, randomNumbers } from './compare.js';
import type { GoldenName } from './goldens.js';
import { until } from './until.js';

const ways = ['whole', 'leaves', 'pauses', 'several', 'fork'] as const;
type Way = (typeof ways)[number];
const mostAtOnce = 24;

/** Waits until all pages of the cache are free, at most for ten seconds. */
export function allPagesFree(model: Model): Promise<boolean> {
  return until(() => model.stats().pages.free === model.stats().pages.total, 10);
}

/**
 * A test of `count` random requests. All share a cache that is too small for them, so that many are parked. Each answer
 * is compared with the same request alone, to the bit.
 */
export function testUnrulyCrowd(name: GoldenName, count: number): void {
  test(`${name}: ${count} requests whose readers pause and leave, forks and several answers`, async (t) => {
    const model = await openModel(t, name, {
      ...{ device: 'cpu', threads: 1, contextSize: 256, slots: 6, cacheTokens: 384, prefillChunk: 32 },
      prefixCacheBytes: 0,
    });
    const { vocabSize } = model.config;
    const requests = crowdRequests({
      ...{ count, seed: 21, vocabSize, contextSize: 256, maxTokens: 50, hasDrafts: true, hasText: name === 'tiny' },
      sources: [1, 2, 3].map((seed) => randomIds(150, vocabSize, seed)),
    });
    const random = randomNumbers(31);
    const chosen = requests.map((): Way => ways[Math.floor(random() * ways.length)]!);
    const outcomes = await answerAll(model, requests, chosen);
    const { parks, steps } = model.stats();
    t.ok(parks >= count / 40, `${parks} times a sequence was parked`);
    const shared = steps.answer.sequences.count - steps.answer.sequences.counts[0]!;
    t.ok(shared > count, `${shared} steps of several answers`);
    t.ok(await allPagesFree(model), 'all pages are free at the end');
    let wrong = 0;
    for (const [i, { prompt, options }] of requests.entries())
      for (const [choice, found] of outcomes[i]!.entries()) {
        const seed = options.seed! + choice;
        const alone = await model.generate(prompt, { ...options, seed, mtp: false });
        const difference = compareOutcome(alone, found, chosen[i] === 'leaves');
        if (difference !== null && ++wrong < 5)
          t.deepEqual(difference, null, `request ${i}, ${chosen[i]}, answer ${choice}`);
      }
    t.equal(wrong, 0, 'every answer is the one that its request gets alone');
  });
}

async function answerAll(model: Model, requests: readonly CrowdRequest[], chosen: readonly Way[]) {
  const outcomes: GenerationResult[][] = [];
  let next = 0;
  let ended = 0;
  let paused = 0;
  // A reader goes on when three others have ended, or when all others wait as well.
  const pause = async () => {
    const from = ended;
    paused++;
    while (ended < from + 3 && next < requests.length && paused < mostAtOnce / 2)
      await new Promise((resolve) => setTimeout(resolve, 2));
    paused--;
  };
  const work = async () => {
    while (next < requests.length) {
      const i = next++;
      outcomes[i] = await answer(model, requests[i]!, chosen[i]!, pause);
      ended++;
    }
  };
  await Promise.all(Array.from({ length: mostAtOnce }, work));
  return outcomes;
}

async function answer(model: Model, { prompt, options }: CrowdRequest, way: Way, pause: () => Promise<void>) {
  if (way === 'several') return (await model.generate(prompt, { ...options, n: 3 })).choices!;
  if (way === 'fork') {
    const session = model.createSession();
    await session.prefill(prompt);
    const fork = await session.fork();
    await session.close();
    const result = await fork.generate(prompt, options);
    await fork.close();
    return [result];
  }
  const generation = model.generate(prompt, options);
  let read = 0;
  if (way !== 'whole')
    for await (const { ids } of generation) {
      read += ids.length;
      if (way === 'leaves' && read > options.maxTokens! / 2) break;
      if (way === 'pauses' && read <= 4) await pause();
    }
  return [await generation];
}
