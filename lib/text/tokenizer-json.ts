/**
 * Reading tokenizer.json without holding the event loop. JSON.parse of 153,600 tokens takes a third of a second, so the
 * two long parts, the vocabulary and the merges, are read here a little at a time into packed bytes; JSON.parse has the
 * rest.
 */
import { KexaError } from '../errors.js';
import { isJsonObject, type JsonObject, kindOf } from '../files/json-file.js';
import { PackedTexts } from './packed-texts.js';
import { Pause } from './pause.js';

/** The result of {@link readTokenizerJson}. */
export interface TokenizerJson {
  /** All of the file; `model.vocab` and `model.merges` are null where they were packed. */
  fields: JsonObject;
  /** `model.vocab`, in the file's order; null if it is no object. */
  vocab: { names: PackedTexts; ids: Uint32Array } | null;
  /** `model.merges`, two texts each; null if it is no list. */
  merges: PackedTexts | null;
}

/** Bytes of the file besides the vocabulary and the merges. Real ones have some tens of thousands. */
const longestRest = 2 ** 24;
/** Entries, or bytes that are passed over, between two looks at the clock. */
const entriesAtOnce = 1024;
const bytesAtOnce = 2 ** 17;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const space = 0x20;

/**
 * Reads the text of a tokenizer.json; `file` is its name, for errors.
 *
 * @throws KexaError KEXA_BAD_TOKENIZER if it is not JSON, or the vocabulary or the merges are not of their form. An
 *   aborted signal's reason.
 */
export async function readTokenizerJson(file: string, bytes: Uint8Array, signal?: AbortSignal): Promise<TokenizerJson> {
  const reader = new Reader(file, bytes, new Pause(signal));
  const rest: Uint8Array[] = [];
  let copied = 0;
  let vocab: TokenizerJson['vocab'] = null;
  let merges: TokenizerJson['merges'] = null;
  const cut = (from: number) => {
    rest.push(bytes.subarray(copied, from), nullBytes);
    copied = reader.at;
  };
  try {
    await reader.eachKey(async (key) => {
      if (key !== 'model' || !reader.isAt(openBrace)) return await reader.pass();
      await reader.eachKey(async (name) => {
        const from = reader.at;
        if (name === 'vocab' && reader.isAt(openBrace)) {
          if (vocab !== null) throw reader.bad('model.vocab is there twice');
          vocab = await reader.vocab();
          cut(from);
        } else if (name === 'merges' && reader.isAt(openBracket)) {
          if (merges !== null) throw reader.bad('model.merges is there twice');
          merges = await reader.merges();
          cut(from);
        } else await reader.pass();
      });
    });
  } catch (error) {
    // JSON.parse names the fault best if it lies outside the two long parts.
    if (!(error instanceof NotJson)) throw error;
  }
  rest.push(bytes.subarray(copied));
  const fields = parseRest(file, rest);
  if (isJsonObject(fields)) return { fields, vocab, merges };
  throw new KexaError('KEXA_BAD_TOKENIZER', `${file}: wanted a JSON object, found ${kindOf(fields)}`);
}

const nullBytes = new TextEncoder().encode('null');

function parseRest(file: string, rest: Uint8Array[]): unknown {
  const whole = Buffer.concat(rest);
  if (whole.length > longestRest)
    throw new KexaError(
      'KEXA_BAD_TOKENIZER',
      `${file}: wanted at most ${longestRest} bytes besides the vocabulary and the merges, found ${whole.length}`,
    );
  try {
    return JSON.parse(whole.toString('utf8'));
  } catch (cause) {
    throw new KexaError('KEXA_BAD_TOKENIZER', `${file}: not JSON: ${(cause as Error).message}`, { cause });
  }
}

class NotJson extends Error {}

class Reader {
  at = 0;
  readonly #file: string;
  readonly #bytes: Uint8Array;
  readonly #pause: Pause;

  constructor(file: string, bytes: Uint8Array, pause: Pause) {
    this.#file = file;
    this.#bytes = bytes;
    this.#pause = pause;
  }

  bad(message: string): KexaError {
    return new KexaError('KEXA_BAD_TOKENIZER', `${this.#file}: ${message}`);
  }

  isAt(byte: number): boolean {
    return this.#bytes[this.at] === byte;
  }

