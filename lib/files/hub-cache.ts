/** The folder in which tools of Hugging Face keep what they downloaded, and the models in it. */
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { variable } from '../environment.js';
import { KexaError } from '../errors.js';
import { fileError } from './json-file.js';

/** A repository of a hub, and one of its revisions: a branch, a tag or a commit. */
export interface HubReference {
  /** `org/name`. */
  repository: string;
  /** Default `main`. */
  revision: string;
}

/** A revision of a repository as it lies on this disk. */
export interface PulledModel {
  repository: string;
  /** The commit: 40 hexadecimal digits. */
  commit: string;
  /** The branches and tags that stood for this commit when they were pulled. */
  refs: string[];
  /** The folder with the model's files. */
  folder: string;
  /** The files, links followed, with the size of each (bytes). Null for a link that leads nowhere. */
  files: { path: string; blob: string; bytes: number | null }[];
  /** The sum of the files (bytes). */
  bytes: number;
}

/** The beginning of a model's name that stands for a repository: `hf:org/name`. */
export const hubPrefix = 'hf:';

/**
 * Reads `org/name` or `org/name@revision`.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT
 * @example
 * hubReference('LGAI-EXAONE/K-EXAONE-236B-A23B@main');
 */
export function hubReference(text: string): HubReference {
  const [, repository, revision = 'main'] = /^([^/@]+\/[^/@]+)(?:@(.+))?$/.exec(text) ?? [];
  const parts = repository?.split('/') ?? [];
  // A folder's name joins both parts by two hyphens, so neither part may hold two.
  const isName = (part: string) => /^[A-Za-z0-9][\w.-]{0,95}$/.test(part) && !/--|\.\./.test(part);
  if (repository !== undefined && parts.every(isName) && isSafePath(revision)) return { repository, revision };
  throw new KexaError(
    'KEXA_INVALID_ARGUMENT',
    `repository: wanted org/name or org/name@revision, as in LGAI-EXAONE/K-EXAONE-236B-A23B, found ${JSON.stringify(text)}`,
  );
}

/**
 * Whether a path of a repository stays below the folder that it is put into, on every system: no empty part, no `.` or
 * `..`, no backslash, colon or control character, and nothing longer than a file's name may be. Nor does it lead into a
 * folder `.git`, where files tell git which programs to run.
 */
export function isSafePath(path: string): boolean {
  const isPart = (part: string) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    part !== '' && !/^\.(\.|git)?$|[\\:\u0000-\u001f\u007f]|[ .]$/i.test(part) && Buffer.byteLength(part) <= 200;
  return path.length <= 1024 && path.split('/').every(isPart);
}

/** The cache's folder: HF_HUB_CACHE, or `hub` in HF_HOME, else in `~/.cache/huggingface`. It need not exist. */
export function hubCache(): string {
  return variable('HF_HUB_CACHE') ?? join(hubHome(), 'hub');
}

/**
 * The folder of Hugging Face's tools, which also holds the token.
 *
 * @throws KexaError KEXA_NOT_FOUND if no variable names it and the user has no home folder
 */
export function hubHome(): string {
  const given = variable('HF_HOME');
  if (given !== undefined) return given;
  try {
    return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  } catch (cause) {
    throw new KexaError('KEXA_NOT_FOUND', 'HF_HOME: wanted a folder, found no home folder and no such variable', {
      cause,
    });
  }
}

/** The folder of a repository in the cache: `models--org--name`, with the folders `blobs`, `refs` and `snapshots`. */
export function repositoryFolder(cache: string, repository: string): string {
  return join(cache, `models--${repository.replace('/', '--')}`);
}

/** Whether a model's name is that of a repository, `hf:org/name`. */
function isHubName(name: unknown): name is string {
  return typeof name === 'string' && name.startsWith(hubPrefix);
}

/** A repository's name without `hf:`, if it begins with that. */
export function withoutHubPrefix(name: string): string {
  return isHubName(name) ? name.slice(hubPrefix.length) : name;
}

