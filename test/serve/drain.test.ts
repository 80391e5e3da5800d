/** How a server ends: streams end whole, nothing new is taken, and a second signal ends at once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test, { type Test } from 'tape';
import { bin, environment, root, tiny } from '../support/cli.js';
import { hangLimit } from '../support/hang-limit.js';
import { eventsOf } from '../support/server.js';

const body = (seed: number, tokens: number) =>
  JSON.stringify({
    ...{ messages: [{ role: 'user', content: 'Hello' }], seed, max_tokens: tokens, ignore_eos: true, stream: true },
  });

/** Runs `kexa serve` until the test's end. `url` comes when it serves. */
function startCommand(t: Test, args: readonly string[]) {
  const child = spawn(process.execPath, [bin, 'serve', '-m', tiny, '--port', '0', ...args], {
    ...{ cwd: root, env: environment, timeout: hangLimit },
  });
  t.teardown(() => child.kill('SIGKILL'));
  let text = '';
  const url = new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      const [, found] = /serving at (\S+)/.exec(text) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(text)));
  });
  url.catch(() => {});
  return { child, url, exit: once(child, 'exit') as Promise<[number | null, string | null]>, log: () => text };
}

test('SIGTERM lets streams end, and takes connections until the delay is over', async (t) => {
  const { child, url, exit } = startCommand(t, ['--slots', '8', '--drain-delay', '2', '--drain-timeout', '60']);
  const server = await url;
  const post = (seed: number, tokens: number) =>
    fetch(`${server}/v1/chat/completions`, { method: 'POST', body: body(seed, tokens) });
  const streams = await Promise.all([1, 2, 3, 4, 5, 6, 7].map((seed) => post(seed, 800)));
  t.equal((await fetch(`${server}/ready`)).status, 200);
  child.kill('SIGTERM');
  const start = performance.now();
  while ((await fetch(`${server}/ready`)).status !== 503)
    if (performance.now() - start > 5000) throw new Error('still ready');
  t.pass(`unready ${(performance.now() - start).toFixed()} ms after the signal`);
  const late = await post(8, 5);
  t.equal(late.status, 200, 'a request before the delay is over is answered');
  t.equal(late.headers.get('connection'), 'close', 'on a connection that then ends');
  await late.text();
  const texts = await Promise.all(streams.map((stream) => stream.text()));
  for (const text of texts) {
    t.ok(text.endsWith('data: [DONE]\n\n'), 'a stream is whole');
    t.equal(eventsOf(text).at(-1).choices[0].finish_reason, 'length');
  }
  t.deepEqual(await exit, [0, null], 'it ends with 0');
  const refused = await fetch(`${server}/health`).then(
    () => null,
    (error: Error) => error,
  );
  t.ok(refused !== null, 'and takes no connections');
});

test('streams that last too long are told so, and a second signal ends at once', async (t) => {
  const { child, url, exit } = startCommand(t, ['--drain-delay', '0', '--drain-timeout', '0.2']);
  const server = await url;
  const long = await fetch(`${server}/v1/chat/completions`, { method: 'POST', body: body(1, 4000) });
  child.kill('SIGINT');
  const events = eventsOf(await long.text());
  t.equal(events.at(-1).error.code, 'shutting_down');
  t.deepEqual(await exit, [0, null]);

  const other = startCommand(t, ['--drain-delay', '30']);
  await other.url;
  other.child.kill('SIGTERM');
  while (!other.log().includes('a second signal')) await new Promise((resolve) => setTimeout(resolve, 10));
  const start = performance.now();
  other.child.kill('SIGTERM');
  t.deepEqual(await other.exit, [143, null]);
  t.ok(performance.now() - start < 1000, `ended in ${(performance.now() - start).toFixed()} ms`);
});

test('a signal while the model loads ends the loading', async (t) => {
  const { child, exit } = startCommand(t, []);
  // Handlers are there before anything is loaded, which the first line of progress or of the log comes after.
  await new Promise((resolve) => setTimeout(resolve, 700));
  const start = performance.now();
  child.kill('SIGTERM');
  const [code] = await exit;
  t.ok(code === 143 || code === 0, `exit code ${code}`);
  t.ok(performance.now() - start < 6000, `ended in ${(performance.now() - start).toFixed()} ms`);
});