  /** Calls `onKey` at the value of each key of an object; it reads the value. */
  async eachKey(onKey: (key: string) => Promise<void>): Promise<void> {
    this.#blank();
    this.#want(openBrace);
    this.#blank();
    if (this.#take(closeBrace)) return;
    do {
      this.#blank();
      const from = this.at;
      await this.pass();
      const key: unknown = parsed(this.#bytes.subarray(from, this.at));
      if (typeof key !== 'string') throw new NotJson();
      this.#blank();
      this.#want(colon);
      this.#blank();
      await onKey(key);
      this.#blank();
    } while (this.#take(comma));
    this.#want(closeBrace);
  }

  /** Moves behind a value of any kind. */
  async pass(): Promise<void> {
    const bytes = this.#bytes;
    let depth = 0;
    let isText = false;
    for (;;) {
      const end = Math.min(this.at + bytesAtOnce, bytes.length);
      let at = this.at;
      for (; at < end; at++) {
        const byte = bytes[at]!;
        if (isText) {
          if (byte === backslash) at++;
          else if (byte === quote) {
            isText = false;
            if (depth === 0) {
              this.at = at + 1;
              return;
            }
          }
        } else if (byte === quote) isText = true;
        else if (byte === openBrace || byte === openBracket) depth++;
        else if (byte === closeBrace || byte === closeBracket || byte === comma) {
          // The end of a number or a word is the end of what it is in.
          if (depth === 0) {
            this.at = at;
            return;
          }
          if (byte !== comma && --depth === 0) {
            this.at = at + 1;
            return;
          }
        }
      }
      this.at = at;
      if (at >= bytes.length) throw new NotJson();
      if (this.#pause.isDue) await this.#pause.take();
    }
  }

  /** `{"token": id, ...}` */
  async vocab(): Promise<{ names: PackedTexts; ids: Uint32Array }> {
    const names = new PackedTexts();
    let ids = new Uint32Array(1024);
    this.#want(openBrace);
    this.#blank();
    if (this.#take(closeBrace)) return { names, ids: ids.subarray(0, 0) };
    for (;;) {
      for (let i = 0; i < entriesAtOnce; i++) {
        if (names.count === ids.length) {
          const larger = new Uint32Array(2 * ids.length);
          larger.set(ids);
          ids = larger;
        }
        this.#blank();
        this.#text(names, 'model.vocab: a token');
        this.#blank();
        this.#expect(colon, 'model.vocab', 'a colon');
        this.#blank();
        ids[names.count - 1] = this.#id();
        this.#blank();
        if (this.#take(comma)) continue;
        this.#expect(closeBrace, 'model.vocab', 'a comma or the end');
        return { names, ids: ids.subarray(0, names.count) };
      }
      if (this.#pause.isDue) await this.#pause.take();
    }
  }

  /** `["a b", ...]` or `[["a", "b"], ...]` */
  async merges(): Promise<PackedTexts> {
    const texts = new PackedTexts();
    this.#want(openBracket);
    this.#blank();
    if (this.#take(closeBracket)) return texts;
    for (;;) {
      for (let i = 0; i < entriesAtOnce; i++) {
        this.#blank();
        this.#merge(texts);
        this.#blank();
        if (this.#take(comma)) continue;
        this.#expect(closeBracket, 'model.merges', 'a comma or the end');
        return texts;
      }
      if (this.#pause.isDue) await this.#pause.take();
    }
  }

  #merge(texts: PackedTexts): void {
    const where = `model.merges[${texts.count / 2}]`;
    if (this.#take(openBracket)) {
      this.#blank();
      this.#text(texts, where);
      this.#blank();
      this.#expect(comma, where, 'two tokens');
      this.#blank();
      this.#text(texts, where);
      this.#blank();
      this.#expect(closeBracket, where, 'two tokens');
      return;
    }
    // No token that is spelled in the byte alphabet has a space in it.
    const from = texts.size;
    const end = this.#copy(texts, where);
    const both = texts.room(0).subarray(from, end);
    const gap = both.indexOf(space);
    if (gap < 0 || both.indexOf(space, gap + 1) >= 0)
      throw this.bad(`${where}: wanted two tokens with a space between, found ${shownBytes(both)}`);
    both.copyWithin(gap, gap + 1);
    texts.end(from + gap);
    texts.end(end - 1);
  }

  #text(texts: PackedTexts, where: string): void {
    texts.end(this.#copy(texts, where));
  }

  /** Copies a text, its escapes resolved, and returns where it ends. */
  #copy(texts: PackedTexts, where: string): number {
    const bytes = this.#bytes;
    this.#expect(quote, where, 'a text');
    const from = this.at;
    let at = from;
    while (bytes[at] !== quote) {
      // Behind the end of the bytes there is nothing, which is not less than a space.
      if (at >= bytes.length || bytes[at]! < space)
        throw this.bad(`${where}: wanted a text, found one that does not end`);
      at += bytes[at] === backslash ? 2 : 1;
    }
    const to = texts.room(at - from);
    let end = texts.size;
    for (let i = from; i < at; ) {
      const byte = bytes[i]!;
      if (byte !== backslash) {
        to[end++] = byte;
        i++;
        continue;
      }
      // A run of escapes, since two may be the halves of one character.
      let last = i;
      while (bytes[last] === backslash) last += bytes[last + 1] === 0x75 ? 6 : 2;
      const text = parsed(Buffer.concat([quoteBytes, bytes.subarray(i, Math.min(last, at)), quoteBytes]));
      if (typeof text !== 'string') throw this.bad(`${where}: wanted a text, found an escape that is none`);
      end += encoder.encodeInto(text, to.subarray(end)).written;
      i = last;
    }
    this.at = at + 1;
    return end;
  }

  #id(): number {
    const bytes = this.#bytes;
    const from = this.at;
    let id = 0;
    while (bytes[this.at]! >= 0x30 && bytes[this.at]! <= 0x39) id = id * 10 + bytes[this.at++]! - 0x30;
    const next = bytes[this.at];
    const hasZeroBefore = bytes[from] === 0x30 && this.at > from + 1;
    if (
      this.at > from &&
      !hasZeroBefore &&
      id < 0xffffffff &&
      (next === comma || next === closeBrace || next! <= space)
    )
      return id;
    const found = shownBytes(bytes.subarray(from, from + 20));
    throw this.bad(`model.vocab: wanted ids, whole numbers from 0, found ${found}`);
  }

  #blank(): void {
    const bytes = this.#bytes;
    while (bytes[this.at]! <= space) this.at++;
  }

  #take(byte: number): boolean {
    if (this.#bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  #want(byte: number): void {
    if (!this.#take(byte)) throw new NotJson();
  }

  #expect(byte: number, where: string, wanted: string): void {
    if (this.#take(byte)) return;
    const found =
      this.at >= this.#bytes.length ? 'the end of the file' : shownBytes(this.#bytes.subarray(this.at, this.at + 20));
    throw this.bad(`${where}: wanted ${wanted}, found ${found}`);
  }
}

const encoder = new TextEncoder();
const quoteBytes = encoder.encode('"');

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  } catch {
    return undefined;
  }
}

function shownBytes(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes.slice(0, 60)).toString('utf8'));
}
