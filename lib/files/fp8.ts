/** Matrices in FP8: which matrices a config stores so, and where their scales are. */
import type { Fp8Scheme, Fp8Strategy, TensorEntry, TensorScales } from '../description.js';
import { KexaError } from '../errors.js';
import type { TensorSource } from './family/tensor-sources.js';
import type { TensorPart } from './wanted-tensors.js';

/** Rows, and columns, of a block. */
export const fp8Block = 128;

type Scaled = { part: TensorPart; name: string; shape: readonly number[] };

/** How a matrix is scaled by the config. Null if the config does not store it in FP8. */
export function plannedStrategy(scheme: Fp8Scheme, tensor: Scaled, source: TensorSource): Fp8Strategy | null {
  if (tensor.shape.length !== 2) return null;
  const module = moduleOf(source.name);
  if (scheme.ignored.some((entry) => isNamed(entry, module, scheme.isByPart))) return null;
  return groupOf(scheme, module, classOf(tensor))?.strategy ?? null;
}

/**
 * How a matrix is scaled that is stored in FP8, whatever the config says of it.
 *
 * @throws KexaError KEXA_UNSUPPORTED if several ways are possible.
 */
export function storedStrategy(scheme: Fp8Scheme, tensor: Scaled, source: TensorSource): Fp8Strategy {
  const [first, ...others] = scheme.groups;
  const isAlike = others.every(({ strategy }) => strategy === first?.strategy);
  const group = isAlike ? first : groupOf(scheme, moduleOf(source.name), classOf(tensor));
  if (group !== undefined) return group.strategy;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `${source.name}: stored in FP8, which config_groups scale in several ways, and none of their targets names it`,
  );
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

/** Scales of activations, which a device that computes in f32 has no use for. */
export function activationScaleNames(source: string): string[] {
  const stem = source.endsWith('.weight') ? source.slice(0, -'weight'.length) : `${source}_`;
  return [`${stem}input_scale`, `${stem}activation_scale`];
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

/** The expression after `re:`. It matches the beginning of a name, as in Python. */
export function patternOf(entry: string): RegExp {
  return new RegExp(`^(?:${entry.slice('re:'.length)})`);
}

function groupOf({ groups }: Fp8Scheme, module: string, className: string) {
  return (
    groups.find(({ targets }) => targets.some((target) => isNamed(target, module, false))) ??
    groups.find(({ targets }) => targets.includes(className))
  );
}

function isNamed(entry: string, module: string, isByPart: boolean): boolean {
  if (entry.startsWith('re:')) return patternOf(entry).test(module);
  return isByPart ? `.${module}.`.includes(`.${entry}.`) : entry === module;
}

function moduleOf(source: string): string {
  return source.endsWith('.weight') ? source.slice(0, -'.weight'.length) : source;
}

/** The class of the module in its publisher's program. The router's weights are a parameter of a class of its own. */
function classOf({ part, name }: Scaled): string {
  if (part === 'embedding') return 'Embedding';
  return part === 'router' || name.endsWith('.router') ? 'Router' : 'Linear';
}
