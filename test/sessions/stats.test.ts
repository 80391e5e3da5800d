/** `model.stats()`: what it counts is what was done, and it never waits for the model. */
import test from 'tape';
import type { Histogram, ModelStats } from '../../lib/index.js';
import { openModel, randomIds } from '../support/compare.js';
import { greedy, open } from '../support/session-turns.js';
import { until } from '../support/until.js';

function isSound({ bounds, counts, count, sum }: Histogram): boolean {
  const total = counts.reduce((a, b) => a + b, 0);
  const ascends = bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!);
  return counts.length === bounds.length + 1 && total === count && ascends && sum >= 0;
}

function isBalanced({ pages }: ModelStats): boolean {
  return pages.live + pages.kept + pages.free === pages.total;
}

test('a model that has done nothing has nothing to tell', async (t) => {
  const model = await open(t, 'edge', { contextSize: 256, cacheTokens: 640, slots: 3 });
  const stats = model.stats();
  t.deepEqual([stats.running, stats.waiting, stats.parked, stats.slots, stats.waitingTokens], [0, 0, 0, 3, 0]);
  // A sequence's last page may be partly empty, so there is at least the room that was asked for.
  t.ok(stats.pages.total * stats.pages.rows >= 640 && stats.pages.rows === 64, `${stats.pages.total} pages`);
  t.deepEqual([stats.pages.live, stats.pages.kept, stats.pages.free], [0, 0, stats.pages.total]);
  t.deepEqual(stats.tokens, { prompt: 0, computed: 0, generated: 0 });
  t.deepEqual([stats.layers, stats.parks, stats.isDeviceLost], [0, 0, false]);
});

test('tokens, steps, pages and hits are those of the answers', async (t) => {
  const model = await open(t, 'edge', { contextSize: 256, prefillChunk: 32 });
  const ids = randomIds(100, model.config.vocabSize, 1);
  const session = model.createSession();
  const first = await session.generate(ids, { ...greedy, maxTokens: 20 });
  const one = model.stats();
  t.deepEqual(one.tokens, { prompt: 100, computed: 100, generated: 20 });
  t.deepEqual(one.prefixCache, { queried: 100, hit: 0 });
  t.deepEqual([one.running, one.pages.live, one.pages.kept], [0, 0, 2], '119 rows lie in two pages');
  t.equal(one.steps.prompt.rows.sum, 100);
  t.deepEqual([one.steps.answer.rows.sum, one.steps.answer.rows.count], [19, 19], 'a row for each token but the first');
  t.equal(one.layers, (one.steps.prompt.rows.count + 19) * model.config.layers.length, 'every step runs every layer');
  const again = await session.generate([...ids, ...first.ids, 1, 2, 3], { ...greedy, maxTokens: 5 });
  const two = model.stats();
  t.equal(again.usage.cachedTokens, 119);
  t.deepEqual(two.tokens, { prompt: 223, computed: 104, generated: 25 }, 'cached tokens are not computed');
  t.deepEqual(two.prefixCache, { queried: 223, hit: 119 });
  for (const kind of ['answer', 'prompt'] as const)
    for (const [name, histogram] of Object.entries(two.steps[kind])) t.ok(isSound(histogram), `${kind}, ${name}`);
  t.ok(two.steps.answer.seconds.sum > 0 && two.steps.answer.sequences.sum === two.steps.answer.sequences.count);
  await session.close();
  // The engine frees them after close() has resolved.
  t.ok(await until(() => model.stats().pages.free === two.pages.total), 'a closed session gives its pages back');
  await model.forward(ids);
  t.ok(model.stats().layers > two.layers, 'layers of forward count too');
  t.deepEqual(model.stats().tokens, two.tokens, 'its tokens do not');
});

