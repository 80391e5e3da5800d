/** Long texts and large vocabularies: what they cost, and how they are stopped. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import test from 'tape';
import { KexaError } from '../../lib/errors.js';
import { loadModel } from '../../lib/index.js';
import { Tokenizer } from '../../lib/text/tokenizer.js';
import { modelFolder } from '../support/models.js';
import { bigVocabularyFolder, bigVocabularyGguf } from '../support/real-size.js';

const tiny = modelFolder('tiny');
const root = new URL('../../', import.meta.url);
const moduleUrl = new URL('../../lib/text/tokenizer.ts', import.meta.url).href;
const tsxUrl = new URL('node_modules/tsx/dist/esm/api/index.mjs', root).href;

/** `bytes` bytes, more or less, of a unit. */
const filled = (unit: string, bytes: number) => unit.repeat(Math.ceil(bytes / Buffer.byteLength(unit)));

/** Units of texts that are one piece, or one sequence of marks, or all added tokens, or all normalised. */
const units: Record<string, string> = {
  spaces: ' ',
  'line ends': '\n',
  'one letter': 'a',
  'one syllable': '가',
  'marks out of order': '\u0301\u0323\u0327\u0345\u0338',
  jamo: '\u1112\u1161\u11ab',
  words: 'the of 하나님이 x1, ',
  markers: '<|user|>',
  brackets: '<',
};

/** The normal form of `a` and `count` of the unit of marks: in the order of their classes. Node would need minutes. */
function orderedMarks(count: number): string {
  const of = (mark: string, times = count) => mark.repeat(times);
  return `\u1ea1${of('\u0338')}${of('\u0327')}${of('\u0323', count - 1)}${of('\u0301')}${of('\u0345')}`;
}

async function code(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    return error instanceof KexaError ? error.code : String(error);
  }
  return 'nothing was thrown';
}

/** The longest time that the event loop was held while `run` ran, in milliseconds. */
async function longestHold(run: () => Promise<unknown>): Promise<number> {
  let last = performance.now();
  let longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(look, 1);
  await run();
  look();
  clearInterval(timer);
  return longest;
}

test('4 MB of any kind encode, and are given up when asked', { timeout: 120_000 }, async (t) => {
  const tokenizer = await Tokenizer.open(tiny);
  t.teardown(() => tokenizer.close());
  for (const [name, unit] of Object.entries(units)) {
    const text = name === 'marks out of order' ? `a${filled(unit, 4e6)}` : filled(unit, 4e6);
    const before = process.cpuUsage();
    const ids = await tokenizer.encodeIds(text);
    const used = process.cpuUsage(before);
    const whole = tokenizer.decode(ids);
    const wanted =
      name === 'marks out of order' ? orderedMarks((text.length - 1) / unit.length) : text.normalize('NFC');
    t.ok(whole === wanted, `${name}: ${ids.length} ids give the text back`);
    const reason = new Error('no longer wanted');
    const controller = new AbortController();
    const started = process.cpuUsage();
    const encoding = tokenizer.encodeIds(text, { signal: controller.signal });
    controller.abort(reason);
    t.equal(await encoding.catch((error) => error), reason, 'it rejects with the signal’s reason');
    // Had the thread gone on, it would use as much of the processor as before.
    await new Promise((done) => setTimeout(done, 100));
    const { user } = process.cpuUsage(started);
    if (used.user > 300_000)
      t.ok(user < used.user, `${user / 1000} ms of processor time instead of ${used.user / 1000}`);
  }
});

test('an encoding is given up at any time within it', async (t) => {
  const tokenizer = await Tokenizer.open(tiny);
  t.teardown(() => tokenizer.close());
  const text = filled('a', 4e6);
  const started = performance.now();
  await tokenizer.encodeIds(text);
  const whole = performance.now() - started;
  for (const part of [0.05, 0.2, 0.4, 0.6, 0.8]) {
    const controller = new AbortController();
    const encoding = tokenizer.encodeIds(text, { signal: controller.signal }).then(
      () => 'ended before',
      (error: Error) => error.name,
    );
    setTimeout(() => controller.abort(), part * whole);
    t.ok(['AbortError', 'ended before'].includes(await encoding), `after ${part} of the time`);
  }
  t.deepEqual(tokenizer.encode('the of'), await tokenizer.encodeAsync('the of'), 'and it encodes as before');
  t.equal(
    await code(() => tokenizer.encodeIds(text, { signal: AbortSignal.abort(new Error('before')) })),
    'Error: before',
  );
});

test('closing ends the encodings that are under way', async (t) => {
  const tokenizer = await Tokenizer.open(tiny);
  const encodings = Array.from({ length: 8 }, () => code(() => tokenizer.encodeAsync(filled('a', 4e6))));
  await new Promise((done) => setTimeout(done, 20));
  tokenizer.close();
  t.deepEqual(await Promise.all(encodings), Array(8).fill('KEXA_CLOSED'), 'eight at a time');
});

