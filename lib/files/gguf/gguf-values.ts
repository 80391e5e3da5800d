/** The values of GGUF's metadata. Lists stay bytes until somebody asks for an entry. */
import type { GgufSource } from './gguf-source.js';

export type GgufValue = string | number | boolean | GgufList;
export type GgufList = GgufNumbers | GgufStrings | GgufNested;

const stringType = 8;
const arrayType = 9;
const mostNesting = 4;
/** No chat template comes near. */
const longestText = 2 ** 24;
const firstCapacity = 2 ** 16;

interface NumberType {
  name: string;
  bytes: number;
  read: (view: DataView, at: number) => number | boolean;
}

const numberTypes: Readonly<Record<number, NumberType>> = {
  0: { name: 'u8', bytes: 1, read: (view, at) => view.getUint8(at) },
  1: { name: 'i8', bytes: 1, read: (view, at) => view.getInt8(at) },
  2: { name: 'u16', bytes: 2, read: (view, at) => view.getUint16(at, true) },
  3: { name: 'i16', bytes: 2, read: (view, at) => view.getInt16(at, true) },
  4: { name: 'u32', bytes: 4, read: (view, at) => view.getUint32(at, true) },
  5: { name: 'i32', bytes: 4, read: (view, at) => view.getInt32(at, true) },
  6: { name: 'f32', bytes: 4, read: (view, at) => decimalOf(view.getFloat32(at, true)) },
  7: { name: 'bool', bytes: 1, read: (view, at) => view.getUint8(at) !== 0 },
  10: { name: 'u64', bytes: 8, read: (view, at) => Number(view.getBigUint64(at, true)) },
  11: { name: 'i64', bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  12: { name: 'f64', bytes: 8, read: (view, at) => view.getFloat64(at, true) },
};

/** A list of numbers, or of booleans, as the file has them. */
export class GgufNumbers {
  readonly length: number;
  /** Little-endian, without gaps. */
  readonly packed: Uint8Array;
  readonly #type: NumberType;
  readonly #view: DataView;

  constructor(type: NumberType, packed: Uint8Array) {
    this.length = packed.length / type.bytes;
    this.packed = packed;
    this.#type = type;
    this.#view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  }

  /** `u8` `i8` `u16` `i16` `u32` `i32` `u64` `i64` `f32` `f64` or `bool`. */
  get type(): string {
    return this.#type.name;
  }

  /** Entry `index`, from 0. */
  at(index: number): number | boolean {
    return this.#type.read(this.#view, index * this.#type.bytes);
  }

  *[Symbol.iterator](): Generator<number | boolean> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }

  /** For error messages. */
  toJSON(): string {
    return `a list of ${this.length} ${this.type}`;
  }
}

/**
 * A list of texts.
 *
 * @example
 * for (let id = 0; id < tokens.length; id++) if (tokens.bytes(id).length === 0) console.log(`${id} is empty`);
 */
export class GgufStrings {
  readonly length: number;
  /** All texts one after the other, in UTF-8, with nothing between. */
  readonly packed: Uint8Array;
  /** [length + 1]: text i is at packed[offsets[i]] up to offsets[i + 1]. */
  readonly offsets: Uint32Array;

  constructor(packed: Uint8Array, offsets: Uint32Array) {
    this.length = offsets.length - 1;
    this.packed = packed;
    this.offsets = offsets;
  }

  /** Text `index`, from 0; bytes that are no UTF-8 become U+FFFD. */
  at(index: number): string {
    const { buffer, byteOffset } = this.packed;
    const from = this.offsets[index]!;
    return Buffer.from(buffer, byteOffset + from, this.offsets[index + 1]! - from).toString('utf8');
  }

  /** The bytes of text `index`, which the caller must not write to. */
  bytes(index: number): Uint8Array {
    return this.packed.subarray(this.offsets[index], this.offsets[index + 1]);
  }

  *[Symbol.iterator](): Generator<string> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }

  /** For error messages. */
  toJSON(): string {
    return `a list of ${this.length} texts`;
  }
}

/** A list of lists, which no key that is read has: it is passed over. */
export class GgufNested {
  readonly length: number;

