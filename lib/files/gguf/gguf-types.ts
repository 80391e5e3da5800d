/** The types that a GGUF file stores tensors in: their numbers and names, and how many bytes they take. */
import { type BlockType, elementTypes, quantizedTypes, unreadTypes } from '../../block-types.js';
import type { TensorType } from '../../description.js';

/** The types of GGUF files that the core reads. */
export type GgufType = Exclude<TensorType, 'f8_e4m3'>;

export const blockTypes: Readonly<Record<GgufType, BlockType>> = { ...elementTypes, ...quantizedTypes };

/** The names of the types of blocks. */
export const quantizedNames = Object.keys(quantizedTypes) as (keyof typeof quantizedTypes)[];

/** Bytes of `elements` in a row, which are whole blocks; in FP8 the scales are not among them. */
export function blockBytes(type: TensorType, elements: number): number {
  if (type === 'f8_e4m3') return elements;
  return (elements / blockTypes[type].elements) * blockTypes[type].bytes;
}

/** Bits an element takes, scales included. */
export function bitsOf(type: GgufType): number {
  return (8 * blockTypes[type].bytes) / blockTypes[type].elements;
}

const read: ReadonlyMap<number, string> = new Map(Object.entries(blockTypes).map(([name, { id }]) => [id, name]));

/** The type's name, or its number where it has none here. */
export function ggufTypeName(id: number): string {
  return read.get(id) ?? unreadTypes[id] ?? `number ${id}`;
}

export function isReadType(name: string): name is GgufType {
  return Object.hasOwn(blockTypes, name);
}
