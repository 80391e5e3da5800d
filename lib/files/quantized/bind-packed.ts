/** Binds a matrix that a checkpoint stores in int4, int8 or fp4. */
import type { PackedPlace, PackedSource, QuantizationScheme, TensorEntry, WeightFormat } from '../../description.js';
import { KexaError } from '../../errors.js';
import type { TensorSource } from '../family/tensor-sources.js';
import { blockBytes } from '../gguf/gguf-types.js';
import type { Checkpoint, CheckpointTensor } from '../shards.js';
import { mismatch, shapeText, whereIs } from '../tensor-errors.js';
import { elementsOf, type Wanted } from '../wanted-tensors.js';
import {
  type FormatLayout,
  groupSizeOf,
  layouts,
  type MatrixSize,
  type PackedName,
  type PartLayout,
  partName,
  repackedType,
} from './layouts.js';
import { storedFormat } from './scheme.js';

const scaleFormats: Readonly<Record<string, PackedSource['scaleFormat']>> = {
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
  F8_E4M3: 'e4m3',
  U8: 'e8m0',
  F8_E8M0: 'e8m0',
};

/** The size of the groups in which the columns of a stored index are in order. 0: any; null: they are in none. */
export type GroupOrders = ReadonlyMap<string, number | null>;

/** A matrix that a checkpoint stores in a format of few bits. */
interface Packed {
  source: TensorSource;
  layout: FormatLayout;
  size: MatrixSize;
  checkpoint: Checkpoint;
  used: Set<string>;
}

/**
 * Binds a matrix whose codes the checkpoint has under one of the scheme's formats. Null if it has none. `used` gets the
 * names of the tensors that are read.
 *
 * @throws KexaError KEXA_TENSOR_MISMATCH for a tensor that is missing or of another type or shape; KEXA_UNSUPPORTED for
 *   groups that do not divide a row.
 */
export function bindPacked(
  wanted: Wanted,
  source: TensorSource,
  checkpoint: Checkpoint,
  scheme: QuantizationScheme,
  orders: GroupOrders,
  used: Set<string>,
): TensorEntry | null {
  const isStored = (format: WeightFormat) => hasCodes(format, source, checkpoint);
  if (wanted.shape.length !== 2 || !scheme.groups.some(({ format }) => isStored(format))) return null;
  const format = storedFormat(scheme, wanted, source, isStored);
  const [rows, columns] = [source.shape.at(-2)!, source.shape.at(-1)!];
  const groupSize = groupSizeOf(format, columns);
  if (columns % groupSize !== 0) {
    throw new KexaError(
      'KEXA_UNSUPPORTED',
      `${source.name}: wanted rows of whole groups, found ${columns} columns in groups of ${groupSize}; ` +
        'use a copy with other groups, or the bf16 model',
    );
  }
  const layout = layouts[format.name as PackedName];
  const size = { rows, columns, bits: format.bits, groups: columns / groupSize, strategy: format.strategy };
  const parts = findParts({ source, layout, size, checkpoint, used }, format);
  const isInOrder = parts.index === null || [0, groupSize].includes(orders.get(parts.index.tensor.name) ?? -1);
  const type = repackedType(format, columns, isInOrder);
  const stacked = source.shape.length > 2 ? source.shape[0]! : 1;
  const expert = Math.floor(source.firstElement / (rows * columns));
  const placeOf = ({ name, file, offset, bytes }: CheckpointTensor): PackedPlace => {
    return { name, file, offset: offset + (bytes / stacked) * expert };
  };
  const { file, offset } = placeOf(parts.codes.tensor);
  return {
    name: wanted.name,
    file,
    offset,
    bytes: blockBytes(type, elementsOf(wanted.shape)),
    type,
    shape: wanted.shape,
    packed: {
      codeBytes: parts.codes.tensor.bytes / stacked,
      scales: placeOf(parts.scales.tensor),
      ...(parts.zeros && { zeros: placeOf(parts.zeros.tensor) }),
      ...(parts.index && !isInOrder && { groupIndex: placeOf(parts.index.tensor) }),
      ...(parts.factor && { factor: placeOf(parts.factor.tensor) }),
      ...(parts.shape && { weightShape: placeOf(parts.shape.tensor) }),
      dividesByFactor: layout.factor?.divides ?? false,
      bits: format.bits,
      isFloat: layout.isFloat,
      groupSize,
      hasOneScale: format.strategy === 'tensor',
      storedRows: rows,
      firstRow: (source.firstElement % (rows * columns)) / columns,
      codeLayout: layout.codeLayout,
      scaleFormat: scaleFormats[parts.scales.tensor.dtype]!,
      zeroLayout: parts.zeros === null ? 'middle' : layout.zeros[parts.zeros.way]!.layout,
    },
  };
}

