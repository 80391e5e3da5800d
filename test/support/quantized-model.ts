/** Makes random blocks of GGUF's types, for models whose matrices are quantised. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelDescription, QuantizedType, TensorEntry, TensorScales } from '../../lib/description.js';
import { randomNumbers } from './compare.js';
import { f16Bits, roundTo } from './random-model.js';

interface Format {
  elements: number;
  bytes: number;
  /** The places of a block's f16 scales. The scale of mxfp4 is a byte with an exponent. */
  scales: readonly number[];
  /** About the largest magnitude of a code times its factors other than the f16 scales. */
  size: number;
}

const formats: Record<QuantizedType, Format> = {
  q8_0: { elements: 32, bytes: 34, scales: [0], size: 128 },
  q4_0: { elements: 32, bytes: 18, scales: [0], size: 8 },
  q4_1: { elements: 32, bytes: 20, scales: [0, 2], size: 15 },
  q5_0: { elements: 32, bytes: 22, scales: [0], size: 16 },
  q5_1: { elements: 32, bytes: 24, scales: [0, 2], size: 31 },
  q2_k: { elements: 256, bytes: 84, scales: [80, 82], size: 45 },
  q3_k: { elements: 256, bytes: 110, scales: [108], size: 128 },
  q4_k: { elements: 256, bytes: 144, scales: [0, 2], size: 945 },
  q5_k: { elements: 256, bytes: 176, scales: [0, 2], size: 1953 },
  q6_k: { elements: 256, bytes: 210, scales: [208], size: 4096 },
  iq2_xxs: { elements: 256, bytes: 66, scales: [0], size: 167 },
  iq2_xs: { elements: 256, bytes: 74, scales: [0], size: 167 },
  iq3_xxs: { elements: 256, bytes: 98, scales: [0], size: 480 },
  iq4_nl: { elements: 32, bytes: 18, scales: [0], size: 127 },
  iq4_xs: { elements: 256, bytes: 136, scales: [0], size: 4064 },
  mxfp4: { elements: 32, bytes: 17, scales: [], size: 12 },
};

/** The types that matrices can have here. Each way to scale FP8 counts as a type. */
export type RandomType = QuantizedType | 'fp8 by blocks' | 'fp8 by rows' | 'fp8 as a whole';

/**
 * The model with random matrices in place of those that `typeOf` gives a type: blocks of that type, or FP8. They are in a file
 * of their own in `folder`. Their values are of a size that keeps activations of the same order.
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
    const count = tensor.shape.reduce((a, b) => a * b) / formats[type].elements;
    const data = new Uint8Array(count * formats[type].bytes).map(() => Math.floor(next() * 256));
    for (let at = 0; at < data.length; at += formats[type].bytes) giveScales(type, data, at, columns, next);
    parts.push(data);
    offset += data.length;
    return { ...tensor, type, file: description.files.length, offset: offset - data.length, bytes: data.length };
  });
  if (parts.length === 0) return description;
  const path = join(folder, 'blocks');
  writeFileSync(path, Buffer.concat(parts));
  return { ...description, files: [...description.files, path], tensors };
}

function isBlockType(type: RandomType): type is QuantizedType {
  return Object.hasOwn(formats, type);
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

function giveScales(type: QuantizedType, data: Uint8Array, at: number, columns: number, next: () => number): void {
  const { scales, size } = formats[type];
  const largest = 2 / Math.sqrt(columns);
  // 2^(bits - 128), half of it or twice.
  if (type === 'mxfp4') data[at] = 127 + Math.round(Math.log2(largest / size) + 2 * next() - 1);
  for (const place of scales) {
    // Minima are taken from codes that are never negative, or added to them.
    const isMin = place !== scales[0];
    const sign = type === 'q4_1' || type === 'q5_1' ? (isMin ? -1 : 1) : next() < 0.5 && scales.length === 1 ? -1 : 1;
    const most = isMin && size > 40 ? largest / (type === 'q2_k' ? 15 : 63) : isMin ? largest : (2 * largest) / size;
    const scale = roundTo('F16', sign * most * (0.5 + next() / 2));
    new DataView(data.buffer).setUint16(at + place, f16Bits(scale), true);
  }
}
