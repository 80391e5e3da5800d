/** `kexa batch` killed 100 times, and on a disk that is full. `batch/batch` has the short form. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { killedBatches, writeRequests } from '../support/batches.js';
import { bin, environment, kexa, temporaryFolder, tiny } from '../support/cli.js';

test('2,000 rows and 100 kills', async (t) => {
  const input = writeRequests(t, 2000);
  const whole = join(temporaryFolder(t), 'whole.jsonl');
  t.equal((await kexa(['batch', 'run', '-m', tiny, input, '-o', whole])).code, 0);
  await killedBatches(t, input, whole, 100);
});

test('20 runs that may write no more than the journal has and a little', async (t) => {
  const input = writeRequests(t, 200);
  const whole = join(temporaryFolder(t), 'whole.jsonl');
  t.equal((await kexa(['batch', 'run', '-m', tiny, input, '-o', whole])).code, 0);
  const output = join(temporaryFolder(t), 'out.jsonl');
  const args = ['batch', 'run', '-m', tiny, input, '-o', output];
  let refused = 0;
  for (let round = 0; round < 20 && !existsSync(output); round++) {
    const journal = statSync(`${output}.kexa/journal`, { throwIfNoEntry: false })?.size ?? 0;
    // The shell's limit of a file's size (1024 bytes a unit) ends a write in the middle, as a full disk does.
    const limit = Math.ceil(journal / 1024) + 7;
    const command = `ulimit -f ${limit}; trap '' XFSZ; exec "$@"`;
    const child = spawn('bash', ['-c', command, 'bash', process.execPath, bin, ...args], { env: environment });
    let notes = '';
    child.stderr.on('data', (text) => {
      notes += text;
    });
    const [code] = (await once(child, 'close')) as [number];
    if (code === 1 && /cannot be written: (the disk is full|it is larger than a file may be here)/.test(notes))
      refused++;
    else if (code !== 0) t.fail(`ended with ${code}: ${notes}`);
  }
  t.ok(refused >= 5, `${refused} runs were stopped by the limit`);
  t.equal((await kexa(args)).code, 0);
  t.ok(readFileSync(output).equals(readFileSync(whole)), 'byte for byte the output of an uninterrupted run');
});
