/** The bytes of a GGUF file (version 3) before its data. */

/** One value of the metadata, with the type it has in the file. */
export type MetadataValue =
  | { type: 'u32'; value: number }
  | { type: 'i32'; value: number }
  | { type: 'i32[]'; value: readonly number[] }
  | { type: 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'bool[]'; value: readonly boolean[] }
  | { type: 'string'; value: string }
  | { type: 'string[]'; value: readonly string[] };

export type Metadata = ReadonlyMap<string, MetadataValue>;

/** What the header says of a tensor. */
export interface TensorInfo {
  name: string;
  /** Row-major; the file has it the other way round. */
  shape: readonly number[];
  typeId: number;
  /** From the start of the data. */
  offset: number;
}

/** Tensors, and the data as a whole, begin at multiples of this. */
export const alignment = 32;

const version = 3;
const typeIds = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

/** Up to the first multiple of {@link alignment}. */
export function aligned(offset: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** The header, padded to where the data begins. */
export function ggufHeader(metadata: Metadata, tensors: readonly TensorInfo[]): Buffer {
  const parts = [Buffer.from('GGUF'), u32(version), u64(tensors.length), u64(metadata.size)];
  for (const [key, value] of metadata) parts.push(text(key), ...valueBytes(value));
  for (const { name, shape, typeId, offset } of tensors) {
    parts.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(typeId), u64(offset));
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([header, Buffer.alloc(aligned(header.length) - header.length)]);
}

function valueBytes(entry: MetadataValue): Buffer[] {
  switch (entry.type) {
    case 'u32':
      return [u32(typeIds.u32), u32(entry.value)];
    case 'i32':
      return [u32(typeIds.i32), i32(entry.value)];
    case 'f32':
      return [u32(typeIds.f32), f32(entry.value)];
    case 'bool':
      return [u32(typeIds.bool), Buffer.from([Number(entry.value)])];
    case 'string':
      return [u32(typeIds.string), text(entry.value)];
    case 'i32[]':
      return array(typeIds.i32, entry.value.map(i32));
    case 'bool[]':
      return array(typeIds.bool, [Buffer.from(entry.value.map(Number))], entry.value.length);
    case 'string[]':
      return array(typeIds.string, entry.value.map(text));
  }
}

function array(typeId: number, values: readonly Buffer[], length = values.length): Buffer[] {
  return [u32(typeIds.array), u32(typeId), u64(length), ...values];
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([u64(bytes.length), bytes]);
}
