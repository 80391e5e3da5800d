/** Prompts that many requests share are computed once: those that come together, and those of one call with `n`. */
import test from 'tape';
import type { GenerateOptions, GenerationResult, Model } from '../../lib/index.js';
import { openModel, randomIds } from '../support/compare.js';
import { greedy, open, smallModel } from '../support/kept-sessions.js';
import { refuses } from '../support/small-model.js';
import { until } from '../support/until.js';

const mib = 2 ** 20;

/** All of an answer that does not depend on when and beside whom it was made. */
function said({ ids, text, logprobs, finishReason, seed }: GenerationResult) {
  return { ids, text, logprobs, finishReason, seed };
}

async function computedBy(model: Model, work: () => Promise<unknown>): Promise<number> {
  const before = model.stats().tokens.computed;
  await work();
  return model.stats().tokens.computed - before;
}

test('requests that come together with one long beginning compute it once, to the bit', async (t) => {
  const folder = smallModel(t);
  const options = { contextSize: 4096, slots: 8, cacheTokens: 16384, prefixCacheBytes: 4 * mib, prefillChunk: 64 };
  const fresh = await open(t, folder, { contextSize: 4096 });
  const system = randomIds(1000, 200, 1);
  const prompts = Array.from({ length: 8 }, (_, i) => [...system, i + 1, ...randomIds(19, 200, 10 + i)]);
  for (const mtp of [false, 3] as const) {
    const model = await open(t, folder, options);
    let results: GenerationResult[] = [];
    const computed = await computedBy(model, async () => {
      results = await Promise.all(prompts.map((ids) => model.generate(ids, { ...greedy, mtp, maxTokens: 8 })));
    });
    // Where drafts must go on, the MTP block's last row before the parting is made again.
    t.ok(computed <= 1000 + 8 * 21, `mtp ${mtp}: ${computed} of ${8 * 1020} tokens of prompts were computed`);
    for (const [i, ids] of prompts.entries())
      t.deepEqual(said(results[i]!), {
        ...said(await fresh.generate(ids, { ...greedy, maxTokens: 8 })),
        seed: results[i]!.seed,
      });
  }
  const model = await open(t, folder, options);
  const short = prompts.map((ids) => ids.slice(700));
  const computed = await computedBy(model, () =>
    Promise.all(short.map((ids) => model.generate(ids, { ...greedy, maxTokens: 2 }))),
  );
  t.equal(computed, 8 * 320, 'few tokens are not worth waiting for');
});

test('who waits for a prompt goes on when its leader leaves', async (t) => {
  const folder = smallModel(t);
  const [model, fresh] = [
    await open(t, folder, { contextSize: 4096, slots: 4, cacheTokens: 16384, prefixCacheBytes: 4 * mib }),
    await open(t, folder, { contextSize: 4096 }),
  ];
  const system = randomIds(2000, 200, 1);
  const leaving = new AbortController();
  const onPromptProgress = (done: number) => {
    if (done > 0) leaving.abort();
  };
  const leader = model.generate([...system, 1], { ...greedy, signal: leaving.signal, onPromptProgress });
  const others = [2, 3].map((last) => model.generate([...system, last, 9], { ...greedy, maxTokens: 4 }));
  const computed = await computedBy(model, () => Promise.allSettled([leader, ...others]));
  await leader.then(
    () => t.fail('the leader has left'),
    () => t.pass('the leader has left'),
  );
  for (const [i, other] of others.entries()) {
    const alone = await fresh.generate([...system, i + 2, 9], { ...greedy, maxTokens: 4 });
    t.deepEqual((await other).logprobs, alone.logprobs, `follower ${i} is answered right`);
  }
  t.ok(computed < 2 * 2000, `${computed} tokens were computed`);
});

