/** Stopping: by signals, by readers who leave or dawdle, and by closing. Running work ends, and later work succeeds. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type Test } from 'tape';
import { type Generation, loadModel, type Model, type Piece } from '../../lib/index.js';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { refuses } from '../support/small-model.js';

const { ids: prompt, greedy } = loadGoldens('tiny').prompts[0]!;
const golden = { temperature: 0, ignoreEos: true, maxTokens: greedy.length };
const endless = { temperature: 0, ignoreEos: true };
/** A prompt whose prefill takes a large part of a second. */
const longPrompt = Array.from({ length: 3000 }, (_, i) => 64 + ((i * 7919) % 4000));

async function open(t: Test): Promise<Model> {
  const model = await loadModel(modelFolder('tiny'));
  t.teardown(() => model.close());
  return model;
}

/** Checks that the work is rejected with exactly the signal's reason. */
async function rejects(t: Test, signal: { reason: unknown }, work: () => unknown, title: string): Promise<void> {
  try {
    await work();
    t.fail(`${title}: was not rejected`);
  } catch (error) {
    t.equal(error, signal.reason, title);
  }
}

async function readAll(generation: Generation): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for await (const piece of generation) pieces.push(piece);
  return pieces;
}

/** Both ways to read, each with an answer of its own. */
const readers: [string, (generation: Generation) => Promise<unknown>][] = [
  ['awaited', async (generation) => await generation],
  ['iterated', readAll],
];

test('an aborted signal rejects with its reason, whenever it is aborted', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  for (const [how, read] of readers) {
    for (const reason of [undefined, new Error('enough'), 'just a text']) {
      const before = AbortSignal.abort(reason);
      await rejects(t, before, () => read(session.generate(prompt, { ...endless, signal: before })), `${how}, before`);

      const prefill = new AbortController();
      setTimeout(() => prefill.abort(reason), 20);
      let computed = 0;
      const onPromptProgress = (done: number) => {
        computed = done;
      };
      const generation = session.generate(longPrompt, { ...endless, onPromptProgress, signal: prefill.signal });
      await rejects(t, prefill.signal, () => read(generation), `${how}, in the prefill`);
      t.ok(computed < longPrompt.length, `after ${computed} of ${longPrompt.length} tokens of the prompt`);
      await rejects(t, prefill.signal, () => read(generation), 'and again for who asks later');

      const midway = new AbortController();
      const decoding = session.generate(prompt, { ...endless, signal: midway.signal });
      await decoding[Symbol.asyncIterator]().next();
      const reading = read(decoding);
      midway.abort(reason);
      await rejects(t, midway.signal, () => reading, `${how}, between tokens`);
    }
  }
  const { name } = AbortSignal.abort().reason as Error;
  t.equal(name, 'AbortError', 'by default an AbortError');
  t.deepEqual((await session.generate(prompt, golden)).ids, greedy, 'the session goes on, with the right answer');
  const after = new AbortController();
  const over = session.generate(prompt, { ...golden, signal: after.signal });
  await over;
  after.abort();
  t.deepEqual((await over).ids, greedy, 'an abort after the end changes nothing');
});

test('with stopOnAbortSignal an answer that has begun ends with what there is', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  for (const [how, read] of readers) {
    const midway = new AbortController();
    const options = { ...golden, maxTokens: 400, ignoreEos: true, stopOnAbortSignal: true, signal: midway.signal };
    const generation = session.generate(prompt, options);
    const first = await generation[Symbol.asyncIterator]().next();
    const reading = read(generation);
    midway.abort();
    await reading;
    const { ids, text, finishReason } = await generation;
    t.equal(finishReason, 'aborted', `${how}: it says so`);
    t.ok(ids.length > 0 && ids.length < 400 && text.startsWith(first.value!.text), `${ids.length} tokens are there`);
    t.deepEqual(ids.slice(0, greedy.length), greedy.slice(0, ids.length), 'the right ones');
    const early = AbortSignal.abort(new Error('early'));
    const unread = { ...options, signal: early };
    await rejects(t, early, () => read(session.generate(prompt, unread)), `${how}: before it begins it rejects`);
  }
  const prefill = new AbortController();
  setTimeout(() => prefill.abort(), 20);
  const waiting = session.generate(longPrompt, { ...endless, stopOnAbortSignal: true, signal: prefill.signal });
  await rejects(t, prefill.signal, async () => await waiting, 'and in the prompt');
  t.deepEqual((await session.generate(prompt, golden)).ids, greedy, 'the session goes on');
});

test('an answer that is aborted, or left, when it is computed but not read is no shorter answer', async (t) => {
  const model = await open(t);
  const options = { ...golden, maxTokens: 20 }; // fewer than the engine runs ahead
  const controller = new AbortController();
  const aborted = model.generate(prompt, { ...options, signal: controller.signal });
  await sleep(200);
  controller.abort();
  await rejects(t, controller.signal, async () => await aborted, 'aborted');
  const left = model.generate(prompt, options);
  await sleep(200);
  await left[Symbol.asyncIterator]().return!();
  const result = await left;
  t.deepEqual([result.finishReason, result.ids], ['aborted', []], 'left');
});

