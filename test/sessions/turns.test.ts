/**
 * The cache of a session never shows in its answers: whatever it, or another session, was asked before, the answer is
 * that of a fresh session. The cache shows only in `cachedTokens`.
 */
import test from 'tape';
import { isSame, longPrompt, randomIds } from '../support/compare.js';
import { type GoldenName, goldenNames } from '../support/goldens.js';
import { alone, greedy, open, said, testBackAndForth } from '../support/session-turns.js';
import { refuses } from '../support/small-model.js';

test('cachedTokens counts what was not computed again', async (t) => {
  for (const name of goldenNames) {
    const model = await open(t, name);
    const session = model.createSession();
    const ids = longPrompt(name);
    const ask = async (prompt: number[], cached: number, what: string) => {
      const found = await session.generate(prompt, { ...greedy, maxTokens: 4 });
      t.equal(found.usage.cachedTokens, cached, `${name}, ${what}: ${cached} of ${prompt.length} cached`);
      t.equal(found.usage.promptTokens, prompt.length, 'all are counted');
      t.deepEqual(said(found), await alone(model, prompt, 4), 'and the answer is a fresh one');
      return found.ids;
    };
    const answer = await ask(ids, 0, 'at first');
    await ask(ids, ids.length - 1, 'the same again');
    // The last of an answer's 4 tokens was never computed.
    const grown = [...ids, ...answer, 5, 6, 7];
    await ask(grown, ids.length + 3, 'the conversation, grown');
    await ask([...grown.slice(0, -2), 8], grown.length - 2, 'its last turn changed');
    await ask([9, ...grown.slice(1)], 0, 'another one');
  }
});

test('drafting as it pays costs nothing of what is cached', async (t) => {
  for (const name of goldenNames) {
    const model = await open(t, name);
    const session = model.createSession();
    const plain = model.createSession();
    let ids = longPrompt(name);
    let drafted = 0;
    for (let turn = 0; turn < 6; turn++) {
      const found = await session.generate(ids, { ...greedy, mtp: 'auto', maxTokens: 9 });
      const wanted = await plain.generate(ids, { ...greedy, maxTokens: 9 });
      t.equal(found.usage.cachedTokens, wanted.usage.cachedTokens, `${name}, turn ${turn}: as much as without drafts`);
      t.deepEqual(said(found), said(wanted), 'and the same answer');
      drafted += found.speculation.drafted;
      // The answer, its last token or another in its place, and what the user says next.
      ids = [...ids, ...found.ids.slice(0, turn % 2 === 0 ? 9 : 8), 5 + turn, 6, 7];
    }
    t.ok(drafted > 0, `${drafted} drafts`);
  }
});

for (const name of goldenNames) for (const prefillChunk of [7, 128]) testBackAndForth(name, prefillChunk, 30);

test('going back further than the rings reach computes everything again, and right', async (t) => {
  for (const name of ['tiny', 'edge', 'two'] satisfies GoldenName[]) {
    const model = await open(t, name, { prefillChunk: 7, contextSize: 512 });
    const session = model.createSession();
    const ids = randomIds(400, model.config.vocabSize, 1);
    await session.generate(ids, { ...greedy, maxTokens: 1 });
    // A ring of window + 8 rows holds the window before 400 - 9, but not before 400 - 10.
    const near = await session.generate([...ids.slice(0, 391), 1, 2], { ...greedy, maxTokens: 1 });
    t.equal(near.usage.cachedTokens, 391, `${name}: nine back is still there`);
    t.deepEqual(said(near), await alone(model, [...ids.slice(0, 391), 1, 2], 1), 'and right');
    const far = await session.generate([...ids.slice(0, 390), 3, 4], { ...greedy, maxTokens: 3 });
    t.equal(far.usage.cachedTokens, 0, `${name}: ten back is gone`);
    t.deepEqual(said(far), await alone(model, [...ids.slice(0, 390), 3, 4], 3), 'and right all the same');
  }
});

test('six sessions, more than have a cache, take turns and are answered as if alone', async (t) => {
  const model = await open(t, 'edge', { prefillChunk: 32 });
  const other = await open(t, 'edge');
  const sessions = Array.from({ length: 6 }, () => model.createSession());
  const talks = sessions.map((_, i) => randomIds(30 + 10 * i, model.config.vocabSize, i));
  const cached: number[] = [];
  for (let round = 0; round < 4; round++) {
    for (const [i, session] of sessions.entries()) {
      if (round === 3 && i < 4) continue; // then the last two have not lost theirs
      const found = await session.generate(talks[i]!, { ...greedy, maxTokens: 5 });
      const fresh = await alone(other, talks[i]!, 5);
      t.deepEqual(said(found), fresh, `round ${round}, session ${i}: ${found.usage.cachedTokens} cached`);
      if (round > 0) cached.push(found.usage.cachedTokens);
      talks[i]!.push(...found.ids, round);
    }
  }
  t.deepEqual(cached.slice(0, 12), Array(12).fill(0), 'each had lost its cache to the others');
  t.ok(
    cached.slice(12).every((count) => count > 0),
    'but not when the others were silent',
  );
});

