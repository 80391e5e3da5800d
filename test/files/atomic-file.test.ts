/** Files that kexa writes for its users: whole or not there, and never in place of anything but a file. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'tape';
import { writeFileAtomic } from '../../lib/files/atomic-file.js';
import { writeJsonFile } from '../../lib/files/json-file.js';
import { root, temporaryFolder } from '../support/cli.js';
import { refuses } from '../support/small-model.js';

const isRoot = process.getuid?.() === 0;

test('a file is written, and its next version in its place', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'file.json');
  await writeFileAtomic(path, 'first', { mode: 0o600 });
  t.equal(readFileSync(path, 'utf8'), 'first');
  t.equal(statSync(path).mode & 0o777, 0o600, 'a new file has the mode that is asked for');
  chmodSync(path, 0o640);
  await writeFileAtomic(path, Uint8Array.of(1, 2, 3));
  t.deepEqual([...readFileSync(path)], [1, 2, 3]);
  t.equal(statSync(path).mode & 0o777, 0o640, 'one that is replaced keeps its own');
  await writeJsonFile(join(folder, 'a', 'b', 'c.json'), { d: 1 });
  t.equal(readFileSync(join(folder, 'a', 'b', 'c.json'), 'utf8'), '{"d":1}\n', 'folders are made where asked for');
  t.deepEqual(readdirSync(folder).sort(), ['a', 'file.json'], 'nothing else is there');
});

test('only a regular file is replaced', async (t) => {
  const folder = temporaryFolder(t);
  const target = join(folder, 'target');
  writeFileSync(target, 'kept');
  symlinkSync(target, join(folder, 'link'));
  symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'));
  mkdirSync(join(folder, 'folder'));
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  const server = createServer().listen(join(folder, 'socket'));
  await once(server, 'listening');
  t.teardown(() => server.close());
  const before = readdirSync(folder).sort();
  for (const [name, kind] of [
    ['link', 'a symbolic link'],
    ['dangling', 'a symbolic link'],
    ['folder', 'a folder'],
    ['fifo', 'a FIFO'],
    ['socket', 'a socket'],
  ] as const)
    await refuses(t, 'KEXA_WRITE_FAILED', [join(folder, name), `found ${kind}`], () =>
      writeFileAtomic(join(folder, name), 'new'),
    );
  for (const [path, words] of [
    [join(folder, 'missing', 'x'), ['no such folder', join(folder, 'missing')]],
    [join(target, 'x'), ['folder']],
    [join(folder, 'x'.repeat(300)), ['too long']],
    [join(folder, 'nul\0'), ['null bytes']],
  ] as const)
    await refuses(t, 'KEXA_WRITE_FAILED', [...words], () => writeFileAtomic(path, 'new'));
  t.deepEqual(readdirSync(folder).sort(), before, 'all is as it was');
  t.equal(readFileSync(target, 'utf8'), 'kept');
});

test('permissions are kept', isRoot ? { skip: 'root may write anywhere' } : {}, async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'kept');
  chmodSync(path, 0o444);
  await refuses(t, 'KEXA_WRITE_FAILED', [path, 'permission'], () => writeFileAtomic(path, 'new'));
  chmodSync(path, 0o644);
  chmodSync(folder, 0o555);
  await refuses(t, 'KEXA_WRITE_FAILED', [path, 'permission'], () => writeFileAtomic(path, 'new'));
  chmodSync(folder, 0o755);
  t.equal(readFileSync(path, 'utf8'), 'kept');
});

const program = `import { writeFileAtomic } from './lib/files/atomic-file.ts';`;

test('what cannot be written whole leaves the old file', (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'file.json');
  writeFileSync(path, 'kept');
  const code = `${program} await writeFileAtomic(${JSON.stringify(path)}, 'x'.repeat(1e6));`;
  // A limit on the size of files is the nearest to a full disk that a test can make. Blocks of 512 or 1,024 bytes.
  const command = 'ulimit -f 100; exec "$0" --import tsx --input-type=module -e "$1"';
  const { status, stderr } = spawnSync('sh', ['-c', command, process.execPath, code], { cwd: root, encoding: 'utf8' });
  t.ok(status === 1 && stderr.includes('KEXA_WRITE_FAILED') && stderr.includes('cannot be written'), stderr);
  t.equal(readFileSync(path, 'utf8'), 'kept');
  t.deepEqual(readdirSync(folder), ['file.json']);
  t.end();
});

test('writers of one file, in several processes, leave it whole at all times', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'file.json');
  await writeFileAtomic(path, JSON.stringify({ from: -1, text: '' }));
  const code = (from: number) => `${program}
    const text = 'x'.repeat(100000 + ${from});
    for (let i = 0; i < 20; i++) await Promise.all([1, 2, 3].map(() =>
      writeFileAtomic(${JSON.stringify(path)}, JSON.stringify({ from: ${from}, text }))));`;
  const ends = [0, 1, 2].map(async (from) => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code(from)], { cwd: root });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk;
    });
    const [status] = await once(child, 'close');
    t.equal(status, 0, errors);
  });
  let isOver = false;
  const all = Promise.all(ends).then(() => {
    isOver = true;
  });
  const seen = new Set<number>();
  while (!isOver) {
    const { from, text } = JSON.parse(readFileSync(path, 'utf8'));
    if (from >= 0 && text.length !== 100_000 + from) t.fail(`${text.length} letters from ${from}`);
    seen.add(from);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await all;
  t.ok(seen.size > 1, `seen from ${[...seen]}`);
  t.deepEqual(readdirSync(folder), ['file.json']);
});
