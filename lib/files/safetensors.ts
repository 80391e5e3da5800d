/** Reads the header of a safetensors file: names, types, shapes and places. The data is not read. */
import type { FileHandle } from 'node:fs/promises';
import { KexaError } from '../errors.js';
import { isIntegerIn } from './config-fields.js';
import { readJsonEntries } from './json-entries.js';
import { fileError, isJsonObject, type JsonObject, shown } from './json-file.js';
import { openRegularFile, readExactly } from './regular-file.js';

/** One tensor of a file. */
export interface StoredTensor {
  name: string;
  /** The file's spelling, such as `BF16`. It may be a type that kexa does not know. */
  dtype: string;
  shape: number[];
  /** First byte, counted from the start of the file. */
  offset: number;
  bytes: number;
}

/** The format's own limit on its header. */
const largestHeaderBytes = 100_000_000;
const prefixBytes = 8;
const mostDimensions = 16;
/** The limit for one file. K-EXAONE-236B has 18,688 in all of its files. */
const mostTensors = 2 ** 17;

const bitsOf: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  ...{ BOOL: 8, U8: 8, I8: 8, F8_E4M3: 8, F8_E5M2: 8, F8_E8M0: 8 },
  ...{ U16: 16, I16: 16, F16: 16, BF16: 16 },
  ...{ U32: 32, I32: 32, F32: 32 },
  ...{ U64: 64, I64: 64, F64: 64, C64: 64 },
};

/**
 * Reads and checks a file's header. Its tensors come in the order of their bytes, which they cover without gap or
 * overlap to the file's last byte.
 *
 * @throws KexaError KEXA_NOT_FOUND, or KEXA_BAD_FILE saying what is wrong with the file.
 */
export async function readSafetensorsHeader(path: string): Promise<StoredTensor[]> {
  let file: FileHandle | undefined;
  try {
    const opened = await openRegularFile(path);
    const { size } = opened;
    file = opened.file;
    const header = await readHeaderBytes(path, file, size);
    return await checkHeader(path, header, size);
  } catch (cause) {
    throw fileError(path, cause);
  } finally {
    await file?.close();
  }
}

async function readHeaderBytes(path: string, file: FileHandle, fileBytes: number): Promise<Buffer> {
  if (fileBytes < prefixBytes) {
    throw bad(path, `wanted ${prefixBytes} bytes of header length, found ${fileBytes}: the file is cut short`);
  }
  const prefix = Buffer.alloc(prefixBytes);
  await readExactly(path, file, 0, prefix);
  if (prefix.toString('latin1') === 'version ') {
    throw bad(path, 'a Git LFS pointer, not the file it points to; fetch it with `git lfs pull`');
  }
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(largestHeaderBytes)) {
    throw bad(path, `its header claims ${length} bytes, above the format's limit of ${largestHeaderBytes}`);
  }
  const wanted = prefixBytes + Number(length);
  if (wanted > fileBytes) throw bad(path, `wanted ${wanted} bytes, found ${fileBytes}: the file is cut short`);
  const header = Buffer.alloc(Number(length));
  await readExactly(path, file, prefixBytes, header);
  return header;
}

async function checkHeader(path: string, header: Buffer, fileBytes: number): Promise<StoredTensor[]> {
  const dataStart = prefixBytes + header.length;
  const tensors: StoredTensor[] = [];
  await readJsonEntries(`${path}: its header`, header, (name, entry) => {
    if (name === '__metadata__') return;
    if (tensors.length === mostTensors) throw bad(path, `its header names more than ${mostTensors} tensors`);
    tensors.push(checkEntry(path, name, entry, dataStart));
  });
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  checkCover(path, tensors, dataStart, fileBytes);
  return tensors;
}

function checkEntry(path: string, name: string, entry: unknown, dataStart: number): StoredTensor {
  if (!isJsonObject(entry)) throw bad(path, `tensor ${name}: wanted an object, found ${shown(entry)}`);
  const { dtype, shape } = entry;
  if (typeof dtype !== 'string') throw bad(path, `tensor ${name}: dtype: wanted a string, found ${shown(dtype)}`);
  if (!isShape(shape)) {
    throw bad(path, `tensor ${name}: shape: wanted a list of integers from 0, found ${shown(shape)}`);
  }
  const [begin, end] = offsetsOf(path, name, entry);
  const elements = shape.reduce((product, size) => product * size, 1);
  const bits = Object.hasOwn(bitsOf, dtype) ? bitsOf[dtype]! : null;
  if (!Number.isSafeInteger(elements * (bits ?? 8))) {
    throw bad(path, `tensor ${name}: shape ${shown(shape)} has too many elements`);
  }
  if (bits !== null && elements * bits !== (end - begin) * 8) {
    throw bad(
      path,
      `tensor ${name}: ${dtype} ${shown(shape)} takes ${(elements * bits) / 8} bytes, but data_offsets give ${end - begin}`,
    );
  }
  return { name, dtype, shape: [...shape], offset: dataStart + begin, bytes: end - begin };
}

function offsetsOf(path: string, name: string, entry: JsonObject): [number, number] {
  const offsets = entry.data_offsets;
  const isRange =
    Array.isArray(offsets) &&
    offsets.length === 2 &&
    isIntegerIn(offsets[0], 0, 2 ** 52) &&
    isIntegerIn(offsets[1], offsets[0], 2 ** 52);
  if (!isRange) {
    throw bad(path, `tensor ${name}: data_offsets: wanted [begin, end] with begin <= end, found ${shown(offsets)}`);
  }
  return [offsets[0], offsets[1]];
}

function checkCover(path: string, tensors: readonly StoredTensor[], dataStart: number, fileBytes: number): void {
  const wanted = tensors.reduce((end, tensor) => Math.max(end, tensor.offset + tensor.bytes), dataStart);
  if (fileBytes < wanted) throw bad(path, `wanted ${wanted} bytes, found ${fileBytes}: the file is cut short`);
  let covered = dataStart;
  for (const { name, offset, bytes } of tensors) {
    if (offset < covered) throw bad(path, `tensor ${name} overlaps the one before it, by ${covered - offset} bytes`);
    if (offset > covered) throw bad(path, `${offset - covered} bytes before tensor ${name} belong to no tensor`);
    covered = offset + bytes;
  }
  if (fileBytes > wanted) {
    throw bad(path, `wanted ${wanted} bytes, found ${fileBytes}: ${fileBytes - wanted} bytes too many at its end`);
  }
}

function isShape(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= mostDimensions &&
    value.every((size) => isIntegerIn(size, 0, Number.MAX_SAFE_INTEGER))
  );
}

function bad(path: string, message: string): KexaError {
  return new KexaError('KEXA_BAD_FILE', `${path}: ${message}`);
}