/**
 * The path that a model's name leads to. `hf:org/name` and `hf:org/name@revision` are the folder that was pulled; any
 * other name is a path and stays as it is. Nothing is downloaded.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT for a name that no repository has; KEXA_NOT_FOUND if it was not pulled
 */
export async function modelPathOf(name: string): Promise<string> {
  if (!isHubName(name)) return name;
  const given = withoutHubPrefix(name);
  const { repository, revision } = hubReference(given);
  const folder = repositoryFolder(hubCache(), repository);
  const commit = await commitOf(folder, revision);
  if (commit !== null) return join(folder, 'snapshots', commit);
  throw new KexaError(
    'KEXA_NOT_FOUND',
    `${name}: revision ${revision} is not in ${folder}; bring it with "kexa pull ${given}"`,
  );
}

/** The commit of a revision that is in the cache: of a branch, a tag, or a commit's first 7 digits or more. */
async function commitOf(folder: string, revision: string): Promise<string | null> {
  const snapshots = await namesIn(join(folder, 'snapshots'));
  const named = (await readFile(join(folder, 'refs', ...revision.split('/')), 'utf8').catch(() => '')).trim();
  if (snapshots.includes(named)) return named;
  if (!/^[0-9a-f]{7,40}$/.test(revision)) return null;
  const found = snapshots.filter((commit) => commit.startsWith(revision));
  return found.length === 1 ? found[0]! : null;
}

/** Every revision in the cache, by repository. @throws KexaError KEXA_BAD_FILE if the cache cannot be read */
export async function listPulled(cache: string = hubCache()): Promise<PulledModel[]> {
  const models: PulledModel[] = [];
  for (const name of (await namesIn(cache)).sort()) {
    const [, org, rest] = /^models--([^-].*?)--(.+)$/.exec(name) ?? [];
    if (org === undefined) continue;
    const folder = join(cache, name);
    const refs = await refsIn(join(folder, 'refs'));
    for (const commit of (await namesIn(join(folder, 'snapshots'))).filter((text) => /^[0-9a-f]{40}$/.test(text))) {
      const files = await filesIn(join(folder, 'snapshots', commit));
      models.push({
        repository: `${org}/${rest}`,
        commit,
        refs: refs.filter((ref) => ref.commit === commit).map((ref) => ref.name),
        folder: join(folder, 'snapshots', commit),
        files,
        bytes: files.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0),
      });
    }
  }
  return models;
}

/** The files below a snapshot, with the file that each link leads to. */
export async function filesIn(folder: string, below = ''): Promise<PulledModel['files']> {
  const files: PulledModel['files'] = [];
  for (const name of (await namesIn(join(folder, below))).sort()) {
    const path = below === '' ? name : `${below}/${name}`;
    const whole = join(folder, path);
    if ((await lstat(whole)).isDirectory()) files.push(...(await filesIn(folder, path)));
    else {
      const bytes = await stat(whole).then(
        ({ size }) => size,
        () => null,
      );
      files.push({ path, blob: bytes === null ? whole : await realpath(whole), bytes });
    }
  }
  return files;
}

/** The branches and tags of a repository in the cache. A name may hold slashes, as `refs/pr/1` does. */
async function refsIn(folder: string, below = ''): Promise<{ name: string; commit: string }[]> {
  const refs: { name: string; commit: string }[] = [];
  for (const entry of await namesIn(join(folder, below))) {
    const name = below === '' ? entry : `${below}/${entry}`;
    if ((await stat(join(folder, name))).isDirectory()) refs.push(...(await refsIn(folder, name)));
    else refs.push({ name, commit: (await readFile(join(folder, name), 'utf8')).trim() });
  }
  return refs;
}

/** The names in a folder. None if there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const error = fileError(folder, cause);
    if (error.code === 'KEXA_NOT_FOUND') return [];
    throw error;
  }
}
