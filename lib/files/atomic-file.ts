/** Writes files in one step: a file is whole or not there, and the old file stays until the new one is whole. */
import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { access, type FileHandle, lstat, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { KexaError } from '../errors.js';

export interface AtomicWriteOptions {
  /** Permissions of a new file, without the process's mask. A file that is replaced keeps its own. Default 0o666. */
  mode?: number;
  /** Whether to make the folders of the file that are missing. Default false. */
  makesFolder?: boolean;
}

let written = 0;

/**
 * Writes a file as a whole. The bytes go to a new file beside it, of a name that nobody else has, and from there to the
 * disk; then that file takes the place of the old one. Whatever fails, the old file is as it was and the new one is
 * gone.
 *
 * Only a regular file is ever replaced. A folder, device, FIFO or symbolic link at that place is refused, and so is a
 * file without permission to write.
 *
 * @throws KexaError KEXA_WRITE_FAILED
 * @example
 * await writeFileAtomic('conversation.json', JSON.stringify(messages));
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  { mode = 0o666, makesFolder = false }: AtomicWriteOptions = {},
): Promise<void> {
  try {
    if (makesFolder) await mkdir(dirname(path), { recursive: true });
    const old = await checkPlace(path);
    const part = partName(path);
    const file = await open(part, 'wx', mode);
    try {
      try {
        if (old !== null) await keepOwner(file, old);
        await file.writeFile(data);
        await file.sync();
      } finally {
        await file.close();
      }
      await replaceFile(part, path);
    } catch (cause) {
      await rm(part, { force: true });
      throw cause;
    }
  } catch (cause) {
    throw writeError(path, cause);
  }
}

/**
 * Checks that a file can be put at `path`: there is none or a regular one that may be written, in a folder that may be
 * written. Returns what is known of the one that is there.
 *
 * @throws KexaError KEXA_WRITE_FAILED
 */
export async function checkPlace(path: string): Promise<Stats | null> {
  try {
    const folder = dirname(path);
    const found = await stat(folder).catch(notThere);
    if (found === null)
      throw new KexaError('KEXA_WRITE_FAILED', `${path}: cannot be written: no such folder ${folder}`);
    const old = await statsAt(path);
    // Whoever may write in the folder may replace any file of it, but not against that file's own permissions.
    if (old !== null) await access(path, constants.W_OK);
    await access(folder, constants.W_OK | constants.X_OK);
    return old;
  } catch (cause) {
    throw writeError(path, cause);
  }
}

/**
 * Gives the file `part` the name `path`, in the same folder.
 *
 * @throws KexaError KEXA_WRITE_FAILED, also where something else than a file has come to that place meanwhile
 */
export async function replaceFile(part: string, path: string): Promise<void> {
  try {
    await statsAt(path);
    await rename(part, path);
  } catch (cause) {
    throw writeError(path, cause);
  }
  // The name outlives a power failure only once the folder is on the disk. Some file systems cannot do that.
  const folder = await open(dirname(path), constants.O_RDONLY).catch(() => null);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

/** Gives an open file the owner and permissions that another one has. */
export async function keepOwner(file: FileHandle, old: Stats): Promise<void> {
  const own = await file.stat();
  // Only root can give a file away; without, the file is of whoever wrote it, as with any editor.
  if (own.uid !== old.uid || own.gid !== old.gid) await file.chown(old.uid, old.gid).catch(() => {});
  await file.chmod(old.mode & 0o7777);
}

/** Turns a failed write into the error to throw; a KexaError passes through. */
export function writeError(path: string, cause: unknown): KexaError {
  if (cause instanceof KexaError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  const reason = (code !== undefined && reasons[code]) || message;
  return new KexaError('KEXA_WRITE_FAILED', `${path}: cannot be written: ${reason}`, { cause });
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'it is larger than a file may be here',
  ENAMETOOLONG: 'its name is too long',
  ENOENT: 'no such file or folder',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of its path is no folder',
  EPERM: 'it may not be changed',
  EROFS: 'the file system can only be read',
};

/** Looks at the file at `path`. Returns null if nothing is there. @throws KexaError for anything but a regular file */
async function statsAt(path: string): Promise<Stats | null> {
  const found = await lstat(path).catch(notThere);
  if (found === null || found.isFile()) return found;
  throw new KexaError(
    'KEXA_WRITE_FAILED',
    `${path}: cannot be written: wanted a regular file or none at that place, found ${kindOfFile(found)}`,
  );
}

function kindOfFile(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isSymbolicLink()) return 'a symbolic link';
  if (found.isFIFO()) return 'a FIFO';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}

function notThere(cause: NodeJS.ErrnoException): null {
  if (cause.code === 'ENOENT') return null;
  throw cause;
}

/** Beside `path`. Threads of a process have the random bits to tell them apart, and so have processes of one number. */
function partName(path: string): string {
  return join(dirname(resolve(path)), `.kexa-${process.pid}-${written++}-${randomBytes(8).toString('hex')}.part`);
}
