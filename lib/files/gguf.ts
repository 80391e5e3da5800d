/**
 * One GGUF file's metadata and tensor table, versions 2 and 3. Our own reader: a damaged file has to give an error that
 * says where, and no count or length in it may be believed before there are bytes for it.
 */
import { open } from 'node:fs/promises';
import { KexaError } from '../errors.js';
import { blockTypes, ggufTypeName, isReadType } from './gguf-types.js';
import { fileError } from './json-file.js';
import type { StoredTensor } from './safetensors.js';

export type GgufValue = string | number | boolean | GgufValue[];

export interface GgufFile {
  /** Absolute path. */
  path: string;
  metadata: ReadonlyMap<string, GgufValue>;
  /** `dtype` is the type's name in lower case, `shape` row-major, the file's order turned round. */
  tensors: StoredTensor[];
}

const magic = 0x46554747;
const firstWindow = 2 ** 20;
const largestHeader = 2 ** 28;
const mostDimensions = 4;
const mostNesting = 4;
const stringType = 8;
const arrayType = 9;
const bytesOfType: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  8: 8,
  9: 12,
  10: 8,
  11: 8,
  12: 8,
};

/**
 * Reads the header. The tensors' data is not read.
 *
 * @throws KexaError KEXA_NOT_FOUND; KEXA_BAD_FILE for a file that is damaged; KEXA_UNSUPPORTED for another version,
 *   byte order or a type of tensor that is not read.
 */
export async function readGgufFile(path: string): Promise<GgufFile> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      // The header does not say how long it is: read more until it fits.
      for (let window = firstWindow; ; window *= 4) {
        const bytes = Buffer.alloc(Math.min(window, size, largestHeader));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
        if (bytesRead < bytes.length) throw bad(path, `wanted ${bytes.length} bytes, found ${bytesRead}`);
        try {
          return parse(path, new Cursor(path, bytes, size));
        } catch (error) {
          if (!(error instanceof WindowEnd)) throw error;
          if (bytes.length === largestHeader) throw bad(path, `the header takes more than ${largestHeader} bytes`);
        }
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
}

/** Thrown when the header goes on behind the bytes read so far. */
class WindowEnd extends Error {}

class Cursor {
  at = 0;
  constructor(
    readonly path: string,
    readonly bytes: Buffer,
    readonly size: number,
  ) {}

  take(count: number, what: string): number {
    const begin = this.at;
    const end = begin + count;
    if (end > this.size)
      throw bad(this.path, `${what}: wanted ${count} bytes at ${begin}, the file ends at ${this.size}`);
    if (end > this.bytes.length) throw new WindowEnd();
    this.at = end;
    return begin;
  }

  /** Checks that `count` entries of at least `least` bytes can follow, before anything is allocated for them. */
  fits(count: number, least: number, what: string): void {
    if (count * least > this.size - this.at) {
      throw bad(this.path, `${what}: ${count} entries do not fit in the ${this.size - this.at} bytes that are left`);
    }
  }

  u32(what: string): number {
    return this.bytes.readUInt32LE(this.take(4, what));
  }

  u64(what: string): number {
    const value = Number(this.bytes.readBigUInt64LE(this.take(8, what)));
    if (!Number.isSafeInteger(value)) throw bad(this.path, `${what}: ${value} is out of range`);
    return value;
  }

  text(what: string): string {
    const length = this.u64(what);
    const begin = this.take(length, what);
    return this.bytes.toString('utf8', begin, begin + length);
  }
}

function parse(path: string, cursor: Cursor): GgufFile {
  if (cursor.u32('magic') !== magic) throw bad(path, 'not a GGUF file: it does not begin with "GGUF"');
  const version = cursor.u32('version');
  if (version > 0 && (version & 0xffff) === 0) {
    throw new KexaError('KEXA_UNSUPPORTED', `${path}: a big-endian GGUF file; this version reads little-endian ones`);
  }
  if (version !== 2 && version !== 3) {
    throw new KexaError('KEXA_UNSUPPORTED', `${path}: GGUF version ${version}; this version reads 2 and 3`);
  }
  const tensorCount = cursor.u64('tensor count');
  const keyCount = cursor.u64('key count');
  cursor.fits(keyCount, 13, 'keys');
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < keyCount; i++) {
    const key = cursor.text(`key ${i}`);
    if (metadata.has(key)) throw bad(path, `key ${JSON.stringify(key)} is there twice`);
    metadata.set(key, readValue(cursor, cursor.u32(key), key, 0));
  }
  cursor.fits(tensorCount, 24, 'tensors');
  const tensors: StoredTensor[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = readTensor(cursor, i);
    if (names.has(tensor.name)) throw bad(path, `tensor ${tensor.name} is there twice`);
    names.add(tensor.name);
    tensors.push(tensor);
  }
  placeTensors(path, tensors, alignmentOf(path, metadata), cursor.at, cursor.size);
  return { path, metadata, tensors };
}

