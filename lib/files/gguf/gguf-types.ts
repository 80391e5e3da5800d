/** The types a GGUF file stores tensors in, as ggml's public header lists them: numbers, names, and the size of blocks. */
import type { TensorType } from '../../description.js';

/** The types of GGUF files that the core reads. */
export type GgufType = Exclude<TensorType, 'f8_e4m3'>;

export interface BlockType {
  /** In the file. */
  id: number;
  /** Elements of a row that are stored together. */
  elements: number;
  /** Of one block. */
  bytes: number;
}

export const blockTypes: Readonly<Record<GgufType, BlockType>> = {
  f32: { id: 0, elements: 1, bytes: 4 },
  f16: { id: 1, elements: 1, bytes: 2 },
  bf16: { id: 30, elements: 1, bytes: 2 },
  q4_0: { id: 2, elements: 32, bytes: 18 },
  q4_1: { id: 3, elements: 32, bytes: 20 },
  q5_0: { id: 6, elements: 32, bytes: 22 },
  q5_1: { id: 7, elements: 32, bytes: 24 },
  q8_0: { id: 8, elements: 32, bytes: 34 },
  q2_k: { id: 10, elements: 256, bytes: 84 },
  q3_k: { id: 11, elements: 256, bytes: 110 },
  q4_k: { id: 12, elements: 256, bytes: 144 },
  q5_k: { id: 13, elements: 256, bytes: 176 },
  q6_k: { id: 14, elements: 256, bytes: 210 },
  iq2_xxs: { id: 16, elements: 256, bytes: 66 },
  iq2_xs: { id: 17, elements: 256, bytes: 74 },
  iq3_xxs: { id: 18, elements: 256, bytes: 98 },
  iq4_nl: { id: 20, elements: 32, bytes: 18 },
  iq4_xs: { id: 23, elements: 256, bytes: 136 },
  mxfp4: { id: 39, elements: 32, bytes: 17 },
};

/** Bytes of `elements` in a row, which are whole blocks; in FP8 the scales are not among them. */
export function blockBytes(type: TensorType, elements: number): number {
  if (type === 'f8_e4m3') return elements;
  return (elements / blockTypes[type].elements) * blockTypes[type].bytes;
}

/** Bits an element takes, scales included. */
export function bitsOf(type: GgufType): number {
  return (8 * blockTypes[type].bytes) / blockTypes[type].elements;
}

/** Those that the core does not read, to be told by name. */
const unread: Readonly<Record<number, string>> = {
  9: 'q8_1',
  15: 'q8_k',
  19: 'iq1_s',
  21: 'iq3_s',
  22: 'iq2_s',
  24: 'i8',
  25: 'i16',
  26: 'i32',
  27: 'i64',
  28: 'f64',
  29: 'iq1_m',
  34: 'tq1_0',
  35: 'tq2_0',
  40: 'nvfp4',
};

const read: ReadonlyMap<number, string> = new Map(Object.entries(blockTypes).map(([name, { id }]) => [id, name]));

/** The type's name, or its number where it has none here. */
export function ggufTypeName(id: number): string {
  return read.get(id) ?? unread[id] ?? `number ${id}`;
}

export function isReadType(name: string): name is GgufType {
  return Object.hasOwn(blockTypes, name);
}
