/** Matrices in FP8: where their scales are. */
import type { ScaleStrategy, TensorEntry, TensorScales, WeightFormat } from '../description.js';
import type { ConfigFields } from './config-fields.js';
import type { TensorSource } from './family/tensor-sources.js';
import { shown } from './json-file.js';

/** FP8 has no groups. */
export type Fp8Strategy = Exclude<ScaleStrategy, 'group'>;

/** Rows, and columns, of a block. */
export const fp8Block = 128;

/** Refuses blocks of scales of another size. */
export function demandBlock(fields: ConfigFields, name: string): void {
  const value = fields.raw(name);
  if (Array.isArray(value) && value.length === 2 && value.every((size) => size === fp8Block)) return;
  if (!fields.has(name)) throw fields.missing(name);
  throw fields.unsupported(
    `${fields.label(name)} ${shown(value)}: this version reads blocks of [${fp8Block}, ${fp8Block}] only`,
  );
}

/** The format of matrices in FP8. */
export function fp8Format(strategy: Fp8Strategy): WeightFormat {
  return { name: 'fp8', bits: 8, strategy, groupSize: null, isSymmetric: true, isReordered: false };
}

/**
 * The names under which a stored matrix may have its scales. Both multiply: the second is no inverse, whatever its name
 * says.
 */
export function scaleNames(source: string): string[] {
  return [`${source}_scale`, `${source}_scale_inv`];
}

/** The matrix that a tensor of scales belongs to, by its name. */
export function scaledName(scales: string): string {
  return scales.replace(/_scale(_inv)?$/, '');
}

/** The shapes that a stored matrix's scales may have, likeliest first. `shape` may begin with a number of experts. */
export function scaleShapes(strategy: Fp8Strategy, shape: readonly number[]): number[][] {
  const experts = shape.slice(0, -2);
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  if (strategy === 'block') return [[...experts, Math.ceil(rows / fp8Block), Math.ceil(columns / fp8Block)]];
  if (strategy === 'channel')
    return [
      [...experts, rows, 1],
      [...experts, rows],
    ];
  return [experts, [...experts, 1], [...experts, 1, 1]];
}

/** The place of the scales of a part of a stored matrix. `stored.offset` is the place of the whole matrix's scales. */
export function scalesOf(
  strategy: Fp8Strategy,
  source: TensorSource,
  stored: Pick<TensorScales, 'name' | 'file' | 'offset' | 'type'>,
): TensorScales {
  const [rows, columns] = [source.shape.at(-2)!, source.shape.at(-1)!];
  const blockRows = strategy === 'block' ? fp8Block : strategy === 'channel' ? 1 : rows;
  const blockColumns = strategy === 'block' ? fp8Block : columns;
  const gridColumns = Math.ceil(columns / blockColumns);
  const expert = Math.floor(source.firstElement / (rows * columns));
  const firstRow = (source.firstElement % (rows * columns)) / columns;
  const first = (expert * Math.ceil(rows / blockRows) + Math.floor(firstRow / blockRows)) * gridColumns;
  const offset = stored.offset + first * scaleBytes[stored.type];
  return { ...stored, offset, blockRows, blockColumns, skippedRows: firstRow % blockRows };
}

const scaleBytes = { f32: 4, f16: 2, bf16: 2 } as const;

/** The columns of a tensor's grid of scales, and its bytes as stored. Both are 0 for a tensor without scales. */
export function storedScales({ shape, scales }: TensorEntry): { gridColumns: number; bytes: number } {
  if (scales === undefined) return { gridColumns: 0, bytes: 0 };
  const gridRows = Math.ceil((scales.skippedRows + shape[0]!) / scales.blockRows);
  const gridColumns = Math.ceil(shape[1]! / scales.blockColumns);
  return { gridColumns, bytes: gridRows * gridColumns * scaleBytes[scales.type] };
}
