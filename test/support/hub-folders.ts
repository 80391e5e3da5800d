/** Folders of pulled models, and what must be true of them. */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tape';
import { type PullOptions, type PullReport, pull } from '../../lib/hub/pull.js';
import { temporaryFolder, tiny } from './cli.js';
import { commit, type LoopbackHub, sha256 } from './loopback-hub.js';

/** The files of the tiny model, for a hub to serve. */
export const tinyFiles: Readonly<Record<string, Buffer>> = Object.fromEntries(
  readdirSync(tiny).map((name) => [name, readFileSync(join(tiny, name))]),
);

/** The bytes of all files. */
export function totalBytes(files: Readonly<Record<string, Buffer>>): number {
  return Object.values(files).reduce((sum, { length }) => sum + length, 0);
}

/** Variables for a program that pulls from a hub into an empty cache. */
export function hubEnvironment(t: Test, hub: LoopbackHub): Record<string, string> & { HF_HOME: string } {
  const folder = temporaryFolder(t);
  return {
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: join(folder, 'hf'),
    HF_HUB_CACHE: '',
    HF_TOKEN: '',
    HF_HUB_OFFLINE: '',
    XDG_STATE_HOME: join(folder, 'state'),
  };
}

/** Pulls in this process, with the variables of {@link hubEnvironment} set meanwhile. */
export async function pullHere(env: Record<string, string>, options: PullOptions = {}): Promise<PullReport> {
  const before = Object.fromEntries(Object.keys(env).map((name) => [name, process.env[name]]));
  Object.assign(process.env, env);
  try {
    return await pull('org/name', options);
  } finally {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
}

/** The repository's folder in the cache. */
export const cached = (env: { HF_HOME: string }): string => join(env.HF_HOME, 'hub', 'models--org--name');

/** Checks that a snapshot holds the files, that its blobs are those files, and that nothing else lies in the cache. */
export function isExact(t: Test, env: { HF_HOME: string }, files: Record<string, Buffer>): void {
  const folder = cached(env);
  const snapshot = join(folder, 'snapshots', commit);
  isWhole(t, snapshot, files);
  t.ok(
    Object.keys(files).every((path) => lstatSync(join(snapshot, path)).isSymbolicLink()),
    'are links to blobs',
  );
  t.equal(readFileSync(join(folder, 'refs', 'main'), 'utf8'), commit);
  t.deepEqual(readdirSync(folder).sort(), ['blobs', 'refs', 'snapshots']);
  const blobs = new Set(Object.values(files).map((bytes) => sha256(bytes)));
  t.equal(readdirSync(join(folder, 'blobs')).length, blobs.size, 'nothing but blobs');
}

function isWhole(t: Test, snapshot: string, files: Record<string, Buffer>): void {
  t.deepEqual(filesBelow(snapshot), Object.keys(files).sort(), 'the files of the snapshot');
  const wrong = Object.entries(files).filter(([path, bytes]) => !readFileSync(join(snapshot, path)).equals(bytes));
  t.deepEqual(
    wrong.map(([path]) => path),
    [],
    'their bytes',
  );
}

/** Every file that has its name is whole. */
export function noneIsHalf(t: Test, env: { HF_HOME: string }, files: Record<string, Buffer>): void {
  const blobs = join(cached(env), 'blobs');
  const whole = new Set(Object.values(files).map((bytes) => sha256(bytes)));
  const named = existsSync(blobs) ? readdirSync(blobs).filter((name) => /^[0-9a-f]{40,64}$/.test(name)) : [];
  const half = named.filter((name) => !whole.has(sha256(readFileSync(join(blobs, name)))));
  if (half.length > 0) t.fail(`not whole: ${half.join(', ')}`);
  const snapshot = join(cached(env), 'snapshots', commit);
  if (existsSync(snapshot)) isWhole(t, snapshot, files);
}

export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
