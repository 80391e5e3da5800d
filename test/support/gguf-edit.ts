/** Takes a GGUF file apart, changes it and writes it again, also in ways that no writer would. */
import { readFileSync, writeFileSync } from 'node:fs';

/** A value with its type in the file, from 0 to 12; a list is of type 9 and has the type of its entries. */
export type Typed =
  | { type: number; value: number | boolean | string }
  | { type: 9; of: number; value: readonly unknown[] }
  /** A value whose bytes are written as they are. */
  | { type: number; bytes: Buffer };

export interface EditedTensor {
  name: string;
  /** The dimensions in the file's order, the innermost first. */
  dimensions: number[];
  typeId: number;
  data: Buffer;
}

export interface EditedGguf {
  keys: Map<string, Typed>;
  tensors: EditedTensor[];
}

export const u32 = (value: number): Typed => ({ type: 4, value });
export const i32 = (value: number): Typed => ({ type: 5, value });
export const f32 = (value: number): Typed => ({ type: 6, value });
export const bool = (value: boolean): Typed => ({ type: 7, value });
export const text = (value: string): Typed => ({ type: 8, value });
export const list = (of: number, value: readonly unknown[]): Typed => ({ type: 9, of, value });

const alignment = 32;

/** Takes a file of the default alignment apart. */
export function takeApart(path: string): EditedGguf {
  const file = readFileSync(path);
  let at = 8;
  const step = (bytes: number) => {
    at += bytes;
    return at - bytes;
  };
  const count = () => Number(file.readBigUInt64LE(step(8)));
  const string = () => {
    const length = count();
    return file.toString('utf8', step(length), at);
  };
  const scalar = (type: number): string | number | boolean => {
    switch (type) {
      case 0:
        return file.readUInt8(step(1));
      case 1:
        return file.readInt8(step(1));
      case 4:
        return file.readUInt32LE(step(4));
      case 5:
        return file.readInt32LE(step(4));
      case 6:
        return file.readFloatLE(step(4));
      case 7:
        return file.readUInt8(step(1)) !== 0;
      case 8:
        return string();
      case 10:
        return count();
      default:
        throw new Error(`type ${type}`);
    }
  };
  const tensorCount = count();
  const keyCount = count();
  const keys = new Map<string, Typed>();
  for (let i = 0; i < keyCount; i++) {
    const key = string();
    const type = file.readUInt32LE(step(4));
    if (type !== 9) keys.set(key, { type, value: scalar(type) });
    else {
      const of = file.readUInt32LE(step(4));
      keys.set(key, { type, of, value: Array.from({ length: count() }, () => scalar(of)) });
    }
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = string();
    const dimensions = Array.from({ length: file.readUInt32LE(step(4)) }, count);
    return { name, dimensions, typeId: file.readUInt32LE(step(4)), offset: count() };
  });
  const start = aligned(at);
  const ends = [...infos.map(({ offset }) => offset), file.length - start].sort((a, b) => a - b);
  const tensors = infos.map(({ offset, ...info }) => {
    const end = ends.find((other) => other > offset)!;
    return { ...info, data: file.subarray(start + offset, start + end) };
  });
  return { keys, tensors };
}

/** The bytes of a whole file. */
export function putTogether({ keys, tensors }: EditedGguf): Buffer {
  const parts = [Buffer.from('GGUF'), number(4, 3), number(10, tensors.length), number(10, keys.size)];
  for (const [key, value] of keys) parts.push(stringBytes(key), typed(value));
  let offset = 0;
  for (const { name, dimensions, typeId, data } of tensors) {
    parts.push(stringBytes(name), number(4, dimensions.length));
    for (const dimension of dimensions) parts.push(number(10, dimension));
    parts.push(number(4, typeId), number(10, offset));
    offset += aligned(data.length);
  }
  const header = Buffer.concat(parts);
  const body = tensors.flatMap(({ data }) => [data, Buffer.alloc(aligned(data.length) - data.length)]);
  return Buffer.concat([header, Buffer.alloc(aligned(header.length) - header.length), ...body]);
}

/** Writes the file at `from` to `to` after `change`. */
export function editGguf(from: string, to: string, change: (file: EditedGguf) => void): string {
  const file = takeApart(from);
  change(file);
  writeFileSync(to, putTogether(file));
  return to;
}

/** A list's bytes behind its key: type, type of the entries, count, entries. */
export function listBytes(of: number, count: number, entries: Buffer): Typed {
  return { type: 9, bytes: Buffer.concat([number(4, of), number(10, count), entries]) };
}

function typed(value: Typed): Buffer {
  const type = number(4, value.type);
  if ('bytes' in value) return Buffer.concat([type, value.bytes]);
  if (!('of' in value)) return Buffer.concat([type, number(value.type, value.value)]);
  const entries = value.value.map((entry) => number(value.of, entry));
  return Buffer.concat([type, number(4, value.of), number(10, entries.length), ...entries]);
}

function number(type: number, value: unknown): Buffer {
  if (type === 8) return stringBytes(value as string);
  const bytes = Buffer.alloc([1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][type]!);
  if (type === 0) bytes.writeUInt8(value as number);
  else if (type === 1) bytes.writeInt8(value as number);
  else if (type === 2) bytes.writeUInt16LE(value as number);
  else if (type === 3) bytes.writeInt16LE(value as number);
  else if (type === 4) bytes.writeUInt32LE(value as number);
  else if (type === 5) bytes.writeInt32LE(value as number);
  else if (type === 6) bytes.writeFloatLE(value as number);
  else if (type === 7) bytes.writeUInt8(Number(value));
  else if (type === 10) bytes.writeBigUInt64LE(BigInt(value as number));
  else if (type === 11) bytes.writeBigInt64LE(BigInt(value as number));
  else if (type === 12) bytes.writeDoubleLE(value as number);
  else throw new Error(`type ${type}`);
  return bytes;
}

function stringBytes(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([number(10, bytes.length), bytes]);
}

function aligned(offset: number): number {
  return Math.ceil(offset / alignment) * alignment;
}
