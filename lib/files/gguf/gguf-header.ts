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

/** A tensor's entry in the header. */
export interface TensorInfo {
  name: string;
  /** Row-major. The file stores it in the other order. */
  shape: readonly number[];
  typeId: number;
  /** Counted from the start of the data [bytes]. */
  offset: number;
}

/** Tensors, and the data as a whole, begin at multiples of this. */
export const alignment = 32;

const version = 3;
const typeIds = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

/** The first multiple of {@link alignment} that is no smaller. */
export function aligned(offset: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** The header, padded to where the data begins. */
export function ggufHeader(metadata: Metadata, tensors: readonly TensorInfo[]): Buffer {
  const header = new HeaderBytes();
  header.bytes(Buffer.from('GGUF'));
  header.u32(version);
  header.u64(tensors.length);
  header.u64(metadata.size);
  for (const [key, value] of metadata) {
    header.text(key);
    putValue(header, value);
  }
  for (const { name, shape, typeId, offset } of tensors) {
    header.text(name);
    header.u32(shape.length);
    for (const size of shape.toReversed()) header.u64(size);
    header.u32(typeId);
    header.u64(offset);
  }
  return header.padded();
}

function putValue(header: HeaderBytes, entry: MetadataValue): void {
  const type = entry.type.replace('[]', '') as keyof typeof put;
  const putOne = put[type] as (header: HeaderBytes, value: unknown) => void;
  if (Array.isArray(entry.value)) {
    header.u32(typeIds.array);
    header.u32(typeIds[type]);
    header.u64(entry.value.length);
    for (const value of entry.value) putOne(header, value);
  } else {
    header.u32(typeIds[type]);
    putOne(header, entry.value);
  }
}

const put = {
  u32: (header: HeaderBytes, value: number) => header.u32(value),
  i32: (header: HeaderBytes, value: number) => header.i32(value),
  f32: (header: HeaderBytes, value: number) => header.f32(value),
  bool: (header: HeaderBytes, value: boolean) => header.bytes(Uint8Array.of(Number(value))),
  string: (header: HeaderBytes, value: string) => header.text(value),
};

/** Bytes that grow at their end. A vocabulary has 150,000 texts: too many for a buffer of its own each. */
class HeaderBytes {
  #bytes = Buffer.alloc(2 ** 16);
  #end = 0;

  bytes(value: Uint8Array): void {
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
  }

  u32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  i32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeInt32LE(value, at);
  }

  u64(value: number): void {
    const at = this.#take(8);
    this.#bytes.writeBigUInt64LE(BigInt(value), at);
  }

  f32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeFloatLE(value, at);
  }

  /** Its length in UTF-8, and the text. */
  text(value: string): void {
    const length = Buffer.byteLength(value);
    this.u64(length);
    const at = this.#take(length);
    this.#bytes.write(value, at, 'utf8');
  }

  padded(): Buffer {
    this.#take(aligned(this.#end) - this.#end);
    return this.#bytes.subarray(0, this.#end);
  }

  /** Room for so many bytes more, which are 0. Returns where they begin. */
  #take(bytes: number): number {
    const start = this.#end;
    this.#end += bytes;
    if (this.#end > this.#bytes.length) {
      const larger = Buffer.alloc(2 * this.#end);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return start;
  }
}
