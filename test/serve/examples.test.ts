/** The examples of clients run as they stand. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'tape';
import { root } from '../support/cli.js';
import { eventsOf, startServer } from '../support/server.js';

const run = promisify(execFile);

test('the examples of clients print an answer', async (t) => {
  const server = await startServer(t);
  // The clients are installed for the tests alone.
  const folder = join(root, 'test/examples-of-clients');
  mkdirSync(folder, { recursive: true });
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['06-openai-client.mjs', '07-langchain.mjs']) {
    copyFileSync(join(root, 'examples', name), join(folder, name));
    const { stdout } = await run(process.execPath, [join(folder, name), server.url]);
    t.ok(stdout.trim().length > 20, `${name}: ${JSON.stringify(stdout.slice(0, 60))}`);
  }
  const { stdout } = await run('sh', [join(root, 'examples/08-curl.sh'), server.url]);
  const [whole, ...stream] = stdout.split('\n');
  t.ok(JSON.parse(whole!).choices[0].message.content, 'curl');
  t.ok(eventsOf(stream.join('\n')).length > 2, 'and its stream');
});