function readValue(cursor: Cursor, type: number, key: string, depth: number): GgufValue {
  const { bytes } = cursor;
  const size = bytesOfType[type];
  if (size === undefined) throw bad(cursor.path, `${key}: no such type of value: ${type}`);
  if (type === stringType) return cursor.text(key);
  if (type === arrayType) {
    if (depth >= mostNesting) throw bad(cursor.path, `${key}: arrays nested more than ${mostNesting} deep`);
    const entry = cursor.u32(key);
    const count = cursor.u64(key);
    const least = bytesOfType[entry];
    if (least === undefined) throw bad(cursor.path, `${key}: no such type of value: ${entry}`);
    cursor.fits(count, least, key);
    const values: GgufValue[] = [];
    for (let i = 0; i < count; i++) values.push(readValue(cursor, entry, key, depth + 1));
    return values;
  }
  const at = cursor.take(size, key);
  switch (type) {
    case 0:
      return bytes.readUInt8(at);
    case 1:
      return bytes.readInt8(at);
    case 2:
      return bytes.readUInt16LE(at);
    case 3:
      return bytes.readInt16LE(at);
    case 4:
      return bytes.readUInt32LE(at);
    case 5:
      return bytes.readInt32LE(at);
    case 6:
      return decimalOf(bytes.readFloatLE(at));
    case 7:
      if (bytes[at]! > 1) throw bad(cursor.path, `${key}: wanted a boolean, 0 or 1, found ${bytes[at]}`);
      return bytes[at] === 1;
    case 10:
      return Number(bytes.readBigUInt64LE(at));
    case 11:
      return Number(bytes.readBigInt64LE(at));
    default:
      return bytes.readDoubleLE(at);
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

/** An entry of the table; its offset still counts from the start of the data. */
function readTensor(cursor: Cursor, index: number): StoredTensor {
  const { path } = cursor;
  const name = cursor.text(`tensor ${index}`);
  const dimensions = cursor.u32(name);
  if (dimensions < 1 || dimensions > mostDimensions) {
    throw bad(path, `tensor ${name}: wanted 1 to ${mostDimensions} dimensions, found ${dimensions}`);
  }
  const shape: number[] = [];
  for (let i = 0; i < dimensions; i++) shape.unshift(cursor.u64(name));
  const dtype = ggufTypeName(cursor.u32(name));
  if (!isReadType(dtype)) {
    const known = Object.keys(blockTypes).join(', ');
    throw new KexaError('KEXA_UNSUPPORTED', `${path}: tensor ${name}: type ${dtype}; this version reads ${known}`);
  }
  const block = blockTypes[dtype];
  const row = shape.at(-1)!;
  if (row % block.elements !== 0) {
    throw bad(path, `tensor ${name}: rows of ${row} are no multiple of ${dtype}'s blocks of ${block.elements}`);
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  const bytes = (elements / block.elements) * block.bytes;
  if (!Number.isSafeInteger(elements) || !Number.isSafeInteger(bytes)) {
    throw bad(path, `tensor ${name}: shape [${shape.join(', ')}] has too many elements`);
  }
  return { name, dtype, shape, offset: cursor.u64(name), bytes };
}

function alignmentOf(path: string, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get('general.alignment') ?? 32;
  if (typeof value === 'number' && value >= 8 && value <= 2 ** 20 && Number.isInteger(Math.log2(value))) return value;
  throw bad(path, `general.alignment: wanted a power of two from 8 to ${2 ** 20}, found ${JSON.stringify(value)}`);
}

function placeTensors(path: string, tensors: StoredTensor[], alignment: number, headerEnd: number, size: number): void {
  const dataStart = Math.ceil(headerEnd / alignment) * alignment;
  for (const tensor of tensors) {
    if (tensor.offset % alignment !== 0) {
      throw bad(path, `tensor ${tensor.name}: offset ${tensor.offset} is no multiple of the alignment, ${alignment}`);
    }
    tensor.offset += dataStart;
    const end = tensor.offset + tensor.bytes;
    if (end > size) {
      throw bad(path, `tensor ${tensor.name}: ends at byte ${end}, the file at ${size}: the file is cut short`);
    }
  }
  let covered = dataStart;
  for (const { name, offset, bytes } of tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (offset < covered) throw bad(path, `tensor ${name} overlaps the one before it, by ${covered - offset} bytes`);
    covered = offset + bytes;
  }
}

function bad(path: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_FILE', `${path}: ${message}`);
}