test('n answers are those of n calls with the seeds that follow, and compute their prompt once', async (t) => {
  const ways: [string, GenerateOptions, number][] = [
    ['by default', {}, 4],
    ['nothing kept', {}, 4],
    ['fewer slots than answers', { mtp: 2 }, 2],
    ['drafts', { mtp: 3, temperature: 1.3 }, 6],
  ];
  for (const [way, changes, slots] of ways) {
    const kept = way === 'nothing kept' ? { prefixCacheBytes: 0 } : {};
    const model = await openModel(t, 'tiny', {
      device: 'cpu',
      threads: 1,
      contextSize: 1024,
      cacheTokens: 4096,
      slots,
      ...kept,
    });
    const options: GenerateOptions = { temperature: 1, seed: 41, maxTokens: 24, logprobs: 2, mtp: false, ...changes };
    const prompt = 'How do I insert a table of contents? '.repeat(12);
    let several: GenerationResult | undefined;
    const session = model.createSession();
    const pieces: number[][] = [[], [], [], [], []];
    const computed = await computedBy(model, async () => {
      const generation = session.generate(prompt, { ...options, n: 5 });
      for await (const piece of generation) pieces[piece.choice!]!.push(...piece.ids);
      several = await generation;
    });
    const { choices, usage } = several!;
    t.equal(choices!.length, 5, `${way}: five answers`);
    // The last row of the prompt, whose logits each answer needs, is computed for each; with drafts the row before, too.
    t.ok(computed <= usage.promptTokens + 4 * 2, `${computed} tokens computed for a prompt of ${usage.promptTokens}`);
    t.ok(new Set(choices!.map(({ text }) => text)).size > 1, 'they differ');
    t.deepEqual(said(several!), said(choices![0]!), 'the result is the first');
    for (const [i, choice] of choices!.entries()) {
      t.deepEqual(said(choice), said(await model.generate(prompt, { ...options, seed: 41 + i })), `answer ${i}`);
      t.deepEqual(pieces[i], choice.ids, 'its pieces carry its number');
    }
    const next = await session.generate([...(await model.tokenizer.encodeAsync('And then?'))], { maxTokens: 1 });
    t.equal(next.choices, undefined, 'without n there are no choices');
    await session.close();
    if (kept.prefixCacheBytes === 0)
      t.ok(await until(() => model.stats().pages.free === model.stats().pages.total), 'no page is left behind');
  }
});

test('n of one, of too many, of nothing, and of a prompt that nobody waits for', async (t) => {
  const model = await openModel(t, 'tiny', { device: 'cpu', threads: 1, contextSize: 512, prefixCacheBytes: 0 });
  const one = await model.generate('Hello', { n: 1, maxTokens: 4, temperature: 0 });
  t.deepEqual([one.choices!.length, one.choices![0]!.text], [1, one.text]);
  const high = await model.generate([5, 6], { n: 2, maxTokens: 1, seed: Number.MAX_SAFE_INTEGER });
  t.deepEqual(
    high.choices!.map(({ seed }) => seed),
    [Number.MAX_SAFE_INTEGER, 0],
    'seeds go round',
  );
  const fruits = ['apple', 'pear', 'fig'];
  const named = await model.generate('A fruit?', { n: 4, raw: true, choice: fruits, temperature: 2, seed: 1 });
  t.deepEqual(
    named.choices!.map(({ text }) => fruits.includes(text)),
    [true, true, true, true],
    'each has its grammar',
  );
  for (const n of [0, 129, 1.5, '2' as unknown as number])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['n'], () => model.generate('Hello', { n }));
  const generation = model.generate(randomIds(200, 4096, 1), { ...greedy, n: 6, maxTokens: 200 });
  let read = 0;
  for await (const _ of generation) if (++read === 3) break;
  const { choices } = await generation;
  t.deepEqual(
    new Set(choices!.map(({ finishReason }) => finishReason)),
    new Set(['aborted']),
    'a reader who leaves ends all',
  );
  const gone = new AbortController();
  const stopped = model.generate(randomIds(300, 4096, 2), { n: 6, signal: gone.signal });
  gone.abort(new Error('enough'));
  await stopped.catch((error: Error) => t.equal(error.message, 'enough'));
  const { pages } = model.stats();
  t.ok(await until(() => model.stats().pages.free === pages.total), 'all pages are free then');
});

test('prefill computes a prompt, and answers go on from it to the bit', async (t) => {
  const [model, fresh] = [await open(t, 'tiny', { contextSize: 512 }), await open(t, 'tiny', { contextSize: 512 })];
  const ids = randomIds(150, 4096, 1);
  for (const mtp of [false, 'auto', 3] as const) {
    const session = model.createSession();
    const done: number[] = [];
    const usage = await session.prefill(ids, { mtp, onPromptProgress: (count) => done.push(count) });
    t.deepEqual(usage, { promptTokens: 150, cachedTokens: 0, completionTokens: 0, parked: 0 }, `mtp ${mtp}`);
    t.equal(done.at(-1), 150, 'it tells how far it is');
    t.equal(
      (await session.prefill(ids, { mtp })).cachedTokens,
      mtp === 3 ? 148 : 149,
      'what is there is not computed again',
    );
    const found = await session.generate([...ids, 7, 8], { ...greedy, mtp, maxTokens: 12 });
    t.equal(found.usage.cachedTokens, mtp === 3 ? 149 : 150);
    const alone = await fresh.generate([...ids, 7, 8], { ...greedy, maxTokens: 12 });
    t.deepEqual([found.ids, found.logprobs], [alone.ids, alone.logprobs]);
    await session.close();
  }
  t.equal(model.stats().tokens.generated, 36, 'prefill has made no token');
  const session = model.createSession();
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['maxTokens'], () => session.prefill(ids, { maxTokens: 3 } as object));
  await refuses(t, 'KEXA_CONTEXT_FULL', ['512'], () => session.prefill(randomIds(512, 4096, 1)));
});
