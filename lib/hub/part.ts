/** A file that is being downloaded: its bytes, and beside them a record of which are there. */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rm, stat } from 'node:fs/promises';
import { writeError } from '../files/atomic-file.js';

/** A run of a file's bytes that one connection brings. */
export interface Segment {
  index: number;
  /** The first byte, and the one after the last. */
  start: number;
  end: number;
  /** The bytes that are there, from `start` on. */
  done: number;
}

/** The size of a segment (bytes), unless a test asks for another. */
export const segmentBytes: number = 64 * 2 ** 20;
/** The time between two notes of what a segment has (milliseconds). */
const noteMs = 1000;
/** The bytes after which a segment is noted, if time has not passed. */
const noteBytes = 4 * 2 ** 20;

/**
 * The part file has the file's whole size from the start, with holes. The record beside it, PATH.segments, has eight
 * bytes of head and then the bytes of each segment that are on the disk (32 bits each, little-endian).
 *
 * Bytes are on the disk before they are noted, so the record never tells of bytes that a power failure took.
 */
export class PartFile {
  readonly path: string;
  readonly size: number;
  readonly segments: readonly Segment[];
  readonly #file: FileHandle;
  readonly #record: FileHandle;
  /** When each segment was last noted (milliseconds), and its bytes then. */
  readonly #noted: { at: number; done: number }[];

  private constructor(path: string, size: number, segments: Segment[], file: FileHandle, record: FileHandle) {
    this.path = path;
    this.size = size;
    this.segments = segments;
    this.#file = file;
    this.#record = record;
    this.#noted = segments.map(({ done }) => ({ at: performance.now(), done }));
  }

  /**
   * Opens the part at `path` of a file of `size` bytes, or begins one. A record of another size of file or segment is
   * dropped with its part.
   *
   * @throws KexaError KEXA_WRITE_FAILED
   */
  static async open(path: string, size: number, each: number): Promise<PartFile> {
    try {
      const segments = await PartFile.read(path, size, each);
      if (segments === null) await PartFile.remove(path);
      const flags = constants.O_RDWR | constants.O_CREAT;
      const file = await open(path, flags, 0o666);
      const record = await open(recordPath(path), flags, 0o666);
      const part = new PartFile(path, size, segments ?? segmentsOf(size, each), file, record);
      if (segments === null) await part.#begin(each);
      return part;
    } catch (cause) {
      throw writeError(path, cause);
    }
  }

  /** The segments as the record of a part tells them. Null if there is none that fits. */
  static async read(path: string, size: number, each: number): Promise<Segment[] | null> {
    const record = await readFile(recordPath(path)).catch(() => null);
    const found = await stat(path).catch(() => null);
    const count = Math.ceil(size / each);
    if (record === null || found?.size !== size || record.length !== 8 + 4 * count) return null;
    if (record.toString('latin1', 0, 4) !== magic || record.readUInt32LE(4) !== each) return null;
    const segments = segmentsOf(size, each);
    for (const segment of segments) {
      segment.done = record.readUInt32LE(8 + 4 * segment.index);
      if (segment.done > segment.end - segment.start) return null;
    }
    return segments;
  }

  /** Removes a part and its record. */
  static async remove(path: string): Promise<void> {
    await rm(recordPath(path), { force: true });
    await rm(path, { force: true });
  }

  async #begin(each: number): Promise<void> {
    const head = Buffer.alloc(8 + 4 * this.segments.length);
    head.write(magic, 'latin1');
    head.writeUInt32LE(each, 4);
    await this.#file.truncate(this.size);
    await this.#record.write(head, 0, head.length, 0);
    await this.#record.datasync();
  }

  /** The bytes that are there. */
  get done(): number {
    return this.segments.reduce((sum, { done }) => sum + done, 0);
  }

  /** Adds bytes to a segment, and notes them from time to time. @throws KexaError KEXA_WRITE_FAILED */
  async add(segment: Segment, bytes: Uint8Array): Promise<void> {
    try {
      for (let written = 0; written < bytes.length; ) {
        const position = segment.start + segment.done;
        const { bytesWritten } = await this.#file.write(bytes, written, bytes.length - written, position);
        written += bytesWritten;
        segment.done += bytesWritten;
      }
      const { at, done } = this.#noted[segment.index]!;
      const isWhole = segment.done === segment.end - segment.start;
      if (isWhole || performance.now() - at >= noteMs || segment.done - done >= noteBytes) await this.note(segment);
    } catch (cause) {
      throw writeError(this.path, cause);
    }
  }

  /** Notes what a segment has. */
  async note(segment: Segment): Promise<void> {
    const { done } = segment;
    await this.#file.datasync();
    const word = Buffer.alloc(4);
    word.writeUInt32LE(done);
    await this.#record.write(word, 0, 4, 8 + 4 * segment.index);
    this.#noted[segment.index] = { at: performance.now(), done };
  }

  /** Forgets all bytes, because they were found to be wrong. */
  async forget(): Promise<void> {
    for (const segment of this.segments) {
      segment.done = 0;
      await this.note(segment);
    }
  }

  /** Notes every segment and closes the files. */
  async close(): Promise<void> {
    try {
      for (const segment of this.segments)
        if (segment.done !== this.#noted[segment.index]!.done) await this.note(segment);
    } finally {
      await this.#file.close();
      await this.#record.close();
    }
  }
}

const magic = 'kxs1';

function recordPath(path: string): string {
  return `${path}.segments`;
}

function segmentsOf(size: number, each: number): Segment[] {
  return Array.from({ length: Math.ceil(size / each) }, (_, index) => ({
    index,
    start: index * each,
    end: Math.min(size, (index + 1) * each),
    done: 0,
  }));
}
