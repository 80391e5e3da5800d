/** Removes pulled models from the cache. */
import { randomBytes } from 'node:crypto';
import { lstat, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KexaError } from '../errors.js';
import { writeError } from '../files/atomic-file.js';
import {
  hubCache,
  hubReference,
  listPulled,
  namesIn,
  type PulledModel,
  repositoryFolder,
  withoutHubPrefix,
} from '../files/hub-cache.js';
import { holderText, takeLock } from '../files/process-lock.js';

/** The revisions to remove, and what that frees. */
export interface Removal {
  repository: string;
  models: PulledModel[];
  /** The files that no other revision has. */
  blobs: string[];
  /** Their size (bytes). */
  bytes: number;
  /** The repository's folder if no revision is left. Null if one is. */
  folder: string | null;
}

/**
 * Finds what `org/name`, all revisions of it, or `org/name@revision` is in the cache: a branch, a tag or the first seven
 * digits of a commit and more. Removes nothing.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_NOT_FOUND
 */
export async function planRemoval(given: string, cache: string = hubCache()): Promise<Removal> {
  const name = withoutHubPrefix(given);
  const { repository, revision } = hubReference(name);
  const all = (await listPulled(cache)).filter((model) => model.repository === repository);
  const isNamed = ({ refs, commit }: PulledModel) =>
    refs.includes(revision) || (/^[0-9a-f]{7,40}$/.test(revision) && commit.startsWith(revision));
  const models = name.includes('@') ? all.filter(isNamed) : all;
  const folder = repositoryFolder(cache, repository);
  const isAll = models.length === all.length;
  const blobs = await namesIn(join(folder, 'blobs'));
  if (models.length === 0 && !(isAll && blobs.length > 0)) {
    const there = all.map(({ refs, commit }) => [...refs, commit.slice(0, 12)].join(' = ')).join(', ');
    throw new KexaError('KEXA_NOT_FOUND', `${name}: not in ${cache}${there === '' ? '' : `; there is ${there}`}`);
  }
  const kept = new Set(
    all.filter((model) => !models.includes(model)).flatMap(({ files }) => files.map(({ blob }) => blob)),
  );
  // Parts of files, and files of no revision, go with the last one.
  const lost = isAll ? blobs.map((blob) => join(folder, 'blobs', blob)) : ownBlobs(models, kept, folder);
  let bytes = 0;
  // A part has holes, so the blocks on the disk count, not its length.
  for (const blob of lost) {
    const found = await lstat(blob).catch(() => null);
    bytes += found === null ? 0 : Math.min(found.size, found.blocks * 512);
  }
  return { repository, models, blobs: lost, bytes, folder: isAll ? folder : null };
}

/** The files of `models` that lie among the repository's blobs and are not in `kept`. */
function ownBlobs(models: readonly PulledModel[], kept: ReadonlySet<string>, folder: string): string[] {
  const blobs = models.flatMap(({ files }) => files.map(({ blob }) => blob));
  return [...new Set(blobs)].filter((blob) => !kept.has(blob) && basename(dirname(dirname(blob))) === basename(folder));
}

/**
 * Removes what {@link planRemoval} found. Names go first, so that a run that is stopped leaves no model that lacks files.
 *
 * @throws KexaError KEXA_BUSY if a process brings the model; KEXA_WRITE_FAILED
 */
export async function remove(
  { repository, models, blobs, folder }: Removal,
  cache: string = hubCache(),
): Promise<void> {
  const own = repositoryFolder(cache, repository);
  const taken = await takeLock(join(own, 'kexa-pull'));
  if ('holder' in taken)
    throw new KexaError(
      'KEXA_BUSY',
      `${repository}: ${holderText(taken.holder)} is bringing it, by ${taken.holder.claim}`,
    );
  try {
    await using _ = taken.lock;
    for (const model of models) {
      for (const ref of model.refs) await rm(join(own, 'refs', ...ref.split('/')), { force: true });
      const trash = join(own, `kexa-removed-${randomBytes(4).toString('hex')}`);
      await rename(model.folder, trash);
      await rm(trash, { recursive: true, force: true });
    }
    // A revision that was pulled since this was planned keeps its files.
    const left = (await listPulled(cache)).filter((model) => model.repository === repository);
    const kept = new Set(left.flatMap(({ files }) => files.map(({ blob }) => basename(blob))));
    if (folder === null || left.length > 0)
      for (const blob of blobs.filter((each) => !kept.has(basename(each)))) await rm(blob, { force: true });
    else for (const name of ['blobs', 'refs', 'snapshots']) await rm(join(own, name), { recursive: true, force: true });
  } catch (cause) {
    throw writeError(own, cause);
  }
  // Another tool may keep something of its own in the folder.
  if (folder !== null) await rmdir(folder).catch(() => {});
}
