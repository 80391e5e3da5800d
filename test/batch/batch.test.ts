/** `kexa batch`: every row is answered once, whatever ends a run. */
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type Test } from 'tape';
import { RemoteAnswerer } from '../../lib/batch/remote.js';
import { seedOf } from '../../lib/batch/rows.js';
import { type BatchOptions, type BatchReport, batchStatus, runBatch } from '../../lib/batch/run.js';
import { loadModel } from '../../lib/model/load.js';
import { ModelAnswerer } from '../../lib/serve/batch-answers.js';
import { serve } from '../../lib/serve/index.js';
import { killedBatches, QuickAnswerer, writeRequests } from '../support/batches.js';
import { kexa, start, temporaryFolder, tiny } from '../support/cli.js';
import { refuses } from '../support/small-model.js';

interface Line {
  custom_id: string | null;
  response: { status_code: number; body: Record<string, never> } | null;
  error: { code: string; message: string } | null;
}
const linesOf = (path: string) =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

/** Rows of 12 prompts in mixed order; row 5 is refused. */
const rows = Array.from({ length: 50 }, (_, i) =>
  JSON.stringify({ id: `r${i}`, prompt: `${'abc'[i % 3]} ${i}`, ...(i === 5 && { refused: true }) }),
);

function quick(t: Test, lines = rows): { options: BatchOptions; answerer: QuickAnswerer } {
  const folder = temporaryFolder(t);
  const input = join(folder, 'in.jsonl');
  writeFileSync(input, lines.join('\n'));
  const answerer = new QuickAnswerer();
  return { answerer, options: { input, output: join(folder, 'out.jsonl'), answerer, concurrency: 4 } };
}

const again = (options: BatchOptions, answerer = new QuickAnswerer()): Promise<BatchReport> =>
  runBatch({ ...options, answerer });

test('a run that is killed again and again has the output of one that is not', async (t) => {
  const input = writeRequests(t, 100);
  const whole = join(temporaryFolder(t), 'whole.jsonl');
  const run = await kexa(['batch', 'run', '-m', tiny, input, '-o', whole, '--concurrency', '3']);
  t.deepEqual(run, { code: 0, stdout: `${whole}: 100 of 100 rows answered\n`, stderr: '' });
  t.deepEqual(
    linesOf(whole).map((line) => line.custom_id),
    Array.from({ length: 100 }, (_, i) => `row ${i}`),
  );
  await killedBatches(t, input, whole, 5);

  // The answers are those of the library for the same requests.
  const model = await loadModel(tiny);
  for (const index of [1, 20, 35]) {
    const { body } = JSON.parse(readFileSync(input, 'utf8').split('\n')[index]!);
    const { text, reasoning } = await model.generate(body.messages, {
      maxTokens: body.max_tokens,
      temperature: body.temperature,
      seed: seedOf(`row ${index}`),
    });
    const [choice] = (linesOf(whole)[index]!.response!.body as unknown as { choices: { message: object }[] }).choices;
    const { content, reasoning_content: thought = '' } = choice!.message as Record<string, string>;
    t.deepEqual([content, thought], [text, reasoning], `row ${index}`);
  }
  await model.close();

  // Nor does a server answer otherwise.
  const server = await serve({ path: tiny, port: 0, log: 'off', page: false });
  const remote = join(temporaryFolder(t), 'remote.jsonl');
  await runBatch({
    input,
    output: remote,
    answerer: new RemoteAnswerer({ url: `${server.url}/v1`, apiKey: null }),
    concurrency: 8,
  });
  await server.close();
  const choices = (path: string) =>
    linesOf(path).map((line) => JSON.stringify((line.response!.body as unknown as { choices: object }).choices));
  t.deepEqual(choices(remote), choices(whole), 'the choices of kexa serve');
});