  constructor(length: number) {
    this.length = length;
  }

  /** For error messages. */
  toJSON(): string {
    return `a list of ${this.length} lists`;
  }
}

/**
 * Reads a value of type `type`, a number that the file gives.
 *
 * @throws KexaError KEXA_BAD_FILE naming `key`.
 */
export async function readGgufValue(source: GgufSource, type: number, key: string): Promise<GgufValue> {
  if (type === arrayType) return await readList(source, key);
  if (type === stringType) return await readGgufText(source, key, longestText);
  const number = numberTypes[type];
  if (number === undefined) throw source.bad(`${key}: no such type of value: ${type}`);
  await source.need(number.bytes, key);
  const view = source.view(number.bytes);
  if (number.name === 'bool' && view.getUint8(0) > 1) {
    throw source.bad(`${key}: wanted a boolean, 0 or 1, found ${view.getUint8(0)}`);
  }
  return number.read(view, 0);
}

/** Reads a text that has its length before it. */
export async function readGgufText(source: GgufSource, what: string, longest: number): Promise<string> {
  await source.need(8, what);
  const length = source.u64(what);
  source.fits(length, 1, what);
  if (length > longest) throw source.bad(`${what}: wanted at most ${longest} bytes of text, found ${length}`);
  return await source.text(length, what);
}

async function readList(source: GgufSource, key: string): Promise<GgufList> {
  await source.need(12, key);
  const type = source.u32();
  const count = source.u64(key);
  source.fits(count, leastBytes(source, type, key), key);
  if (type === stringType) return await readStrings(source, count, key);
  if (type === arrayType) {
    await passLists(source, count, key);
    return new GgufNested(count);
  }
  const number = numberTypes[type]!;
  // A slab that small buffers share would keep all of it alive, and show others' bytes to whoever has `buffer`.
  const packed = new Uint8Array(count * number.bytes);
  await source.readInto(packed, key);
  return new GgufNumbers(number, packed);
}

function leastBytes(source: GgufSource, type: number, key: string): number {
  if (type === stringType) return 8;
  if (type === arrayType) return 12;
  const number = numberTypes[type];
  if (number === undefined) throw source.bad(`${key}: no such type of value: ${type}`);
  return number.bytes;
}

async function readStrings(source: GgufSource, count: number, key: string): Promise<GgufStrings> {
  const offsets = new Uint32Array(count + 1);
  let packed = new Uint8Array(firstCapacity);
  let end = 0;
  for (let index = 0; index < count; index++) {
    if (!source.has(8)) await source.need(8, key);
    const length = source.u64(key);
    source.fits(length, 1, key);
    if (end + length > packed.length) {
      const larger = new Uint8Array(Math.max(end + length, 2 * packed.length));
      larger.set(packed.subarray(0, end));
      packed = larger;
    }
    const text = packed.subarray(end, end + length);
    if (source.has(length)) source.copyInto(text);
    else await source.readInto(text, key);
    end += length;
    offsets[index + 1] = end;
  }
  return new GgufStrings(packed.slice(0, end), offsets);
}

/** Moves behind `count` lists, checking that they are whole. */
async function passLists(source: GgufSource, count: number, key: string): Promise<void> {
  /** Lists still to come, of the outermost list first. */
  const left = [count];
  while (left.length > 0) {
    const depth = left.length - 1;
    if (left[depth] === 0) {
      left.pop();
      continue;
    }
    left[depth]!--;
    if (!source.has(12)) await source.need(12, key);
    const type = source.u32();
    const entries = source.u64(key);
    const least = leastBytes(source, type, key);
    source.fits(entries, least, key);
    if (type === arrayType) {
      if (left.length >= mostNesting) throw source.bad(`${key}: lists nested more than ${mostNesting} deep`);
      left.push(entries);
    } else if (type === stringType) {
      for (let index = 0; index < entries; index++) {
        if (!source.has(8)) await source.need(8, key);
        source.skip(source.u64(key), key);
      }
    } else source.skip(entries * least, key);
  }
}

/** The shortest decimal number that the f32 is the nearest of: 1e-5, and not 0.000009999999747378752. */
function decimalOf(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}
