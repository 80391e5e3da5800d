/** The journal of a batch: one line for each row that is answered, written once and never changed. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, truncate } from 'node:fs/promises';
import { writeError } from '../files/atomic-file.js';
import { fileError } from '../files/json-file.js';
import { readExactly } from '../files/regular-file.js';
import { LineCutter } from './lines.js';

/** A row's line in the journal. */
export interface JournalEntry {
  row: number;
  /** The SHA-256 of the row's bytes in the input. */
  sha: string;
  /** Whether the row was answered; false: refused or failed. */
  isOk: boolean;
  /** Where the line of the output lies in the journal (bytes). */
  offset: number;
  length: number;
}

/** The rows after which the journal is put on the disk, and the time (milliseconds), whichever comes first. */
const rowsOfSync = 64;
const syncMs = 200;

/**
 * A line is `CHECK ROW SHA ok|failed TEXT`. CHECK has 8 digits of the SHA-256 of the rest, so that a line which a power failure has
 * damaged counts as missing, and its row is answered again.
 */
export class Journal {
  readonly #path: string;
  readonly #file: FileHandle;
  #end: number;
  #writes: Promise<void> = Promise.resolve();
  #unsynced = 0;
  #timer: NodeJS.Timeout | null = null;

  private constructor(path: string, file: FileHandle, end: number) {
    this.#path = path;
    this.#file = file;
    this.#end = end;
  }

  /**
   * Opens a journal for writing, or begins one. A last line without its end, which a killed run has left, is cut off.
   *
   * @throws KexaError KEXA_BAD_FILE, KEXA_WRITE_FAILED
   */
  static async open(path: string): Promise<{ journal: Journal; entries: Map<number, JournalEntry> }> {
    const { entries, end } = await readJournal(path);
    try {
      const file = await open(path, 'a+');
      await truncate(path, end);
      return { journal: new Journal(path, file, end), entries };
    } catch (cause) {
      throw writeError(path, cause);
    }
  }

  /**
   * Adds a row's line of the output. It resolves when the line is written, and the disk has it at most 200 ms later.
   *
   * @throws KexaError KEXA_WRITE_FAILED. Nothing may be added afterwards: a part of the line may be there.
   */
  async add(row: number, sha: string, isOk: boolean, text: string): Promise<JournalEntry> {
    const head = `${row} ${sha} ${isOk ? 'ok' : 'failed'} `;
    const line = Buffer.from(`${check(head + text)} ${head}${text}\n`);
    const length = Buffer.byteLength(text);
    let entry: JournalEntry | undefined;
    const write = this.#writes.then(async () => {
      const { bytesWritten } = await this.#file.write(line);
      // A full disk takes a part of a line. The next run cuts it off.
      if (bytesWritten < line.length) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      this.#end += line.length;
      entry = { row, sha, isOk, offset: this.#end - 1 - length, length };
      if (++this.#unsynced >= rowsOfSync) await this.#sync();
      else this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), syncMs);
    });
    this.#writes = write;
    // The next one that writes gets the error, too.
    write.catch(() => {});
    try {
      await write;
    } catch (cause) {
      throw writeError(this.#path, cause);
    }
    return entry!;
  }

  /** Puts on the disk what was written. */
  async flush(): Promise<void> {
    const flushed = this.#writes.then(() => this.#sync());
    this.#writes = flushed;
    await flushed;
  }

  async #sync(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#unsynced === 0) return;
    this.#unsynced = 0;
    await this.#file.datasync();
  }

  /** The line of the output that an entry tells of. */
  async read({ offset, length }: JournalEntry): Promise<Buffer> {
    const text = Buffer.alloc(length);
    await readExactly(this.#path, this.#file, offset, text);
    return text;
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#file.close();
  }
}

/**
 * The entries of a journal, and the end of its last whole line (bytes). A line that is damaged is passed over. No entries
 * if there is no such file.
 *
 * @throws KexaError KEXA_BAD_FILE
 */
export async function readJournal(path: string): Promise<{ entries: Map<number, JournalEntry>; end: number }> {
  const entries = new Map<number, JournalEntry>();
  const lines = new LineCutter();
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }))
      for (const { bytes, offset } of lines.push(chunk as Buffer)) {
        const entry = parseEntry(bytes, offset);
        if (entry !== null && !entries.has(entry.row)) entries.set(entry.row, entry);
      }
  } catch (cause) {
    const error = fileError(path, cause);
    if (error.code !== 'KEXA_NOT_FOUND') throw error;
  }
  return { entries, end: lines.offset };
}

function parseEntry(line: Buffer, start: number): JournalEntry | null {
  const [head, sum, row, sha, state] =
    /^([0-9a-f]{8}) (\d+) ([0-9a-f]{64}) (ok|failed) /.exec(line.toString('latin1', 0, 120)) ?? [];
  if (head === undefined || sum !== check(line.subarray(9))) return null;
  const length = line.length - head.length;
  return { row: Number(row), sha: sha!, isOk: state === 'ok', offset: start + head.length, length };
}

function check(rest: string | Uint8Array): string {
  return createHash('sha256').update(rest).digest('hex').slice(0, 8);
}