test('completions', async (t) => {
  const folder = temporaryFolder(t);
  const input = join(folder, 'in.jsonl');
  const line = (i: number, body: object) => JSON.stringify({ custom_id: `c${i}`, url: '/v1/completions', body });
  const texts = [
    { prompt: 'In the beginning', logprobs: 2 },
    { prompt: ['The table', 'The row'], n: 2 },
    { prompt: [72, 73], echo: true },
  ];
  writeFileSync(input, texts.map((body, i) => line(i, { ...body, max_tokens: 6 })).join('\n'));
  const model = await loadModel(tiny);
  const answerer = await ModelAnswerer.create(model, 'tiny', {});
  const outputs = await Promise.all(
    [1, 3].map(async (concurrency) => {
      const { output, failed } = await runBatch({
        input,
        output: join(folder, `${concurrency}.jsonl`),
        answerer,
        concurrency,
      });
      t.equal(failed, 0);
      return readFileSync(output, 'utf8');
    }),
  );
  t.equal(outputs[0], outputs[1], 'the same bytes alone and in company');
  const [first, second, third] = linesOf(join(folder, '1.jsonl')).map(
    ({ response }) => response!.body as unknown as { id: string; choices: { text: string }[] },
  );
  t.deepEqual([first!.choices.length, second!.choices.length], [1, 4]);
  const { text } = await model.generate('In the beginning', { raw: true, maxTokens: 6, seed: seedOf('c0') });
  t.equal(first!.choices[0]!.text, text, 'the answer of the library');
  t.ok(third!.choices[0]!.text.startsWith(model.tokenizer.decode([72, 73])), 'the prompt is told');
  writeFileSync(input, line(0, { prompt: 'a', echo: true, logprobs: 1 }));
  const refused = runBatch({ input, output: join(folder, 'x'), answerer, concurrency: 1 });
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['row 1: logprobs'], () => refused);
  await model.close();
});

test('answers come in the order of the rows, and refused rows apart', async (t) => {
  const { options, answerer } = quick(t);
  answerer.before = async () => void (await sleep(1));
  t.deepEqual(await runBatch(options), {
    ...{ output: options.output, errors: `${options.output}.errors.jsonl`, rows: 50, failed: 1, answered: 50 },
  });
  const ids = linesOf(options.output).map((line) => line.custom_id);
  t.deepEqual(
    ids,
    rows.map((_, i) => `r${i}`).filter((id) => id !== 'r5'),
  );
  const [refused] = linesOf(`${options.output}.errors.jsonl`);
  t.deepEqual([refused!.custom_id, refused!.response!.status_code, refused!.error], ['r5', 400, null]);
  t.equal(answerer.mostRunning, 4);
  const order = answerer.answered.map((id) => Number(id.slice(1)) % 3);
  t.deepEqual(order, [...order].sort(), 'prompts that begin alike are answered in turn');
  t.deepEqual((await again(options)).answered, 0, 'a batch that is done is not done again');
  t.deepEqual(await batchStatus(options.output), { state: 'done', rows: 50, done: 50, failed: 1, pid: null });
});