test('answers generated at the same time are what they are alone', async (t) => {
  for (const name of goldenNames) {
    const model = await open(t, name, { prefillChunk: 16 });
    const prompts = [0, 1, 2, 3].map((i) => randomIds(20 + 37 * i, model.config.vocabSize, 20 + i));
    const [a, b, c, d] = prompts.map((ids) => model.createSession().generate(ids, { ...greedy, maxTokens: 20 }));
    const [scores, { logits }] = await Promise.all([model.score(prompts[3]!), model.forward(prompts[2]!)]);
    for (const [i, result] of [await a!, await b!, await c!, await d!].entries())
      t.deepEqual(said(result), await alone(model, prompts[i]!, 20), `${name}, prompt ${i}`);
    t.ok(isSame(scores, await model.score(prompts[3]!)), `${name}: scores`);
    t.ok(isSame(logits, (await model.forward(prompts[2]!)).logits), `${name}: logits`);
  }
});

test('more work at a time than there is cache for is done in the order it came, and all of it', async (t) => {
  // Prompts of many chunks, so that whoever loses the cache to the next one has to start again.
  const model = await open(t, 'edge', { prefillChunk: 16, contextSize: 256 });
  const prompts = Array.from({ length: 7 }, (_, i) => randomIds(200 - i, model.config.vocabSize, i));
  const order: number[] = [];
  const answers = prompts.map(async (ids, i) => {
    const result = await model.generate(ids, { ...greedy, maxTokens: 10 });
    order.push(i);
    return said(result);
  });
  const scores = prompts.map((ids) => model.score(ids));
  for (const [i, answer] of (await Promise.all(answers)).entries())
    t.deepEqual(answer, await alone(model, prompts[i]!, 10), `answer ${i}`);
  for (const [i, found] of (await Promise.all(scores)).entries())
    t.ok(isSame(found, await model.score(prompts[i]!)), `scores ${i}`);
  t.deepEqual(order, [0, 1, 2, 3, 4, 5, 6], 'whoever came first was done first');
});

test('a reader who has stopped reading does not keep others from the cache', async (t) => {
  const model = await open(t, 'edge', { prefillChunk: 16, contextSize: 256 });
  const ids = randomIds(100, model.config.vocabSize, 1);
  const wanted = await alone(model, ids, 100);
  const slow = Array.from({ length: 5 }, () => model.generate(ids, { ...greedy, maxTokens: 100 }));
  for (const generation of slow) await generation[Symbol.asyncIterator]().next();
  t.deepEqual(await alone(model, ids, 100), wanted, 'five answers are not read on, a sixth is computed');
  for (const generation of slow) t.deepEqual(said(await generation), wanted, 'then they are, and are right');
});

test('two sessions that together are longer than the cache take it from each other', async (t) => {
  const model = await open(t, 'two', { contextSize: 256 });
  const other = await open(t, 'two');
  const [a, b] = [model.createSession(), model.createSession()];
  const [first, second] = [1, 2].map((seed) => randomIds(180, model.config.vocabSize, seed)) as [number[], number[]];
  const ask = (session: typeof a, ids: number[]) => session.generate(ids, { ...greedy, maxTokens: 3 });
  const [wantedFirst, wantedSecond] = [await alone(model, first, 3), await alone(model, second, 3)];
  for (const [session, ids, wanted, cached] of [
    [a, first, wantedFirst, 0],
    [a, first, wantedFirst, 179],
    [b, second, wantedSecond, 0], // three pages of four are a's: it loses them
    [b, second, wantedSecond, 179],
    [a, first, wantedFirst, 0],
    [b, second, wantedSecond, 0],
    [a, first.slice(0, 62), undefined, 0], // one page and three: they fit
    [b, second.slice(0, 126), undefined, 125],
    [a, first.slice(0, 62), undefined, 61],
  ] as const) {
    const found = await ask(session, ids);
    t.equal(found.usage.cachedTokens, cached, `${ids.length} tokens, ${cached} cached`);
    t.deepEqual(said(found), wanted ?? (await alone(other, ids, 3)), 'answered right');
  }
  const both = await Promise.all([ask(a, first), ask(b, second)]);
  t.deepEqual(both.map(said), [wantedFirst, wantedSecond], 'at the same time too');
});

