/** The types that tensors are stored in: their numbers and names in GGUF files, and how many bytes they take. */
import { type BlockType, elementTypes, folderBlockTypes, ggufBlockTypes, unreadTypes } from '../../block-types.js';
import type { QuantizedType, TensorType } from '../../description.js';

/** The types of GGUF files that the core reads. */
export type GgufType = keyof typeof elementTypes | keyof typeof ggufBlockTypes;

const ggufTypes: Readonly<Record<GgufType, BlockType>> = { ...elementTypes, ...ggufBlockTypes };

/** The names of the types of GGUF files that the core reads. */
export const ggufTypeNames = Object.keys(ggufTypes) as readonly GgufType[];

/** Every type but FP8, whose scales lie apart from the weights. */
export type InlineType = Exclude<TensorType, 'f8_e4m3'>;

export const blockTypes: Readonly<Record<InlineType, BlockType>> = { ...ggufTypes, ...folderBlockTypes };

/** The names of the types of blocks. */
export const quantizedNames = [...Object.keys(ggufBlockTypes), ...Object.keys(folderBlockTypes)] as QuantizedType[];

/** Bytes of `elements` in a row, which are whole blocks; in FP8 the scales are not among them. */
export function blockBytes(type: TensorType, elements: number): number {
  if (type === 'f8_e4m3') return elements;
  return (elements / blockTypes[type].elements) * blockTypes[type].bytes;
}

/** Bits an element takes, scales included. */
export function bitsOf(type: InlineType): number {
  return (8 * blockTypes[type].bytes) / blockTypes[type].elements;
}

const read: ReadonlyMap<number, string> = new Map(Object.entries(ggufTypes).map(([name, { id }]) => [id, name]));

/** The type's name, or its number where it has none here. */
export function ggufTypeName(id: number): string {
  return read.get(id) ?? unreadTypes[id] ?? `number ${id}`;
}

export function isReadType(name: string): name is GgufType {
  return Object.hasOwn(ggufTypes, name);
}
