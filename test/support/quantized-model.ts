/** Makes random blocks, for models whose matrices are quantised. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelDescription, QuantizedType, TensorEntry, TensorScales } from '../../lib/description.js';
import { blockTypes } from '../../lib/files/gguf/gguf-types.js';
import { blockFormats, isBlockType } from './block-formats.js';
import { randomNumbers } from './compare.js';
import { f16Bits, roundTo } from './random-model.js';

/** The types that matrices can have here. Each way to scale FP8 counts as a type. */
export type RandomType = QuantizedType | 'fp8 by blocks' | 'fp8 by rows' | 'fp8 as a whole';

/**
 * The model with random matrices in place of those that `typeOf` gives a type: blocks of that type, or FP8. They are in
 * a file of their own in `folder`. Their values are of a size that keeps activations of the same order.
 */
export function quantizeAtRandom(
  folder: string,
  description: ModelDescription,
  typeOf: (tensor: TensorEntry) => RandomType | undefined,
): ModelDescription {
  const next = randomNumbers(7);
  const parts: Uint8Array[] = [];
  let offset = 0;
  const tensors = description.tensors.map((tensor) => {
    const type = typeOf(tensor);
    if (!type) return tensor;
    const columns = tensor.shape.at(-1)!;
    if (!isBlockType(type)) {
      const { codes, scales, values } = randomFp8(type, tensor, next);
      parts.push(codes, values);
      offset += codes.length + values.length;
      const at = { file: description.files.length, offset: offset - values.length };
      return {
        ...tensor,
        ...{ type: 'f8_e4m3' as const, file: at.file, offset: at.offset - codes.length, bytes: codes.length },
        scales: { ...scales, ...at },
      };
    }
    const { elements, bytes } = blockTypes[type];
    const data = new Uint8Array((tensor.shape.reduce((a, b) => a * b) / elements) * bytes);
    for (let i = 0; i < data.length; i++) data[i] = Math.floor(next() * 256);
    for (let at = 0; at < data.length; at += bytes) giveScales(type, data.subarray(at, at + bytes), columns, next);
    parts.push(data);
    offset += data.length;
    return { ...tensor, type, file: description.files.length, offset: offset - data.length, bytes: data.length };
  });
  if (parts.length === 0) return description;
  const path = join(folder, 'blocks');
  writeFileSync(path, Buffer.concat(parts));
  return { ...description, files: [...description.files, path], tensors };
}

/** Random FP8 bytes without NaN, but with subnormals, followed by F32 scales. */
function randomFp8(
  type: RandomType,
  { shape }: TensorEntry,
  next: () => number,
): { codes: Uint8Array; scales: Omit<TensorScales, 'file' | 'offset'>; values: Uint8Array } {
  const [rows, columns] = [shape[0]!, shape[1]!];
  const codes = new Uint8Array(rows * columns).map(() => Math.floor(next() * 256));
  for (const [i, code] of codes.entries()) if (code % 128 === 127) codes[i] = 0;
  // Some of a block's rows belong to another matrix, which happens with fused experts.
  const [blockRows, blockColumns, skippedRows] =
    type === 'fp8 by blocks' ? [128, 128, 120] : type === 'fp8 by rows' ? [1, columns, 0] : [rows, columns, 0];
  const count = Math.ceil((rows + skippedRows) / blockRows) * Math.ceil(columns / blockColumns);
  const values = Float32Array.from({ length: count }, () => (0.5 + next()) / (100 * Math.sqrt(columns)));
  const scales = { name: 'scales', type: 'f32', blockRows, blockColumns, skippedRows } as const;
  return { codes, scales, values: new Uint8Array(values.buffer) };
}

function giveScales(type: QuantizedType, block: Uint8Array, columns: number, next: () => number): void {
  const { scales, size, minima, giveScale } = blockFormats[type];
  const largest = 2 / Math.sqrt(columns);
  giveScale?.(block, largest / size, next);
  for (const place of scales) {
    const isMin = place !== scales[0];
    // Minima make up for codes that are never negative.
    const sign = minima === 'added' ? (isMin ? -1 : 1) : minima === undefined && next() < 0.5 ? -1 : 1;
    const most = !isMin ? (2 * largest) / size : minima === 'added' ? largest : largest / minima!;
    const scale = roundTo('F16', sign * most * (0.5 + next() / 2));
    new DataView(block.buffer, block.byteOffset).setUint16(place, f16Bits(scale), true);
  }
}