test('an answer goes on to the end of the context and no further', async (t) => {
  const model = await open(t, 'edge', { contextSize: 100 });
  for (const size of [99, 90, 37]) {
    const ids = randomIds(size, model.config.vocabSize, size);
    const { finishReason, usage, ids: answer } = await model.generate(ids, { ...greedy });
    t.equal(finishReason, 'length', `${size} tokens: the context ran out`);
    t.equal(usage.promptTokens + usage.completionTokens, 100, 'when it was full');
    t.equal(answer.length, 100 - size, 'of the answer');
  }
  const full = randomIds(100, model.config.vocabSize, 1);
  await refuses(t, 'KEXA_CONTEXT_FULL', ['100'], () => model.generate(full));
  await refuses(t, 'KEXA_CONTEXT_FULL', ['101', '100'], () => model.generate([...full, 1]));
  const session = model.createSession();
  await refuses(t, 'KEXA_CONTEXT_FULL', ['100'], () => session.generate(full));
  const after = await session.generate(full.slice(0, 50), { ...greedy, maxTokens: 5 });
  t.deepEqual(said(after), await alone(model, full.slice(0, 50), 5), 'a session that was refused can be used');
});

test('a prompt broken off while it is computed is answered right when it is asked again', async (t) => {
  const model = await open(t, 'tiny', { prefillChunk: 4 });
  const session = model.createSession();
  const ids = randomIds(2000, model.config.vocabSize, 1);
  const controller = new AbortController();
  const reason = new Error('enough');
  const broken = session.generate(ids, { ...greedy, maxTokens: 500, signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  t.equal(
    await broken.then(
      () => 'an answer',
      (error: unknown) => error,
    ),
    reason,
    'it ends with the reason',
  );
  const found = await session.generate(ids, { ...greedy, maxTokens: 4 });
  const { cachedTokens } = found.usage;
  t.ok(cachedTokens > 0 && cachedTokens < ids.length - 1, `${cachedTokens} of 2000 tokens had been computed`);
  t.deepEqual(said(found), await alone(model, ids, 4), 'the answer is a fresh one');
});

test('after a prompt that was broken off, a session goes back no further than its rings hold', async (t) => {
  const model = await open(t, 'tiny', { prefillChunk: 4 });
  const session = model.createSession();
  const ids = randomIds(400, model.config.vocabSize, 1);
  const controller = new AbortController();
  const onPromptProgress = (done: number) => {
    if (done >= 200) controller.abort(new Error('enough'));
  };
  const broken = session.generate(ids, { ...greedy, maxTokens: 1, signal: controller.signal, onPromptProgress });
  t.equal(
    await broken.then(
      () => 'an answer',
      (error: Error) => error.message,
    ),
    'enough',
  );
  // Rings of 32 + 8 rows hold nothing of the window before position 120.
  const back = [...ids.slice(0, 120), 1, 2];
  const found = await session.generate(back, { ...greedy, maxTokens: 4 });
  t.equal(found.usage.cachedTokens, 0, 'all is computed again');
  t.deepEqual(said(found), await alone(model, back, 4), 'the answer is a fresh one');
});

test('a session generates one answer at a time, and none once it is closed', async (t) => {
  const model = await open(t, 'edge');
  const session = model.createSession();
  const running = session.generate([1, 2, 3], { ...greedy, maxTokens: 30 });
  await refuses(t, 'KEXA_BUSY', ['generating already'], () => session.generate([1], greedy));
  const wanted = await alone(model, [1, 2, 3], 30);
  t.deepEqual(said(await running), wanted, 'the one that runs is not disturbed');
  t.equal((await session.generate([1, 2, 3], { ...greedy, maxTokens: 1 })).usage.cachedTokens, 2, 'then the next may');
  const last = session.generate([1, 2, 3], { ...greedy, maxTokens: 30 });
  await last[Symbol.asyncIterator]().next();
  await session.close();
  await session.close();
  t.deepEqual(said(await last), wanted, 'an answer goes on to its end when its session is closed');
  await refuses(t, 'KEXA_CLOSED', ['session'], () => session.generate([1, 2, 3], greedy));
  await refuses(t, 'KEXA_CLOSED', ['session'], () => session.generate([1, 2, 3], greedy));
  t.deepEqual(await alone(model, [1, 2, 3], 30), wanted, 'the model goes on');
});
