/** Reads a GGUF file in the simplest way: its metadata, and its tensors' values by the format's definition. */
import { readFileSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import type { QuantizedType, TensorType } from '../../lib/description.js';
import { knownFamily } from '../../lib/files/family/families.js';
import { sourcesOf } from '../../lib/files/family/tensor-sources.js';
import { blockBytes, blockTypes } from '../../lib/files/gguf/gguf-types.js';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { elementsOf, wantedTensors } from '../../lib/files/wanted-tensors.js';
import { blockValues } from './block-formats.js';
import { type TensorToWrite, writeSafetensors } from './safetensors-writer.js';

export interface GgufTensor {
  shape: number[];
  type: TensorType;
  bytes: Buffer;
}

export interface GgufFile {
  metadata: Map<string, unknown>;
  tensors: Map<string, GgufTensor>;
}

export function readGguf(path: string): GgufFile {
  const file = readFileSync(path);
  let at = 0;
  const take = (bytes: number) => {
    at += bytes;
    return file.subarray(at - bytes, at);
  };
  const u32 = () => take(4).readUInt32LE();
  const u64 = () => Number(take(8).readBigUInt64LE());
  const text = () => take(u64()).toString('utf8');
  const value = (type: number): unknown => {
    if (type === 4) return u32();
    if (type === 5) return take(4).readInt32LE();
    if (type === 6) return take(4).readFloatLE();
    if (type === 7) return take(1)[0] === 1;
    if (type === 8) return text();
    if (type !== 9) throw new Error(`type ${type} of metadata`);
    const each = u32();
    return Array.from({ length: u64() }, () => value(each));
  };
  if (take(4).toString() !== 'GGUF' || u32() !== 3) throw new Error('not GGUF 3');
  const tensorCount = u64();
  const metadata = new Map(Array.from({ length: u64() }, () => [text(), value(u32())] as const));
  const types = new Map(Object.entries(blockTypes).map(([name, { id }]) => [id, name as TensorType]));
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: types.get(u32())!, offset: u64() };
  });
  const data = Math.ceil(at / 32) * 32;
  const tensors = infos.map(({ name, shape, type, offset }) => {
    const start = data + offset;
    const bytes = file.subarray(start, start + blockBytes(type, elementsOf(shape)));
    return [name, { shape, type, bytes }] as const;
  });
  return { metadata, tensors: new Map(tensors) };
}

/** A tensor's values, rounded to f32. */
export function valuesOf({ type, bytes }: GgufTensor): Float32Array {
  const copy = Uint8Array.from(bytes);
  if (type === 'f32') return new Float32Array(copy.buffer);
  if (type === 'f16') {
    // A block of q8_0 with the number 1 in it is its f16 scale.
    return Float32Array.from({ length: copy.length / 2 }, (_, i) => {
      const block = new Uint8Array(34);
      block.set(copy.subarray(2 * i, 2 * i + 2));
      block[2] = 1;
      return blockValues('q8_0', block)[0]!;
    });
  }
  return Float32Array.from(blockValues(type as QuantizedType, copy));
}

/** Writes the values of `gguf`, made from the model in `from`, as a model folder in f32. */
export async function writeAsFolder(gguf: string, from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, filter: (path) => !path.endsWith('.safetensors') });
  const { description, config } = await openModelFolder(from);
  const family = knownFamily(config.modelType);
  const { tensors } = readGguf(gguf);
  const values = new Map<string, Float32Array>();
  const used = new Map<string, number>();
  const output: Record<string, TensorToWrite> = {};
  for (const wanted of wantedTensors(description)) {
    const { shape } = wanted;
    const place = sourcesOf(family.gguf, wanted, description)[0]!.name;
    const all = values.get(place) ?? valuesOf(tensors.get(place)!);
    values.set(place, all);
    const start = used.get(place) ?? 0;
    const part = all.subarray(start, start + elementsOf(shape));
    used.set(place, start + part.length);
    output[sourcesOf(family.folder, wanted, description)[0]!.name] = {
      dtype: 'F32',
      shape,
      data: Buffer.from(Float32Array.from(part).buffer),
    };
  }
  const written = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8'));
  writeFileSync(join(to, 'config.json'), JSON.stringify({ ...written, dtype: 'float32' }));
  await writeSafetensors(join(to, 'model.safetensors'), output);
}
