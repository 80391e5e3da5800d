/** The unfinished file beside the wanted one, and the note of how far it has come, so that a killed run goes on. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KexaError } from '../errors.js';
import { isJsonObject, readOptionalJsonObject } from '../files/json-file.js';
import type { ModelFolder } from '../files/model-folder.js';
import type { OutputPlan } from './output-plan.js';

/** Changes with anything that gives other bytes from the same weights: a file begun before is then not gone on with. */
const quantizerVersion = 1;

/** Bytes written between two notes: what a killed run does again. */
const noteEvery = 256 * 2 ** 20;

/** `OUT.part`, and `OUT.part.json` beside it. */
export class PartFile {
  readonly #path: string;
  readonly #notePath: string;
  readonly #file: FileHandle;
  readonly #identity: string;
  #noted: number;

  private constructor(path: string, file: FileHandle, identity: string, written: number) {
    this.#path = path;
    this.#notePath = notePath(path);
    this.#file = file;
    this.#identity = identity;
    this.#noted = written;
  }

  /**
   * Opens the part file of `out`: the one that is there, if it was begun from the same weights and recipe, else a new
   * one. `isFresh` begins anew in any case.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT if the one that is there was begun from something else,
   *   KEXA_WRITE_FAILED if there is no room or it cannot be written.
   */
  static async open(out: string, model: ModelFolder, plan: OutputPlan, isFresh: boolean): Promise<PartFile> {
    const path = `${out}.part`;
    const identity = await identityOf(model, plan);
    const written = isFresh ? 0 : await notedBytes(path, identity, plan.bytes);
    let file: FileHandle | undefined;
    try {
      if (written > 0) return new PartFile(path, await open(path, 'r+'), identity, written);
      await checkRoom(path, plan.bytes);
      file = await open(path, 'w');
      const part = new PartFile(path, file, identity, 0);
      await file.truncate(plan.bytes);
      await part.write(plan.header, 0);
      await part.note(plan.header.length);
      return part;
    } catch (cause) {
      await file?.close();
      throw writeError(path, cause);
    }
  }

  /** Bytes of the file that are done, and surely on the disk. */
  get noted(): number {
    return this.#noted;
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

  /** Notes that all bytes before `written` are done. */
  async note(written: number): Promise<void> {
    try {
      await this.#file.datasync();
      const next = `${this.#notePath}.new`;
      await writeFile(next, JSON.stringify({ identity: this.#identity, written }));
      await rename(next, this.#notePath);
      this.#noted = written;
    } catch (cause) {
      throw writeError(this.#path, cause);
    }
  }

  /** Gives the finished file its name. */
  async finish(out: string): Promise<void> {
    try {
      await this.#file.sync();
      await this.#file.close();
      await rename(this.#path, out);
      await rm(this.#notePath, { force: true });
    } catch (cause) {
      throw writeError(out, cause);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function notePath(path: string): string {
  return `${path}.json`;
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

async function notedBytes(path: string, identity: string, bytes: number): Promise<number> {
  const note = await readOptionalJsonObject(notePath(path));
  if (note === null) return 0;
  const size = await stat(path).then(
    (found) => found.size,
    () => null,
  );
  // The note is written last and removed last: without its file it is of a run that is over.
  if (size === null) return 0;
  const { written } = note;
  const isSame = isJsonObject(note) && note.identity === identity && size === bytes;
  if (isSame && typeof written === 'number' && Number.isInteger(written) && written >= 0 && written <= bytes)
    return written;
  throw new KexaError(
    'KEXA_INVALID_ARGUMENT',
    `${path}: was begun from other weights, another recipe or another kexa; begin anew with --force, or remove it`,
  );
}

async function checkRoom(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path));
  const replaced = await stat(path).then(
    (found) => found.blocks * 512,
    () => 0,
  );
  const free = bavail * bsize + replaced;
  if (free >= bytes) return;
  throw new KexaError('KEXA_WRITE_FAILED', `${path}: wanted room for ${bytes} bytes, found ${free} free`);
}

function writeError(path: string, cause: unknown): KexaError {
  if (cause instanceof KexaError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new KexaError('KEXA_NOT_FOUND', `${dirname(path)}: no such folder to write to`, { cause });
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? 'the disk is full' : message;
  return new KexaError('KEXA_WRITE_FAILED', `${path}: cannot be written (${reason})`, { cause });
}
