/** The places that files of a repository come to: the cache of Hugging Face's tools, or a plain folder. */
import { copyFile, mkdir, readdir, readlink, rename, rm, rmdir, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { replaceFile, writeError, writeFileAtomic } from '../files/atomic-file.js';
import { repositoryFolder } from '../files/hub-cache.js';
import { isFile } from './digest.js';
import type { HubFile, HubListing } from './listing.js';

/** A place for files. No file gets its name there before it is whole and has the listed digest. */
export interface Store {
  /** The path that {@link takeLock} locks. */
  lockPath: string;
  /** The folder whose disk holds the files. */
  folder: string;
  /** Whether the file is there, whole. */
  has(file: HubFile, signal: AbortSignal | undefined): Promise<boolean>;
  /** The path of the part file, while the file is brought. */
  partOf(file: HubFile): string;
  /** Gives a part the names of the files that it is. All of them have the same bytes. */
  keep(part: string, files: readonly HubFile[]): Promise<void>;
  /** Makes the model's folder of files that are all there. Returns the folder. */
  finish(files: readonly HubFile[]): Promise<string>;
}

/**
 * The cache of Hugging Face's tools: the folder `blobs` with files named by digest, `snapshots` with links to them, and
 * `refs` with the commit of each branch. Parts have names of kexa's own: another tool would go on at a part's end, and these
 * parts have holes.
 */
export function cacheStore(cache: string, { repository, revision, commit }: HubListing): Store {
  const folder = repositoryFolder(resolve(cache), repository);
  const blobOf = ({ digest }: HubFile) => join(folder, 'blobs', digest.hex);
  return {
    lockPath: join(folder, 'kexa-pull'),
    folder: join(folder, 'blobs'),
    async has(file) {
      return (await stat(blobOf(file)).catch(() => null))?.size === file.size;
    },
    partOf: (file) => `${blobOf(file)}.kexa-part`,
    keep: async (part, [file]) => await replaceFile(part, blobOf(file!)),
    async finish(files) {
      const snapshot = join(folder, 'snapshots', commit);
      const isNew = (await stat(snapshot).catch(() => null)) === null;
      // A new snapshot is made beside its place, so that nobody meets half of one.
      const made = isNew ? join(folder, 'kexa-snapshot', commit) : snapshot;
      try {
        if (isNew) await rm(made, { recursive: true, force: true });
        for (const file of files) await link(join(made, file.path), join(snapshot, file.path), blobOf(file));
        await mkdir(dirname(snapshot), { recursive: true });
        if (isNew) await rename(made, snapshot);
        await rm(join(folder, 'kexa-snapshot'), { recursive: true, force: true });
      } catch (cause) {
        throw writeError(snapshot, cause);
      }
      const ref = join(folder, 'refs', ...revision.split('/'));
      if (revision !== commit) await writeFileAtomic(ref, commit, { makesFolder: true });
      return snapshot;
    },
  };
}

/** Makes a link at `path` that leads to `blob` once it lies at `place`. Replaces a link that leads elsewhere. */
async function link(path: string, place: string, blob: string): Promise<void> {
  const target = relative(dirname(place), blob);
  const found = await readlink(path).catch(() => null);
  if (found === target) return;
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.kexa-link`;
  await rm(part, { force: true });
  await symlink(target, part);
  await rename(part, path);
}

/** A plain folder. Parts lie in `.kexa-pull` in it. A file that is there is read whole, and kept if it is the right one. */
export function folderStore(given: string): Store {
  const folder = resolve(given);
  const parts = join(folder, '.kexa-pull');
  const placeOf = ({ path }: HubFile) => join(folder, ...path.split('/'));
  return {
    lockPath: parts,
    folder: parts,
    async has(file, signal) {
      const found = await stat(placeOf(file)).catch(() => null);
      return found?.size === file.size && (await isFile(placeOf(file), file, signal));
    },
    partOf: ({ digest }) => join(parts, digest.hex),
    async keep(part, files) {
      for (const [i, file] of files.entries()) {
        const place = placeOf(file);
        const isLast = i === files.length - 1;
        const own = isLast ? part : `${part}.copy`;
        try {
          await mkdir(dirname(place), { recursive: true });
          if (!isLast) await copyFile(part, own);
        } catch (cause) {
          throw writeError(place, cause);
        }
        await replaceFile(own, place);
      }
    },
    async finish() {
      // A part of another pull may be there, which a later pull goes on with.
      if ((await readdir(parts).catch(() => ['none'])).length === 0) await rmdir(parts);
      return folder;
    },
  };
}
