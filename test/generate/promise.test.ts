/** `generate` returns a promise like any other: its methods, and where its errors go. */
import { setImmediate } from 'node:timers/promises';
import test, { type Test } from 'tape';
import { type KexaError, loadModel, type Model } from '../../lib/index.js';
import { modelFolder } from '../support/models.js';

const wrong = { maxTokens: 0 };
const brief = { temperature: 0, maxTokens: 2, raw: true };

async function open(t: Test): Promise<Model> {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu', threads: 1, contextSize: 512 });
  t.teardown(() => model.close());
  return model;
}

/** Node's reports on promises in the meantime: errors that nobody handled, and errors that were handled late. */
async function reported(during: () => Promise<void> | void): Promise<{ unhandled: unknown[]; late: number }> {
  const found = { unhandled: [] as unknown[], late: 0 };
  const onUnhandled = (error: unknown) => found.unhandled.push((error as Error).message);
  const onLate = () => found.late++;
  process.on('unhandledRejection', onUnhandled).on('rejectionHandled', onLate);
  try {
    await during();
    for (let i = 0; i < 20; i++) await setImmediate();
  } finally {
    process.off('unhandledRejection', onUnhandled).off('rejectionHandled', onLate);
  }
  return found;
}

test('then, catch and finally', async (t) => {
  const model = await open(t);
  const generation = model.generate('In the beginning', brief);
  t.equal(String(generation), '[object Generation]');
  t.equal((await generation.then(({ ids }) => ids.length)) satisfies number, 2);
  const calls: string[] = [];
  const result = await generation.catch(() => 'none').finally(() => calls.push('finally'));
  t.equal(typeof result === 'string' ? result : result.ids.length, 2);
  t.equal(await model.generate('x', wrong).catch((error: KexaError) => error.code), 'KEXA_INVALID_ARGUMENT');
  const ended = model.generate('x', wrong).finally(() => calls.push('after an error'));
  t.match(await ended.then(String, (error: Error) => error.message), /^maxTokens: /);
  t.deepEqual(calls, ['finally', 'after an error']);
  const [first, second] = await Promise.allSettled([model.generate('x', brief), model.generate('x', wrong)]);
  t.deepEqual([first.status, second.status], ['fulfilled', 'rejected']);
});

test('an error is told once: to who reads, or as an unhandled rejection', async (t) => {
  const model = await open(t);
  const isQuiet = async (name: string, during: () => Promise<void>) =>
    t.deepEqual(await reported(during), { unhandled: [], late: 0 }, name);
  await isQuiet('awaited', async () => {
    await model.generate('x', wrong).then(null, () => {});
  });
  await isQuiet('iterated', async () => {
    try {
      for await (const _ of model.generate('x', wrong));
      t.fail('no error');
    } catch (error) {
      t.equal((error as KexaError).code, 'KEXA_INVALID_ARGUMENT');
    }
  });
  await isQuiet('iterated and awaited', async () => {
    const generation = model.generate('x', wrong);
    const read = async () => {
      for await (const _ of generation);
    };
    t.equal((await Promise.allSettled([read(), generation])).filter(({ status }) => status === 'rejected').length, 2);
  });
  await isQuiet('left by its reader', async () => {
    for await (const _ of model.generate('In the beginning', { raw: true, ignoreEos: true })) break;
  });
  await isQuiet('no error, and nobody there', async () => {
    model.generate('In the beginning', brief);
  });
  await isQuiet('aborted, and nobody there', async () => {
    model.generate('x', { ...brief, signal: AbortSignal.abort() });
  });
  await isQuiet('closed, and nobody there', async () => {
    const other = await loadModel(modelFolder('tiny'), { device: 'cpu', threads: 1, contextSize: 512 });
    other.generate('In the beginning', brief);
    await other.close();
  });
  const nobody = await reported(() => {
    model.generate('x', wrong);
  });
  t.equal(nobody.unhandled.length, 1);
  t.match(String(nobody.unhandled[0]), /^maxTokens: wanted an integer/);
  let late: Promise<unknown> | undefined;
  const handled = await reported(async () => {
    const generation = model.generate('x', wrong);
    for (let i = 0; i < 20; i++) await setImmediate();
    late = generation.catch(() => {});
    await late;
  });
  t.deepEqual([handled.unhandled.length, handled.late], [1, 1], 'who comes late handles it all the same');
});

test('one signal for many answers is listened to once, and given up when they have ended', async (t) => {
  const model = await open(t);
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  let most = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...values: Parameters<AbortSignal['addEventListener']>) => {
    most = Math.max(most, ++listeners);
    addEventListener.apply(signal, values);
  };
  signal.removeEventListener = (...values: Parameters<AbortSignal['removeEventListener']>) => {
    listeners--;
    removeEventListener.apply(signal, values);
  };
  await Promise.all(Array.from({ length: 15 }, () => model.generate('x', { ...brief, signal })));
  t.deepEqual([most, listeners], [1, 0]);
  const endless = { temperature: 0, ignoreEos: true, signal };
  const answers = Array.from({ length: 12 }, () =>
    model.generate('x', endless).then(
      () => 'a whole answer',
      (error: Error) => error.name,
    ),
  );
  for (let i = 0; i < 3; i++) await setImmediate();
  controller.abort();
  t.deepEqual(new Set(await Promise.all(answers)), new Set(['AbortError']), 'all of them are stopped');
  t.equal(most, 1);
});
