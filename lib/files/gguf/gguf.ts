/**
 * One GGUF file's metadata and tensor table, versions 2 and 3. Our own reader: a damaged file has to give an error that
 * says where, and no count or length in it may be believed before there are bytes for it.
 */
import { KexaError } from '../../errors.js';
import { fileError } from '../json-file.js';
import { openRegularFile } from '../regular-file.js';
import type { StoredTensor } from '../safetensors.js';
import { GgufSource } from './gguf-source.js';
import { blockTypes, ggufTypeName, ggufTypeNames, isReadType } from './gguf-types.js';
import { type GgufValue, readGgufText, readGgufValue } from './gguf-values.js';

export interface GgufFile {
  /** Absolute path. */
  path: string;
  metadata: ReadonlyMap<string, GgufValue>;
  /** `dtype` is the type's name in lower case, `shape` row-major, the file's order turned round. */
  tensors: StoredTensor[];
}

const magic = 0x46554747;
/** "vers", of the line that every Git LFS pointer begins with. */
const lfsStart = 0x73726576;
const mostDimensions = 4;
/** Keys, and tensors, of a file. Real ones have some dozens and some hundreds. */
const mostEntries = 2 ** 16;
/** Bytes of a key's name, by the format, and of a tensor's. */
const longestName = 2 ** 16 - 1;

/**
 * Reads the header, in time and memory in proportion to it, and without holding the event loop for long. The tensors'
 * data is not read.
 *
 * @throws KexaError KEXA_NOT_FOUND; KEXA_BAD_FILE for a file that is damaged; KEXA_UNSUPPORTED for another version,
 *   byte order or a type of tensor that is not read.
 */
export async function readGgufFile(path: string): Promise<GgufFile> {
  try {
    const { file, size } = await openRegularFile(path);
    try {
      return await readHeader(new GgufSource(path, file, size));
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw fileError(path, cause);
  }
}

async function readHeader(source: GgufSource): Promise<GgufFile> {
  const { path } = source;
  await readMagic(source);
  await source.need(16, 'tensor count and key count');
  const tensorCount = source.u64('tensor count');
  const keyCount = source.u64('key count');
  checkCount(source, keyCount, 13, 'keys');
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < keyCount; i++) {
    const key = await readGgufText(source, `key ${i}`, longestName);
    if (metadata.has(key)) throw source.bad(`key ${JSON.stringify(key)} is there twice`);
    await source.need(4, key);
    metadata.set(key, await readGgufValue(source, source.u32(), key));
  }
  checkCount(source, tensorCount, 24, 'tensors');
  const tensors: StoredTensor[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await readTensor(source, i);
    if (names.has(tensor.name)) throw source.bad(`tensor ${tensor.name} is there twice`);
    names.add(tensor.name);
    tensors.push(tensor);
  }
  placeTensors(source, tensors, alignmentOf(source, metadata));
  return { path, metadata, tensors };
}

async function readMagic(source: GgufSource): Promise<void> {
  const { path, size } = source;
  await source.need(Math.min(8, size), 'magic');
  const start = size < 4 ? 0 : source.u32();
  if (start === lfsStart)
    throw source.bad('a Git LFS pointer, not the file it points to; fetch it with `git lfs pull`');
  if (start !== magic) throw source.bad('not a GGUF file: it does not begin with "GGUF"');
  await source.need(4, 'version');
  const version = source.u32();
  if (version > 0 && (version & 0xffff) === 0) {
    throw new KexaError('KEXA_UNSUPPORTED', `${path}: a big-endian GGUF file; this version reads little-endian ones`);
  }
  if (version !== 2 && version !== 3) {
    throw new KexaError('KEXA_UNSUPPORTED', `${path}: GGUF version ${version}; this version reads 2 and 3`);
  }
}

function checkCount(source: GgufSource, count: number, least: number, what: string): void {
  source.fits(count, least, what);
  if (count > mostEntries) throw source.bad(`${what}: wanted at most ${mostEntries}, found ${count}`);
}

/** An entry of the table; its offset still counts from the start of the data. */
async function readTensor(source: GgufSource, index: number): Promise<StoredTensor> {
  const name = await readGgufText(source, `tensor ${index}`, longestName);
  await source.need(4, name);
  const dimensions = source.u32();
  if (dimensions < 1 || dimensions > mostDimensions) {
    throw source.bad(`tensor ${name}: wanted 1 to ${mostDimensions} dimensions, found ${dimensions}`);
  }
  await source.need(8 * dimensions + 12, name);
  const shape = Array.from({ length: dimensions }, () => source.u64(name)).reverse();
  const dtype = ggufTypeName(source.u32());
  if (!isReadType(dtype)) {
    const known = ggufTypeNames.join(', ');
    throw new KexaError(
      'KEXA_UNSUPPORTED',
      `${source.path}: tensor ${name}: type ${dtype}; this version reads ${known}`,
    );
  }
  const block = blockTypes[dtype];
  const row = shape.at(-1)!;
  if (row % block.elements !== 0) {
    throw source.bad(`tensor ${name}: rows of ${row} are no multiple of ${dtype}'s blocks of ${block.elements}`);
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  const bytes = (elements / block.elements) * block.bytes;
  if (!Number.isSafeInteger(elements) || !Number.isSafeInteger(bytes)) {
    throw source.bad(`tensor ${name}: shape [${shape.join(', ')}] has too many elements`);
  }
  return { name, dtype, shape, offset: source.u64(name), bytes };
}

function alignmentOf(source: GgufSource, metadata: ReadonlyMap<string, GgufValue>): number {
  const value = metadata.get('general.alignment') ?? 32;
  if (typeof value === 'number' && value >= 8 && value <= 2 ** 20 && Number.isInteger(Math.log2(value))) return value;
  throw source.bad(`general.alignment: wanted a power of two from 8 to ${2 ** 20}, found ${JSON.stringify(value)}`);
}

function placeTensors(source: GgufSource, tensors: StoredTensor[], alignment: number): void {
  const { position, size } = source;
  const dataStart = Math.ceil(position / alignment) * alignment;
  for (const tensor of tensors) {
    if (tensor.offset % alignment !== 0) {
      throw source.bad(`tensor ${tensor.name}: offset ${tensor.offset} is no multiple of the alignment, ${alignment}`);
    }
    tensor.offset += dataStart;
    const end = tensor.offset + tensor.bytes;
    if (end > size) {
      throw source.bad(`tensor ${tensor.name}: ends at byte ${end}, the file at ${size}: the file is cut short`);
    }
  }
  let covered = dataStart;
  for (const { name, offset, bytes } of tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (offset < covered) throw source.bad(`tensor ${name} overlaps the one before it, by ${covered - offset} bytes`);
    covered = offset + bytes;
  }
}