test('leaving the loop stops the work; what was read is the result', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  const generation = session.generate(prompt, endless);
  const read: number[] = [];
  for await (const piece of generation) {
    read.push(...piece.ids);
    if (read.length >= 5) break;
  }
  const { finishReason, ids, text } = await generation;
  t.equal(finishReason, 'aborted');
  t.deepEqual(ids, read);
  t.equal(text, model.tokenizer.decode(read));
  t.deepEqual(ids, greedy.slice(0, ids.length));
  t.deepEqual((await session.generate(prompt, golden)).ids, greedy, 'the session goes on');
  const thrower = session.generate(prompt, endless);
  await rejects(
    t,
    { reason: 'mine' },
    async () => {
      for await (const _ of thrower) throw 'mine';
    },
    'an error in the loop is that error',
  );
  t.equal((await thrower).finishReason, 'aborted');
  t.deepEqual((await session.generate(prompt, golden)).ids, greedy);
});

test('return() before next() means that nothing is generated', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  const generation = session.generate(prompt, endless);
  const iterator = generation[Symbol.asyncIterator]();
  t.deepEqual(await iterator.return!(), { done: true, value: undefined });
  t.deepEqual(await iterator.next(), { done: true, value: undefined });
  const { finishReason, ids, text } = await generation;
  t.deepEqual([finishReason, ids, text], ['aborted', [], '']);
  t.deepEqual((await session.generate(prompt, golden)).ids, greedy);
});

test('a session does one answer at a time', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  const first = session.generate(prompt, golden);
  await refuses(t, 'KEXA_BUSY', ['session'], () => session.generate(prompt, golden));
  t.deepEqual((await first).ids, greedy, 'the first is not disturbed');
});

test('the engine runs a few dozen tokens ahead of a slow reader, and others go on', async (t) => {
  const model = await open(t);
  const slow = model.generate(prompt, { ...endless, maxTokens: 500 })[Symbol.asyncIterator]();
  await slow.next();
  await sleep(600);
  for (const other of [model.generate(prompt, golden), model.createSession().generate(prompt, golden)])
    t.deepEqual((await other).ids, greedy, 'an answer beside one that waits for its reader');
  const ahead = (await slow.next()).value!.ids.length;
  t.ok(ahead >= 16 && ahead <= 64, `${ahead} tokens were waiting`);
  await slow.return!();
});

test('the event loop turns while the engine works', async (t) => {
  const model = await open(t);
  const late: number[] = [];
  let due = performance.now() + 5;
  const timer = setInterval(() => {
    late.push(performance.now() - due);
    due = performance.now() + 5;
  }, 5);
  await Promise.all([
    model.generate(longPrompt.slice(0, 1000), { ...endless, maxTokens: 100 }),
    readAll(model.generate(prompt, { ...endless, maxTokens: 500 })),
  ]);
  clearInterval(timer);
  late.sort((a, b) => a - b);
  const p99 = late[Math.floor(late.length * 0.99)]!;
  // Two cores are shared with the engine's threads. If a prefill blocked the event loop, timers would be hundreds of ms
  // late.
  t.ok(late.length > 20 && p99 < 100, `99 of 100 timers were less than ${p99.toFixed(1)} ms late, of ${late.length}`);
});

test('forward(), score() and loadModel() can be aborted', async (t) => {
  const model = await open(t);
  for (const work of [
    (signal: AbortSignal) => model.forward(longPrompt, { logits: 'last', signal }),
    (signal: AbortSignal) => model.score(longPrompt, { signal }),
    (signal: AbortSignal) => loadModel(modelFolder('tiny'), { signal, weights: 'f32' }),
  ]) {
    const before = AbortSignal.abort(new Error('before'));
    await rejects(t, before, () => work(before), 'before');
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('meanwhile')), 2);
    await rejects(t, controller.signal, () => work(controller.signal), 'meanwhile');
  }
  const controller = new AbortController();
  const onProgress = () => controller.abort('at the first report');
  await rejects(
    t,
    { reason: 'at the first report' },
    () => loadModel(modelFolder('tiny'), { signal: controller.signal, onProgress }),
    'in onProgress',
  );
  t.deepEqual((await model.generate(prompt, golden)).ids, greedy, 'the model goes on');
});

test('closing ends what is going on with KEXA_CLOSED, and all that comes after', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  const running = [
    model.generate(prompt, { ...endless, maxTokens: 3000 }),
    readAll(session.generate(longPrompt, endless)),
    model.forward(longPrompt, { logits: 'last' }),
    model.score(longPrompt),
  ].map((work) => refuses(t, 'KEXA_CLOSED', ['closed'], () => work));
  await sleep(30);
  const [closing, again] = [model.close(), model.close()];
  await Promise.all([closing, again, ...running]);
  await model.close();
  for (const work of [
    () => model.generate(prompt),
    () => model.generate('text'),
    () => readAll(session.generate(prompt)),
    () => model.forward(prompt),
    () => model.score(prompt),
    () => model.createSession(),
    () => model.tokenizer.encode('text'),
  ])
    await refuses(t, 'KEXA_CLOSED', ['closed'], work);
});

test('a closed session refuses to generate, and its model goes on', async (t) => {
  const model = await open(t);
  const session = model.createSession();
  const running = session.generate(prompt, golden);
  await sleep(1);
  await session.close();
  await session.close();
  t.deepEqual((await running).ids, greedy, 'what it was doing comes to its end');
  await refuses(t, 'KEXA_CLOSED', ['session'], () => session.generate(prompt));
  t.deepEqual((await model.generate(prompt, golden)).ids, greedy);
});

test('await using closes', async (t) => {
  let kept: Model;
  {
    await using model = await loadModel(modelFolder('tiny'));
    await using session = model.createSession();
    t.deepEqual((await session.generate(prompt, golden)).ids, greedy);
    kept = model;
  }
  await refuses(t, 'KEXA_CLOSED', ['closed'], () => kept.generate(prompt));
});
