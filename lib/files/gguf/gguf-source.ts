/** The bytes of a GGUF file's header, read in order and in pieces. */
import type { FileHandle } from 'node:fs/promises';
import { KexaError } from '../../errors.js';
import { readExactly } from '../regular-file.js';

/** Bytes in memory at a time. Even if the smallest values fill them, parsing takes a few milliseconds. */
const windowBytes = 2 ** 18;

/** The largest real header, of a vocabulary of 153,600 tokens, has 7 MB. */
const largestHeader = 2 ** 28;

/**
 * A place in a file that moves forward. Synchronous getters take from a window of bytes that are in memory; `need`
 * reads more of them. The event loop gets its turn whenever more is read.
 *
 * @example
 * if (!source.has(4)) await source.need(4, 'version');
 * const version = source.u32();
 */
export class GgufSource {
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly #file: FileHandle;
  readonly #window = Buffer.alloc(windowBytes);
  /** Where the window begins in the file. */
  #start = 0;
  #at = 0;
  #end = 0;

  constructor(path: string, file: FileHandle, size: number) {
    this.path = path;
    this.size = size;
    this.#file = file;
  }

  /** Bytes of the file before this place. */
  get position(): number {
    return this.#start + this.#at;
  }

  has(count: number): boolean {
    return this.#end - this.#at >= count;
  }

  /**
   * Makes `count` bytes, at most those of a window, ready for the getters.
   *
   * @throws KexaError KEXA_BAD_FILE, with `what`, if the file or the largest header ends before that.
   */
  async need(count: number, what: string): Promise<void> {
    if (this.has(count)) return;
    this.#check(count, what);
    const kept = this.#window.copy(this.#window, 0, this.#at, this.#end);
    this.#start += this.#at;
    this.#at = 0;
    this.#end = Math.min(windowBytes, this.size - this.#start);
    await readExactly(this.path, this.#file, this.#start + kept, this.#window.subarray(kept, this.#end));
  }

  /** Takes 1 byte; the others take as many as their names say. */
  u8(): number {
    return this.#window[this.#at++]!;
  }

  u32(): number {
    this.#at += 4;
    return this.#window.readUInt32LE(this.#at - 4);
  }

  /** @throws KexaError KEXA_BAD_FILE, with `what`, for a number above 2^53 - 1. */
  u64(what: string): number {
    this.#at += 8;
    const low = this.#window.readUInt32LE(this.#at - 8);
    const high = this.#window.readUInt32LE(this.#at - 4);
    const value = high * 2 ** 32 + low;
    if (high >= 2 ** 21) throw this.bad(`${what}: ${value} is out of range`);
    return value;
  }

  /** The next `count` bytes, for reading at once: what is read next may overwrite them. */
  view(count: number): DataView {
    this.#at += count;
    return new DataView(this.#window.buffer, this.#window.byteOffset + this.#at - count, count);
  }

  /** A text of `length` bytes. */
  async text(length: number, what: string): Promise<string> {
    if (length <= windowBytes) {
      await this.need(length, what);
      this.#at += length;
      return this.#window.toString('utf8', this.#at - length, this.#at);
    }
    this.#check(length, what);
    const bytes = Buffer.alloc(length);
    await this.readInto(bytes, what);
    return bytes.toString('utf8');
  }

  /** Copies what is in the window already: `into.length` bytes, which {@link has} must have told of. */
  copyInto(into: Uint8Array): void {
    this.#at += this.#window.copy(into, 0, this.#at, this.#at + into.length);
  }

  async readInto(into: Uint8Array, what: string): Promise<void> {
    this.#check(into.length, what);
    const taken = Math.min(into.length, this.#end - this.#at);
    this.copyInto(into.subarray(0, taken));
    await readExactly(this.path, this.#file, this.position, into.subarray(taken));
    this.#moveTo(this.position + into.length - taken);
  }

  skip(count: number, what: string): void {
    if (this.has(count)) this.#at += count;
    else {
      this.#check(count, what);
      this.#moveTo(this.position + count);
    }
  }

  /** Checks that `count` entries of at least `least` bytes can follow, before anything is allocated for them. */
  fits(count: number, least: number, what: string): void {
    const left = this.size - this.position;
    if (count * least > left) throw this.bad(`${what}: ${count} entries do not fit in the ${left} bytes that are left`);
  }

  bad(message: string): KexaError {
    return new KexaError('KEXA_BAD_FILE', `${this.path}: ${message}`);
  }

  #moveTo(position: number): void {
    if (position <= this.#start + this.#end) {
      this.#at = position - this.#start;
      return;
    }
    this.#start = position;
    this.#at = 0;
    this.#end = 0;
  }

  #check(count: number, what: string): void {
    const end = this.position + count;
    if (end > this.size) {
      throw this.bad(`${what}: wanted ${count} bytes at ${this.position}, the file ends at ${this.size}`);
    }
    if (end > largestHeader) throw this.bad(`${what}: the header takes more than ${largestHeader} bytes`);
  }
}