test('a prompt that cannot fit is refused before it is encoded', async (t) => {
  await using model = await loadModel(tiny, { contextSize: 64 });
  // The longest token has some bytes, and NFC makes three of one at most.
  const long = filled('x', 64 * 3 * 200);
  const before = process.cpuUsage();
  const texts = [filled('a', 2e7), long, filled('\u1112\u1161\u11ab', 2e7)];
  for (const text of texts) {
    t.equal(await code(() => model.generate(text, { raw: true })), 'KEXA_CONTEXT_FULL');
    t.equal(await code(() => model.generate([{ role: 'user', content: text }])), 'KEXA_CONTEXT_FULL');
    t.equal(await code(() => model.verify(text)), 'KEXA_CONTEXT_FULL');
  }
  const { user, system } = process.cpuUsage(before);
  t.ok(user + system < 4e6, `${(user + system) / 1000} ms of processor time`);
  t.equal((await model.generate('abc', { raw: true, maxTokens: 1 })).ids.length, 1, 'and the next is answered');
  const some = model.tokenizer.encode('In the beginning ').length;
  const exact = await code(() => model.generate('In the beginning '.repeat(Math.ceil(64 / some)), { raw: true }));
  t.equal(exact, 'KEXA_CONTEXT_FULL', 'one that is too long by little');
});

test('an answer that is broken off or aborted while its prompt is encoded is over at once', async (t) => {
  await using model = await loadModel(tiny, { contextSize: 4096 });
  const text = 'a '.repeat(4000);
  const signal = AbortSignal.timeout(0);
  const aborted = await model.generate(text.repeat(2), { signal }).then(
    () => 'answered',
    (error: unknown) => (error as Error).name,
  );
  t.ok(['TimeoutError', 'KexaError'].includes(aborted), aborted);
  const iterator = model.generate(text)[Symbol.asyncIterator]();
  t.deepEqual(await iterator.return!(), { done: true, value: undefined });
});

test('20 bytes of memory a byte of text, at most', { skip: process.platform !== 'linux' }, (t) => {
  const source = `
    import { readFileSync, writeFileSync } from 'node:fs';
    import { Tokenizer } from ${JSON.stringify(moduleUrl)};
    const tokenizer = await Tokenizer.open(${JSON.stringify(tiny)});
    const now = (name) => Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    const text = 'a' + ${JSON.stringify('UNIT')}.repeat(Number(process.argv[1]));
    const bytes = Buffer.byteLength(text);
    const before = now('VmRSS');
    await tokenizer.encodeIds(text);
    console.log((now('VmHWM') - before) / bytes);`;
  for (const name of ['one letter', 'marks out of order', 'brackets']) {
    const unit = units[name]!;
    const count = String(Math.ceil(8e6 / Buffer.byteLength(unit)));
    const args = ['--import', 'tsx', '--input-type=module', '-e', source.replace('UNIT', unit), count];
    const bytes = Number(execFileSync(process.execPath, args, { encoding: 'utf8', cwd: root }));
    t.ok(bytes <= 20, `${name}: ${bytes.toFixed(1)} bytes a byte`);
  }
  t.end();
});

test('a process ends while a text is encoded, and so does a worker', { timeout: 60_000 }, async (t) => {
  const count = 4_000_000;
  const source = `
    import { Tokenizer } from ${JSON.stringify(moduleUrl)};
    const tokenizer = await Tokenizer.open(${JSON.stringify(tiny)});
    tokenizer.encodeIds('the of and '.repeat(${count})).then(() => console.log('encoded'));
    setTimeout(() => { console.log('left'); process.exit(0); }, 50);`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', source];
  t.equal(execFileSync(process.execPath, args, { encoding: 'utf8', cwd: root }), 'left\n', 'process.exit()');
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(tsxUrl)}).then(async ({ tsImport }) => {
      const { Tokenizer } = await tsImport(${JSON.stringify(moduleUrl)}, ${JSON.stringify(import.meta.url)});
      const tokenizer = await Tokenizer.open(${JSON.stringify(tiny)});
      tokenizer.encodeIds('the of and '.repeat(${count})).then(() => parentPort.postMessage('encoded'));
      setTimeout(() => parentPort.postMessage('begun'), 50);
    });`,
    { eval: true, execArgv: [] },
  );
  const told: unknown[] = [];
  worker.on('message', (message) => told.push(message));
  await new Promise((done) => worker.once('message', done));
  await worker.terminate();
  t.deepEqual(told, ['begun'], 'worker.terminate()');
});

test('153,600 tokens load without holding the event loop', { timeout: 120_000 }, async (t) => {
  const folder = await bigVocabularyFolder();
  const text = readFileSync(join(folder, 'tokenizer.json'), 'utf8');
  for (const path of [folder, await bigVocabularyGguf()]) {
    // A busy machine holds the loop too, and then parses slowly as well.
    const holds: number[] = [];
    let parsing = 0;
    for (let i = 0; i < 4; i++) {
      const started = performance.now();
      JSON.parse(text);
      parsing = Math.max(parsing, performance.now() - started);
      holds.push(await longestHold(async () => (await Tokenizer.open(path)).close()));
    }
    const least = Math.min(...holds);
    t.ok(
      least < parsing / 2,
      `held for ${holds.map((ms) => ms.toFixed(0))} ms; JSON.parse of it takes ${parsing.toFixed(0)} ms`,
    );
  }
});

test('loading a large vocabulary can be aborted', async (t) => {
  const folder = await bigVocabularyFolder();
  const reason = new Error('no longer wanted');
  const controller = new AbortController();
  const opening = Tokenizer.open(folder, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 10);
  t.equal(await opening.catch((error) => error), reason);
});