test('drafts are counted by their place', async (t) => {
  const model = await openModel(t, 'tiny', { device: 'cpu', threads: 1, contextSize: 256 });
  const ids = model.tokenizer.encode('In the beginning God created');
  const { speculation, usage } = await model.generate(ids, { ...greedy, maxTokens: 60, mtp: 3 });
  const { drafts, tokens } = model.stats();
  t.deepEqual([drafts.drafted, drafts.accepted], [speculation.drafted, speculation.accepted]);
  t.ok(drafts.accepted > 0, `${drafts.accepted} of ${drafts.drafted}`);
  t.deepEqual(drafts.byPosition.slice(0, speculation.byPosition.length), speculation.byPosition);
  t.equal(tokens.generated, usage.completionTokens);
});

test('running, waiting and parked answers are told while they are', async (t) => {
  const model = await open(t, 'edge', { contextSize: 1024, slots: 2 });
  const seen: ModelStats[] = [];
  const prompts = [1, 2, 3, 4, 5].map((seed) => randomIds(60, model.config.vocabSize, seed));
  const answers = prompts.map(async (ids) => {
    const generation = model.generate(ids, { ...greedy, maxTokens: 60 });
    for await (const _ of generation) seen.push(model.stats());
    return await generation;
  });
  const results = await Promise.all(answers);
  t.ok(
    seen.some(({ running, waiting, waitingTokens }) => running === 2 && waiting === 3 && waitingTokens === 180),
    'two run, three with 60 tokens each wait',
  );
  t.ok(seen.every(isBalanced), 'each page is live, kept or free');
  t.equal(Math.max(...seen.map(({ pages }) => pages.live)), 4, 'two that run have two pages each');
  const queued = results.map(({ timings }) => timings.queueMs);
  t.ok(queued[4]! > queued[0]! && results.every(({ timings }) => timings.queueMs <= timings.firstTokenMs), `${queued}`);
  const last = model.stats();
  t.deepEqual([last.running, last.waiting, last.waitingTokens, last.pages.live], [0, 0, 0, 0]);
  t.deepEqual([last.tokens.prompt, last.tokens.generated], [300, 300]);
});

test('a slow reader who makes room is counted as parked until it goes on', async (t) => {
  const model = await open(t, 'edge', { contextSize: 512, slots: 1 });
  const ids = randomIds(60, model.config.vocabSize, 1);
  const slow = model.generate(ids, { ...greedy, maxTokens: 200 });
  const pieces = slow[Symbol.asyncIterator]();
  await pieces.next();
  await model.generate(ids.slice(1), { ...greedy, maxTokens: 5 });
  const stats = model.stats();
  t.deepEqual([stats.running, stats.parked, stats.parks], [0, 1, 1]);
  await slow;
  const { parked, parks } = model.stats();
  t.deepEqual([parked, parks], [0, 1]);
});

test('they are read in the middle of a step, and after close', async (t) => {
  const model = await openModel(t, 'wide', { device: 'cpu', threads: 1, contextSize: 4096, prefillChunk: 2048 });
  const answer = model.generate(randomIds(2048, model.config.vocabSize, 1), { ...greedy, maxTokens: 2 });
  // The whole prompt is one step.
  const layers = new Set<number>();
  let longestMs = 0;
  const isOver = answer.then(() => true);
  while (!(await Promise.race([isOver, new Promise((resolve) => setTimeout(() => resolve(false), 1))]))) {
    const began = performance.now();
    const stats = model.stats();
    longestMs = Math.max(longestMs, performance.now() - began);
    if (stats.steps.prompt.rows.count === 0) layers.add(stats.layers);
  }
  t.ok(layers.size > 2, `the layers move within the step: ${[...layers]}`);
  const { seconds } = model.stats().steps.prompt;
  t.ok(longestMs < 250 * seconds.sum, `${longestMs} ms at most, in a step of ${1000 * seconds.sum} ms`);
  await model.close();
  const closed = model.stats();
  t.deepEqual([closed.tokens.generated, closed.running, closed.pages.free], [2, 0, closed.pages.total]);
});