test('a journal may end anywhere, and be damaged', async (t) => {
  const { options, answerer } = quick(t);
  answerer.before = async ({ index }) => {
    if (index === 40) throw new Error('stopped');
  };
  await runBatch(options).then(
    () => t.fail('the run ends'),
    (error: Error) => t.equal(error.message, 'stopped'),
  );
  const status = await batchStatus(options.output);
  t.ok(status.state === 'stopped' && status.done > 20 && status.done < 50, `${status.done} rows are done`);
  const journal = readFileSync(`${options.output}.kexa/journal`);
  const whole = quick(t);
  await runBatch(whole.options);
  const wanted = readFileSync(whole.options.output, 'utf8');
  const lastLine = journal.subarray(0, -1).lastIndexOf(10) + 1;
  const resumed = async (bytes: Buffer, what: string, most: number) => {
    const folder = join(temporaryFolder(t), 'work');
    mkdirSync(`${folder}/out.jsonl.kexa`, { recursive: true });
    const output = join(folder, 'out.jsonl');
    copyFileSync(`${options.output}.kexa/manifest.json`, `${output}.kexa/manifest.json`);
    writeFileSync(`${output}.kexa/journal`, bytes);
    const { answered } = await again({ ...options, output });
    const isSame = readFileSync(output, 'utf8') === wanted && existsSync(`${output}.errors.jsonl`);
    if (!isSame || answered > most) t.fail(`${what}: ${answered} answered, ${isSame ? 'same' : 'other'} output`);
  };
  const left = 50 - status.done;
  for (let end = lastLine; end <= journal.length; end++)
    await resumed(journal.subarray(0, end), `cut at ${end}`, left + 1);
  for (let i = 0; i < 40; i++) {
    const damaged = Buffer.from(journal);
    damaged[Math.floor((i * journal.length) / 40)]! ^= 1 << (i % 8);
    // A damaged end of a line damages the next one, too.
    await resumed(damaged, `bit ${i}`, left + 2);
  }
  await resumed(Buffer.concat([journal, Buffer.alloc(4096)]), 'zeros at the end', left);
  await resumed(Buffer.concat([journal, journal]), 'every line twice', left);
  t.pass(`${journal.length - lastLine} places to cut the last line, and 40 damaged bits`);
});

test('another batch, another input and a second process are refused', async (t) => {
  const { options, answerer } = quick(t);
  answerer.before = async ({ index }) => {
    if (index === 40) throw new Error('stopped');
  };
  await runBatch(options).catch(() => {});
  writeFileSync(options.input, [...rows.slice(1), rows[0]].join('\n'));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['another batch', 'input.sha256 is', '--force'], () => again(options));
  writeFileSync(options.input, rows.join('\n'));
  const other = Object.assign(new QuickAnswerer(), { identity: { quick: 2 } });
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['answers.quick is 2, and was 1'], () => again(options, other));
  const slow = new QuickAnswerer();
  slow.before = async () => void (await sleep(100));
  const first = again(options, slow);
  while (slow.running === 0) await sleep(5);
  await refuses(t, 'KEXA_BUSY', [`process ${process.pid} works on it`], () => again(options));
  t.equal((await batchStatus(options.output)).state, 'running');
  await first;
  writeFileSync(`${options.output}2`, 'mine');
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['is there already', '--force'], () =>
    again({ ...options, output: `${options.output}2` }),
  );
  t.equal((await again({ ...options, output: `${options.output}2`, isForced: true })).answered, 50);
  await refuses(t, 'KEXA_NOT_FOUND', ['no such batch'], () => batchStatus(`${options.output}3`));
  for (const errors of [options.input, `${options.output}4`])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['wanted three files'], () =>
      again({ ...options, output: `${options.output}4`, errors, isForced: true }),
    );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['is there already', '--force'], () =>
    again({ ...options, output: `${options.output}4`, errors: `${options.output}2` }),
  );
  t.equal(readFileSync(options.input, 'utf8'), rows.join('\n'), 'the requests are as they were');
});

