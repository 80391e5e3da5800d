/** The unfinished file beside the wanted one, and the note of how far it has come, so that a killed run goes on. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KexaError } from '../errors.js';
import { checkPlace, keepOwner, replaceFile, writeError } from '../files/atomic-file.js';
import { readOptionalJsonObject, writeJsonFile } from '../files/json-file.js';
import type { ModelFolder } from '../files/model-folder.js';
import { native } from '../native.js';
import type { OutputPlan } from './output-plan.js';

/** Must change with anything that makes other bytes of the same weights. A file of another version is not continued. */
const quantizerVersion = 1;

/** The bytes written between two notes. A killed run does at most so many again. */
const noteEvery = 256 * 2 ** 20;

/** The files `OUT.part` and `OUT.part.json`. One run at a time holds them. */
export class PartFile {
  readonly #out: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #identity: string;
  readonly #headerBytes: number;
  #noted: number;

  private constructor(out: string, file: FileHandle, identity: string, headerBytes: number, noted: number) {
    this.#out = out;
    this.#path = partPath(out);
    this.#file = file;
    this.#identity = identity;
    this.#headerBytes = headerBytes;
    this.#noted = noted;
  }

  /**
   * Opens the part file of `out`: an existing one if it was begun from the same weights and recipe, else a new one.
   * `isFresh` always makes a new one.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT if the one that is there was begun from something else;
   *   KEXA_WRITE_FAILED if another run has it, if there is no room, or if it cannot be written.
   */
  static async open(out: string, model: ModelFolder, plan: OutputPlan, isFresh: boolean): Promise<PartFile> {
    const path = partPath(out);
    const identity = await identityOf(model, plan);
    const begun = await openLocked(path);
    if (begun !== null) {
      try {
        const noted = isFresh ? 0 : await notedBytes(path, identity, plan.bytes);
        if (noted > 0) return new PartFile(out, begun, identity, plan.header.length, noted);
        await rm(path);
        await begun.close();
      } catch (cause) {
        await begun.close();
        throw writeError(path, cause);
      }
    }
    const part = new PartFile(out, await create(path, plan.bytes), identity, plan.header.length, 0);
    try {
      // Whoever finds a part file without a note must not take it for kexa's.
      await part.note(0);
      await part.#file.truncate(plan.bytes);
      await part.write(plan.header, 0);
      await part.note(plan.header.length);
      return part;
    } catch (cause) {
      await part.discard();
      throw writeError(path, cause);
    }
  }

  get path(): string {
    return this.#path;
  }

  /** The bytes of the file that are done and surely on the disk. */
  get noted(): number {
    return this.#noted;
  }

  /** Whether a later run would have less to do because of the file. */
  get isWorthKeeping(): boolean {
    return this.#noted > this.#headerBytes;
  }

  /** @throws KexaError KEXA_WRITE_FAILED */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
      if (position + bytes.length - this.#noted >= noteEvery) await this.note(position + bytes.length);
    } catch (cause) {
      throw writeError(this.#path, cause);
    }
  }

  /** Notes that all bytes before `written` are done. @throws KexaError KEXA_WRITE_FAILED */
  async note(written: number): Promise<void> {
    try {
      await this.#file.datasync();
      await writeJsonFile(notePath(this.#path), { identity: this.#identity, written });
      this.#noted = written;
    } catch (cause) {
      throw writeError(this.#path, cause);
    }
  }

  /**
   * Gives the finished file its name. `replaces` tells whether another file may be there.
   *
   * @throws KexaError KEXA_WRITE_FAILED
   */
  async finish(replaces: boolean): Promise<void> {
    try {
      const old = await checkPlace(this.#out);
      if (old !== null && !replaces) throw thereAlready(this.#out);
      if (old !== null) await keepOwner(this.#file, old);
      await this.#file.sync();
      await replaceFile(this.#path, this.#out);
      await rm(notePath(this.#path), { force: true });
      await this.#file.close();
    } catch (cause) {
      throw writeError(this.#out, cause);
    }
  }

  /** Leaves the file for a later run. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Removes the file. */
  async discard(): Promise<void> {
    // The lock is released last: until then no other run can take the name.
    await rm(this.#path, { force: true }).catch(() => {});
    await rm(notePath(this.#path), { force: true }).catch(() => {});
    await this.#file.close().catch(() => {});
  }
}

/** Where the unfinished file of `out` is. */
export function partPath(out: string): string {
  return `${out}.part`;
}

/** The error for a file that only `--force` replaces. */
export function thereAlready(out: string): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${out}: is there already; --force replaces it`);
}

function notePath(path: string): string {
  return `${path}.json`;
}

/** The file at `path`, locked; null if there is none. @throws KexaError KEXA_WRITE_FAILED if another run has it */
async function openLocked(path: string): Promise<FileHandle | null> {
  for (;;) {
    if ((await checkPlace(path)) === null) return null;
    let file: FileHandle;
    try {
      file = await open(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw writeError(path, cause);
    }
    const isLocked = native().lockFile(file.fd);
    // The run that had it may have renamed or removed it between the two.
    const [own, named] = [await file.stat(), await lstat(path).catch(() => null)];
    const isNamed = named !== null && named.dev === own.dev && named.ino === own.ino;
    if (isLocked && isNamed) return file;
    await file.close();
    if (!isLocked) throw inUse(path);
  }
}

/** A new file, locked, with room for so many bytes on its disk. @throws KexaError KEXA_WRITE_FAILED */
async function create(path: string, bytes: number): Promise<FileHandle> {
  try {
    await checkRoom(path, bytes);
    const file = await open(path, 'wx');
    if (native().lockFile(file.fd)) return file;
    await file.close();
    throw inUse(path);
  } catch (cause) {
    throw writeError(path, cause);
  }
}

function inUse(path: string): KexaError {
  return new KexaError('KEXA_WRITE_FAILED', `${path}: cannot be written: another run of kexa quantize is writing it`);
}

/** Names what the bytes depend on: the source files as they are now, the layout and the types. */
async function identityOf({ description }: ModelFolder, plan: OutputPlan): Promise<string> {
  const hash = createHash('sha256').update(`${quantizerVersion}\n`).update(plan.header);
  for (const path of description.files) {
    const { size, mtimeMs } = await stat(path);
    hash.update(`${path}\n${size}\n${mtimeMs}\n`);
  }
  for (const { name, file, offset, type } of description.tensors) hash.update(`${name} ${file} ${offset} ${type}\n`);
  return hash.digest('hex');
}

/** How many bytes of the part file at `path` are done, by its note. */
async function notedBytes(path: string, identity: string, bytes: number): Promise<number> {
  const note = await readOptionalJsonObject(notePath(path));
  const { size } = await stat(path);
  // A run that was killed at its very start.
  if (note === null && size === 0) return 0;
  const written = note?.written;
  const isCount = typeof written === 'number' && Number.isInteger(written) && written >= 0 && written <= bytes;
  if (note?.identity === identity && isCount && (size === bytes || written === 0)) return written;
  const what =
    note === null ? 'is there and was not begun by kexa' : 'was begun from other weights, another recipe or kexa';
  throw new KexaError('KEXA_INVALID_ARGUMENT', `${path}: ${what}; begin anew with --force, or remove it`);
}

async function checkRoom(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  if (bavail * bsize >= bytes) return;
  throw new KexaError('KEXA_WRITE_FAILED', `${path}: wanted room for ${bytes} bytes, found ${bavail * bsize} free`);
}