/** The stored tensors of a matrix. Null for those that it does without. */
function findParts(packed: Packed, { isSymmetric, isReordered }: WeightFormat) {
  const { layout } = packed;
  return {
    codes: find(packed, [layout.codes], 'codes'),
    scales: find(packed, [layout.scales], 'scales'),
    zeros: isSymmetric ? null : find(packed, layout.zeros, 'zero points'),
    factor: layout.factor && find(packed, [layout.factor], 'factor of all scales'),
    shape: layout.weightShape && find(packed, [layout.weightShape], 'shape', false),
    index: layout.groupIndex && find(packed, [layout.groupIndex], 'groups of the columns', isReordered),
  };
}

/** Whether a checkpoint has the matrix of `source` in one of the scheme's formats of few bits. */
export function isPacked(scheme: QuantizationScheme, source: TensorSource, checkpoint: Checkpoint): boolean {
  return scheme.groups.some(({ format }) => hasCodes(format, source, checkpoint));
}

/** The names under which the codes of a matrix may be stored, where they are not the matrix's own. */
export function codeNames(scheme: QuantizationScheme, source: TensorSource): string[] {
  const names = scheme.groups.map(({ format: { name } }) =>
    name === 'fp8' ? source.name : partName(source.name, layouts[name].codes.suffix),
  );
  return [...new Set(names)].filter((name) => name !== source.name);
}

/** The names of a matrix's parts whose contents are read before the weights. */
export function groupIndexNames(scheme: QuantizationScheme): string[] {
  const suffixes = scheme.groups.flatMap(({ format }) =>
    format.name === 'fp8' ? [] : (layouts[format.name].groupIndex?.suffix ?? []),
  );
  return [...new Set(suffixes)];
}

function hasCodes({ name }: WeightFormat, source: TensorSource, { tensors }: Checkpoint): boolean {
  if (name === 'fp8') return false;
  const { suffix, dtypes } = layouts[name].codes;
  const found = tensors.get(partName(source.name, suffix));
  return found !== undefined && dtypes.includes(found.dtype);
}

interface Found {
  tensor: CheckpointTensor;
  /** The index of its layout among those asked for. */
  way: number;
}

function find(packed: Packed, ways: readonly PartLayout[], what: string): Found;
function find(packed: Packed, ways: readonly PartLayout[], what: string, isNeeded: boolean): Found | null;
function find(
  { source, layout, size, checkpoint, used }: Packed,
  ways: readonly PartLayout[],
  what: string,
  isNeeded = true,
): Found | null {
  const [first] = ways as [PartLayout];
  const name = partName(source.name, first.suffix);
  const tensor = checkpoint.tensors.get(name);
  const stack = source.shape.slice(0, -2);
  const shapesOf = (part: PartLayout) => part.shapes(size).map((shape) => [...stack, ...shape]);
  const wantedText = () => {
    const text = ways.flatMap((way) => shapesOf(way).map((shape) => `${typesText(way.dtypes)} ${shapeText(shape)}`))[0];
    return `${text}, the ${what} of ${source.name}`;
  };
  if (tensor === undefined) {
    if (!isNeeded) return null;
    const codes = checkpoint.tensors.get(partName(source.name, layout.codes.suffix))!;
    throw new KexaError(
      'KEXA_TENSOR_MISMATCH',
      `${name}: wanted ${wantedText()}, found nothing${whereIs(codes, checkpoint)}`,
    );
  }
  const found = shapeText(tensor.shape);
  const way = ways.findIndex(
    (each) => each.dtypes.includes(tensor.dtype) && shapesOf(each).some((shape) => shapeText(shape) === found),
  );
  if (way < 0) throw mismatch(wantedText(), tensor, checkpoint);
  used.add(name);
  return { tensor, way };
}

function typesText(dtypes: readonly string[]): string {
  return dtypes.map((dtype) => dtype.toLowerCase()).join(' or ');
}