test('rows that are no requests', async (t) => {
  const bad = [
    '{',
    '7',
    '{"custom_id": "x"}',
    '{"id": 7}',
    '{"id": "r1", "prompt": "twice"}',
    '{"id": "b", "prompt": "x", "bad": true}',
  ];
  const url = JSON.stringify({ custom_id: 'u', url: 'https://example.org', body: {} });
  const { options } = quick(t, [...rows, ...bad, '', url, '  ']);
  await refuses(
    t,
    'KEXA_INVALID_ARGUMENT',
    ['7 of 57 rows', 'row 51: not valid JSON', 'row 55: custom_id: "r1" is that of row 2'],
    () => again(options),
  );
  t.notOk(existsSync(`${options.output}.kexa/manifest.json`), 'nothing is begun');
  const report = await again({ ...options, skipInvalid: true });
  t.deepEqual([report.rows, report.failed], [57, 8]);
  const errors = linesOf(report.errors!);
  t.equal(errors.filter(({ error }) => error?.code === 'invalid_row').length, 7);
  t.match(errors.at(-1)!.error!.message, /^row 57: url: wanted a path/);
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['has no rows'], () => again(quick(t, ['', ' ']).options));

  const input = join(temporaryFolder(t), 'in.jsonl');
  const line = (custom_id: string, body: object, path = '/v1/chat/completions') =>
    JSON.stringify({ custom_id, url: path, body });
  const long = [{ role: 'user', content: 'table '.repeat(5000) }];
  const hello = [{ role: 'user', content: 'Hello' }];
  const requests = [
    line('a', { messages: long }),
    line('b', { messages: hello, temperature: 'hot' }),
    line('c', { messages: hello, stream: true }),
    line('d', { input: 'x' }, '/v1/embeddings'),
    line('e', { messages: [{ role: 'fox', content: 'x' }] }),
  ];
  writeFileSync(input, requests.join('\n'));
  const run = await kexa(['batch', 'run', '-m', tiny, input, '-o', `${input}.out`]);
  t.equal(run.code, 2);
  for (const words of [
    /row 1: messages: \d+ tokens do not fit/,
    /row 2: temperature/,
    /row 3: stream/,
    /row 4: url/,
    /row 5: messages\[0\]\.role/,
  ])
    t.match(run.stderr, words);
});

test('Ctrl-C answers the rows that have begun', async (t) => {
  const input = writeRequests(t, 300);
  const output = join(temporaryFolder(t), 'out.jsonl');
  const child = start(['batch', 'run', '-m', tiny, input, '-o', output]);
  let notes = '';
  child.stderr.on('data', (text) => {
    notes += text;
  });
  const exit = once(child, 'exit');
  while (child.exitCode === null && !existsSync(`${output}.kexa/journal`)) await sleep(5);
  await sleep(100);
  child.kill('SIGINT');
  t.deepEqual(await exit, [130, null]);
  t.match(notes, /^kexa: stopped; \d+ of 300 rows are done; the same command goes on from here\n$/);
  const status = await kexa(['batch', 'status', output, '--json']);
  const { state, done } = JSON.parse(status.stdout) as { state: string; done: number };
  t.ok(state === 'stopped' && done < 300, status.stdout);
  t.notOk(existsSync(output), 'no output before all rows are answered');
});

test('a server that answers', async (t) => {
  let requests = 0;
  const server = createServer(async (request, response): Promise<void> => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const body = JSON.parse(text);
    requests++;
    const json = (status: number, value: object, headers = {}) =>
      void response.writeHead(status, headers).end(JSON.stringify(value));
    if (request.headers.authorization !== 'Bearer key') return json(401, {});
    if (requests % 3 === 0) return json(429, {}, { 'retry-after-ms': '1' });
    if (requests % 7 === 0) return void response.destroy();
    if (body.refused) return json(400, { error: { message: 'no' } });
    json(200, { path: request.url, model: body.model, seed: body.seed, usage: { completion_tokens: 2 } });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { options } = quick(t);
  const answerer = new RemoteAnswerer({ url, apiKey: 'key', model: 'fox' });
  const report = await runBatch({ ...options, answerer });
  t.deepEqual([report.rows, report.failed], [50, 1]);
  t.ok(requests > 60, `${requests} requests`);
  const bodies = linesOf(options.output).map((line) => line.response!.body as unknown as Record<string, unknown>);
  t.ok(bodies.every(({ path, model }) => path === '/v1/chat/completions' && model === 'fox'));
  t.equal(bodies[3]!.seed, seedOf('r3'));
  const refused = new RemoteAnswerer({ url, apiKey: 'other' });
  const other = quick(t);
  await refuses(t, 'KEXA_DOWNLOAD_FAILED', ['status 401', 'OPENAI_API_KEY'], () =>
    runBatch({ ...other.options, answerer: refused }),
  );
  t.throws(() => new RemoteAnswerer({ url: 'ftp://x', apiKey: null }), /url: wanted an address/);
});
