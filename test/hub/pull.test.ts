/** `kexa pull`, from a hub on this machine that behaves well and badly. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'tape';
import { hubReference } from '../../lib/files/hub-cache.js';
import { takeLock } from '../../lib/files/process-lock.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';
import {
  cached,
  filesBelow,
  hubEnvironment,
  isExact,
  noneIsHalf,
  pullHere,
  tinyFiles,
  totalBytes,
} from '../support/hub-folders.js';
import { killedPulls } from '../support/killed-pulls.js';
import { type HubFaults, LoopbackHub } from '../support/loopback-hub.js';
import { refuses } from '../support/small-model.js';

const small = {
  'config.json': Buffer.from('{}'),
  'folder/notes.txt': Buffer.from('two words'),
  'model.safetensors': Buffer.alloc(3_000_001, 'weights'),
  'other.safetensors': Buffer.alloc(3_000_001, 'weights'),
  'empty.txt': Buffer.alloc(0),
};

test('a pulled model answers by the name of its repository', async (t) => {
  const hub = await LoopbackHub.start(t, tinyFiles, { token: 'hf_secret' });
  const env = { ...hubEnvironment(t, hub), HF_TOKEN: 'hf_secret' };
  const run = await kexa(['pull', 'org/name'], { env });
  t.equal(run.code, 0, run.stderr);
  t.match(run.stderr, new RegExp(`^${Object.keys(tinyFiles).length} files, .* received in`));
  isExact(t, env, tinyFiles);
  t.equal(hub.leaked, 0, 'the token went to the hub alone');
  const ask = ['generate', '--temp', '0', '-n', '8', '--raw', '-p', 'In the beginning', '-m'];
  const answer = await kexa([...ask, 'hf:org/name'], { env });
  t.deepEqual(answer, await kexa([...ask, tiny]));
  t.match(answer.stdout, /\w/);
  const ids = ['tokenize', '-p', 'In the beginning', '--ids', '-m'];
  t.deepEqual(await kexa([...ids, 'hf:org/name@main'], { env }), await kexa([...ids, tiny]));
  const again = await kexa(['pull', 'org/name@main', '--json'], { env });
  t.equal((JSON.parse(again.stdout) as { receivedBytes: number }).receivedBytes, 0, 'nothing is brought twice');
  hub.close();
  const offline = await kexa(['pull', 'org/name', '--offline'], { env });
  t.deepEqual(offline, { code: 0, stdout: run.stdout, stderr: '' });
});

test('connections that break, busy servers, lies about sizes and expired addresses cost nothing twice', async (t) => {
  const faults: HubFaults = { cut: 0.4, busy: 0.1, lying: 0.15, expiry: 9 };
  const hub = await LoopbackHub.start(t, tinyFiles, faults, 7);
  const env = hubEnvironment(t, hub);
  const report = await pullHere(env, { segmentBytes: 1 << 20 });
  isExact(t, env, tinyFiles);
  t.ok(hub.requests > 30, `${hub.requests} requests`);
  const share = report.receivedBytes / totalBytes(tinyFiles);
  t.ok(share >= 1 && share <= 1.05, `received ${share.toFixed(4)} of the bytes`);
});

test('wrong bytes are brought again, and given up in the end', async (t) => {
  const hub = await LoopbackHub.start(t, small, { wrong: { 'model.safetensors': 2, 'config.json': 1 } });
  const env = hubEnvironment(t, hub);
  await pullHere(env, { segmentBytes: 1 << 20 });
  isExact(t, env, small);

  const liar = await LoopbackHub.start(t, small, { wrong: { 'model.safetensors': 99, 'other.safetensors': 99 } });
  const other = hubEnvironment(t, liar);
  await refuses(t, 'KEXA_DOWNLOAD_FAILED', ['model.safetensors', 'SHA-256', '3 times'], () => pullHere(other));
  noneIsHalf(t, other, small);
  t.notOk(existsSync(join(cached(other), 'snapshots')), 'no snapshot');
});

test('a hub without ranges serves, too', async (t) => {
  const hub = await LoopbackHub.start(t, small, { hasNoRanges: true, cut: 0.3 }, 3);
  const env = hubEnvironment(t, hub);
  await pullHere(env, { segmentBytes: 1 << 20, jobs: 2 });
  isExact(t, env, small);
});

test('all connections bring one file', async (t) => {
  const files = { 'model.gguf': Buffer.alloc(2_000_000, 'weights') };
  const hub = await LoopbackHub.start(t, files, { rate: 5e6 });
  const env = hubEnvironment(t, hub);
  await pullHere(env, { segmentBytes: 1 << 18 });
  isExact(t, env, files);
  t.ok(hub.mostAtOnce >= 4, `${hub.mostAtOnce} at the same time`);
});

test('names that lead out of the folder, and other listings that cannot be right, are refused', async (t) => {
  const oid = 'a'.repeat(40);
  const listings: [string, object][] = [
    ['a path', { path: '../x', size: 1, oid }],
    ['a path', { path: 'a/../../x', size: 1, oid }],
    ['a path', { path: '/etc/x', size: 1, oid }],
    ['a path', { path: 'a\\..\\x', size: 1, oid }],
    ['a path', { path: 'C:x', size: 1, oid }],
    ['a path', { path: 'a\0b', size: 1, oid }],
    ['a path', { path: 'a//b', size: 1, oid }],
    ['a path', { path: 'a/.Git/config', size: 1, oid }],
    ['a path', { path: 7, size: 1, oid }],
    ['a digest', { path: 'x', size: 1, oid: '../../../x' }],
    ['a digest', { path: 'x', size: 1, oid, lfs: { size: 1, oid: '../x' } }],
    ['a size', { path: 'x', size: -1, oid }],
    ['each path once', { path: 'CONFIG.json', size: 1, oid }],
    ['as both', { path: 'config.json/x', size: 1, oid }],
  ];
  for (const [words, entry] of listings) {
    const hub = await LoopbackHub.start(t, small, { listed: [{ type: 'file', ...entry }] });
    const env = hubEnvironment(t, hub);
    await refuses(t, 'KEXA_BAD_FILE', [words], () => pullHere(env));
    t.notOk(existsSync(env.HF_HOME), 'nothing was written');
    hub.close();
  }
  const huge = { type: 'file', path: 'x.safetensors', size: 2 ** 52, oid, lfs: { size: 2 ** 52, oid: 'b'.repeat(64) } };
  const hub = await LoopbackHub.start(t, small, { listed: [huge] });
  await refuses(t, 'KEXA_WRITE_FAILED', ['wanted room for'], () => pullHere(hubEnvironment(t, hub)));
  t.equal(hub.requests, 0, 'no file is begun without room for all');
});

test('names of repositories', (t) => {
  t.deepEqual(hubReference('org/name'), { repository: 'org/name', revision: 'main' });
  t.deepEqual(hubReference('o.r-g/n_a.m@refs/pr/1'), { repository: 'o.r-g/n_a.m', revision: 'refs/pr/1' });
  for (const name of ['name', 'a/b/c', '../b', 'a/..', 'a/b@', 'a/b@../../x', 'a--b/c', '/a', 'a/b@/x', 'a/.b'])
    t.throws(() => hubReference(name), /KexaError: repository: wanted org\/name/, name);
  t.end();
});

test('two pulls at once bring each byte once', async (t) => {
  const hub = await LoopbackHub.start(t, small, { rate: 10e6 });
  const env = hubEnvironment(t, hub);
  const runs = await Promise.all([0, 1].map(() => kexa(['pull', 'org/name', '--json'], { env })));
  const received = runs.map(({ stdout }) => (JSON.parse(stdout) as { receivedBytes: number }).receivedBytes);
  t.deepEqual(
    runs.map(({ code }) => code),
    [0, 0],
  );
  // Two files have the same bytes, which are brought once.
  t.deepEqual(
    received.sort((a, b) => a - b),
    [0, totalBytes(small) - small['other.safetensors'].length],
  );
  t.equal(runs.filter(({ stderr }) => stderr.includes('is bringing this model; waiting for it')).length, 1);
  isExact(t, env, small);
});

test('a pull that is killed again and again goes on from where it was', async (t) => {
  await killedPulls(t, tinyFiles, { rate: 4e6, kills: { least: 2, most: 4 } });
});

test('a plain folder', async (t) => {
  const hub = await LoopbackHub.start(t, small);
  const env = hubEnvironment(t, hub);
  const folder = join(temporaryFolder(t), 'models', 'small');
  const isSame = () => Object.entries(small).every(([path, bytes]) => readFileSync(join(folder, path)).equals(bytes));
  t.equal((await pullHere(env, { to: folder })).folder, folder);
  t.deepEqual([isSame(), filesBelow(folder)], [true, Object.keys(small).sort()]);
  writeFileSync(join(folder, 'model.safetensors'), Buffer.alloc(3_000_001, 'damaged'));
  const { receivedBytes } = await pullHere(env, { to: folder });
  t.deepEqual([isSame(), receivedBytes], [true, 3_000_001], 'a damaged file is brought again, and no other');
  t.notOk(existsSync(env.HF_HOME), 'nothing in the cache');
});

test('gated models, and what is not there', async (t) => {
  const hub = await LoopbackHub.start(t, small, { token: 'right' });
  const env = hubEnvironment(t, hub);
  const gated = await kexa(['pull', 'org/name'], { env });
  t.equal(gated.code, 1);
  t.match(
    gated.stderr,
    /refuses \(Access to model org\/name is restricted\.\); .*HF_TOKEN.*accept its terms at http.*\/org\/name\n$/,
  );
  const wrong = await kexa(['pull', 'org/name'], { env: { ...env, HF_TOKEN: 'wrong' } });
  t.match(wrong.stderr, /the token may not read it/);
  t.notOk(gated.stderr.includes('wrong') || wrong.stderr.includes('wrong'), 'the token is not shown');
  mkdirSync(env.HF_HOME, { recursive: true });
  writeFileSync(join(env.HF_HOME, 'token'), 'right\n');
  t.equal((await kexa(['pull', 'org/name'], { env })).code, 0, 'the token of "hf auth login"');
  const missing = await kexa(['pull', 'org/other'], { env });
  t.deepEqual([missing.code, /no such repository, revision or file/.test(missing.stderr)], [1, true]);
  const absent = await kexa(['generate', '-m', 'hf:org/other', '-p', 'x'], { env });
  t.match(absent.stderr, /hf:org\/other: revision main is not in .*; bring it with "kexa pull org\/other"\n$/);
  const unreachable = await kexa(['pull', 'org/name', '--offline'], { env: { ...env, HF_HOME: `${env.HF_HOME}2` } });
  t.equal(unreachable.code, 1);
});

test('a licence is shown and accepted once', async (t) => {
  const files = { ...small, LICENSE: Buffer.from('You may look at it.\n') };
  const hub = await LoopbackHub.start(t, files, { card: { license: 'other', license_name: 'k-exaone' } });
  const env = hubEnvironment(t, hub);
  const asked = await kexa(['pull', 'org/name'], { env });
  t.equal(asked.code, 2);
  t.match(
    asked.stderr,
    /^You may look at it\.\n\nkexa: the licence above, k-exaone, has to be accepted: add --accept-license/,
  );
  t.notOk(existsSync(env.HF_HOME), 'nothing was brought');
  t.equal((await kexa(['pull', 'org/name', '--accept-license'], { env })).code, 0);
  t.equal((await kexa(['pull', 'org/name'], { env })).code, 0, 'the second time without');
  files.LICENSE = Buffer.from('You may not even look at it.\n');
  const later = await LoopbackHub.start(t, files, { card: { license: 'other', license_name: 'k-exaone' } });
  t.equal((await kexa(['pull', 'org/name'], { env: { ...env, HF_ENDPOINT: later.endpoint } })).code, 2, 'a new text');
  later.faults.card = { license: 'apache-2.0' };
  t.equal((await kexa(['pull', 'org/name'], { env: { ...env, HF_ENDPOINT: later.endpoint } })).code, 0, 'an open one');
});

test('the files that are brought', async (t) => {
  const name = (path: string) => [path, Buffer.from(path)] as const;
  const ggufs = Object.fromEntries(
    ['a-Q4_K_M.gguf', 'a-Q8_0-00001-of-00002.gguf', 'a-Q8_0-00002-of-00002.gguf'].map(name),
  );
  const hub = await LoopbackHub.start(t, {
    ...ggufs,
    'README.md': Buffer.from('a'),
    'mmproj-a.gguf': Buffer.from('b'),
  });
  const env = hubEnvironment(t, hub);
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['include', 'a-Q4_K_M.gguf', 'a-Q8_0-00001-of-00002.gguf'], () =>
    pullHere(env),
  );
  const { folder } = await pullHere(env, { include: ['*Q8_0*'] });
  t.deepEqual(readdirSync(folder), ['a-Q8_0-00001-of-00002.gguf', 'a-Q8_0-00002-of-00002.gguf']);
  await pullHere(env, { include: ['README.??'] });
  t.deepEqual(readdirSync(folder).length, 3, 'files come to those that are there');
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['*.bin'], () => pullHere(env, { include: ['*.bin'] }));
  const mixed = { ...small, ...ggufs, 'pytorch_model.bin': Buffer.from('c'), 'picture.png': Buffer.from('d') };
  const other = await LoopbackHub.start(t, mixed);
  const own = hubEnvironment(t, other);
  await pullHere(own);
  isExact(t, own, small);
});

test('a lock is held by one, and not by a dead process', async (t) => {
  const path = join(temporaryFolder(t), 'work');
  const first = await takeLock(path);
  if (!('lock' in first)) return t.fail('the lock is free');
  const second = await takeLock(path);
  t.deepEqual('holder' in second && [second.holder.pid, second.holder.isHere], [process.pid, true]);
  await first.lock[Symbol.asyncDispose]();
  const dead = await kexa(['--version']);
  t.equal(dead.code, 0);
  // A process of this number and start is not there: process 1 began earlier.
  const [, host] = /lock-([0-9a-f]{8})-/.exec((second as { holder: { claim: string } }).holder.claim)!;
  writeFileSync(`${path}.lock-${host}-1-99999999999`, '');
  writeFileSync(`${path}.lock-${host}-4194305-1`, '');
  const third = await takeLock(path);
  t.ok('lock' in third, 'claims of dead processes do not count');
  t.equal(readdirSync(join(path, '..')).length, 1, 'and are removed');
  if ('lock' in third) await third.lock[Symbol.asyncDispose]();
  // The shell puts another program in its place, which does not ask for the end of the child.
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => parent.kill());
  const [pid] = String(await once(parent.stdout, 'data')).split('\n');
  const fieldsOf = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  if (existsSync(`/proc/${pid}/stat`)) {
    while (fieldsOf()[0] !== 'Z') await sleep(5);
    writeFileSync(`${path}.lock-${host}-${pid}-${fieldsOf()[19]}`, '');
    const fourth = await takeLock(path);
    t.ok('lock' in fourth, 'nor does that of a process whose parent has not noted its end');
    if ('lock' in fourth) await fourth.lock[Symbol.asyncDispose]();
  }
  writeFileSync(`${path}.lock-01234567-1-1`, '');
  const other = await takeLock(path);
  t.deepEqual('holder' in other && other.holder.isHere, false, 'another machine');
  t.ok(statSync(`${path}.lock-01234567-1-1`).isFile());
});
