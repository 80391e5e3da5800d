/** `kexa models` and `kexa rm`. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { planRemoval, remove } from '../../lib/hub/remove.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';
import { cached, hubEnvironment, pullHere, tinyFiles, totalBytes } from '../support/hub-folders.js';
import { commit, LoopbackHub } from '../support/loopback-hub.js';

const size = totalBytes(tinyFiles);

interface Listed {
  name: string;
  commit: string | null;
  bytes: number;
  modelType: string | null;
  problem: string | null;
  fits: { device: string; fits: boolean }[];
}

test('models that were pulled are listed, and removed', async (t) => {
  const hub = await LoopbackHub.start(t, tinyFiles);
  const env = hubEnvironment(t, hub);
  const none = await kexa(['models'], { env });
  t.deepEqual(
    [none.code, none.stdout, /no models in .*hub; "kexa pull ORG\/NAME" brings one/.test(none.stderr)],
    [0, '', true],
  );
  await pullHere(env);
  // A second revision has other weights' names and the same config.
  const other = join(cached(env), 'snapshots', 'f'.repeat(40));
  mkdirSync(other);
  cpSync(join(cached(env), 'snapshots', commit, 'config.json'), join(other, 'config.json'), { verbatimSymlinks: true });
  const listed = JSON.parse((await kexa(['models', '--json'], { env })).stdout) as Listed[];
  t.deepEqual(
    listed.map(({ name, bytes, modelType }) => [name, bytes, modelType]),
    [
      ['hf:org/name', size, 'exaone_moe'],
      [`hf:org/name@${'f'.repeat(12)}`, tinyFiles['config.json']!.length, null],
    ],
  );
  t.ok(
    listed[0]!.fits.some(({ device, fits }) => device === 'CPU' && fits),
    'it fits this machine',
  );
  t.match(listed[1]!.problem!, /safetensors/);
  const text = await kexa(['models'], { env });
  t.match(text.stdout, /^name +on disk +type +takes +fits\nhf:org\/name +22\.4 MiB +exaone_moe +4\d\.\d MiB +.*CPU\n/);
  t.match(text.stdout, /\n2 models, 22\.4 MiB\nhf:org\/name@f{12} is not run: /);

  const asked = await kexa(['rm', 'org/name'], { env });
  t.deepEqual([asked.code, asked.stdout], [2, ''], 'a pipe cannot be asked');
  t.match(asked.stderr, /takes 22\.4 MiB: add --yes/);
  const first = await kexa(['rm', 'org/name@main', '--yes', '--json'], { env });
  const freed = size - tinyFiles['config.json']!.length;
  t.deepEqual(JSON.parse(first.stdout), { repository: 'org/name', commits: [commit], bytes: freed });
  t.ok(readFileSync(join(other, 'config.json')).equals(tinyFiles['config.json']!), 'what another revision has stays');
  t.deepEqual(readdirSync(join(cached(env), 'blobs')).length, 1);
  t.equal((await kexa(['rm', 'hf:org/name@fffffff', '-y'], { env })).code, 0);
  t.notOk(existsSync(cached(env)), 'nothing is left');
  const gone = await kexa(['rm', 'org/name', '-y'], { env });
  t.deepEqual([gone.code, /org\/name: not in /.test(gone.stderr)], [1, true]);
  const outside = await kexa(['rm', '../../name', '-y'], { env });
  t.equal(outside.code, 1);
});

test('models in a folder are listed', async (t) => {
  const folder = temporaryFolder(t);
  cpSync(tiny, join(folder, 'tiny'), { recursive: true });
  mkdirSync(join(folder, 'else'));
  writeFileSync(join(folder, 'damaged.gguf'), 'GGUF');
  const listed = JSON.parse((await kexa(['models', folder, '--json'])).stdout) as Listed[];
  t.deepEqual(
    listed.map(({ name, modelType }) => [name, modelType]),
    [
      [join(folder, 'damaged.gguf'), null],
      [join(folder, 'tiny'), 'exaone_moe'],
    ],
  );
  t.equal((await kexa(['models', join(folder, 'none')])).code, 1);
});

test('a revision that comes between the question and the answer keeps its files', async (t) => {
  const cache = temporaryFolder(t);
  const folder = join(cache, 'models--org--name');
  const blob = 'a'.repeat(40);
  mkdirSync(join(folder, 'blobs'), { recursive: true });
  for (const name of [blob, 'b'.repeat(40)]) writeFileSync(join(folder, 'blobs', name), name);
  const addRevision = (letter: string) => {
    const snapshot = join(folder, 'snapshots', letter.repeat(40));
    mkdirSync(snapshot, { recursive: true });
    symlinkSync(join('..', '..', 'blobs', blob), join(snapshot, 'config.json'));
    return snapshot;
  };
  addRevision('1');
  const removal = await planRemoval('org/name', cache);
  t.equal(removal.folder, folder, 'the whole repository is to go');
  const later = addRevision('2');
  await remove(removal, cache);
  t.equal(readFileSync(join(later, 'config.json'), 'utf8'), blob);
  t.deepEqual(readdirSync(join(folder, 'snapshots')), ['2'.repeat(40)]);
  t.deepEqual(readdirSync(join(folder, 'blobs')), [blob]);
});
