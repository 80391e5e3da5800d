/**
 * The tensors that each format of int4, int8 and fp4 stores for a matrix. It is the one list of their names, types and
 * shapes, which are those of the formats' own libraries: compressed-tensors, AutoAWQ, GPTQModel, modelopt.
 */
import type { PackedSource, TensorType, WeightFormat } from '../../description.js';

/** A matrix of a format, without the dimension of stacked experts. */
export interface MatrixSize {
  rows: number;
  columns: number;
  bits: number;
  /** The groups of a row; 1 if a row or the matrix shares a scale. */
  groups: number;
  strategy: WeightFormat['strategy'];
}

/** A tensor of a matrix. Its name is the module's with `suffix`. */
export interface PartLayout {
  suffix: string;
  dtypes: readonly string[];
  /** The shapes that it may have, likeliest first. */
  shapes: (size: MatrixSize) => number[][];
}

export interface FormatLayout {
  isFloat: boolean;
  codeLayout: PackedSource['codeLayout'];
  codes: PartLayout;
  scales: PartLayout;
  /** The ways in which zeros may be stored, of which one is there unless the format is symmetric. */
  zeros: readonly (PartLayout & { layout: PackedSource['zeroLayout'] })[];
  /** The group of each column. Null if the format has none. */
  groupIndex: PartLayout | null;
  factor: (PartLayout & { divides: boolean }) | null;
  /** A copy of the matrix's shape. Null if the format has none. */
  weightShape: PartLayout | null;
}

const words = (codes: number, bits: number) => Math.ceil((codes * bits) / 32);
const floats = ['BF16', 'F16', 'F32'];

const rowScales: FormatLayout['scales'] = {
  suffix: 'weight_scale',
  dtypes: floats,
  shapes: ({ rows, groups, strategy }) => {
    if (strategy === 'tensor') return [[1], [], [1, 1]];
    return strategy === 'channel' ? [[rows, 1], [rows]] : [[rows, groups]];
  },
};
const signedZeros: FormatLayout['zeros'][number] = {
  ...rowScales,
  suffix: 'weight_zero_point',
  dtypes: ['I8'],
  layout: 'signed',
};
const columnIndex = (suffix: string): PartLayout => ({
  suffix,
  dtypes: ['I32'],
  shapes: ({ columns }) => [[columns]],
});
const none = { zeros: [], groupIndex: null, factor: null, weightShape: null };
const one: PartLayout['shapes'] = () => [[1], []];

const integers = { isFloat: false, factor: null, weightShape: null };

/** Both versions of GPTQ: the inputs of a word one after another, its zeros along the outputs. */
const gptq: FormatLayout = {
  ...integers,
  codeLayout: 'gptq',
  codes: { suffix: 'qweight', dtypes: ['I32'], shapes: ({ rows, columns, bits }) => [[words(columns, bits), rows]] },
  scales: { suffix: 'scales', dtypes: floats, shapes: ({ rows, groups }) => [[groups, rows]] },
  zeros: [
    {
      suffix: 'qzeros',
      dtypes: ['I32'],
      shapes: ({ rows, groups, bits }) => [[groups, words(rows, bits)]],
      layout: 'gptq less one',
    },
  ],
  groupIndex: columnIndex('g_idx'),
};

const e2m1Codes: PartLayout = {
  suffix: 'weight_packed',
  dtypes: ['U8'],
  shapes: ({ rows, columns }) => [[rows, columns / 2]],
};
const nvfp4: FormatLayout = {
  ...none,
  isFloat: true,
  codeLayout: 'rows',
  codes: e2m1Codes,
  scales: { suffix: 'weight_scale', dtypes: ['F8_E4M3'], shapes: ({ rows, groups }) => [[rows, groups]] },
  factor: { suffix: 'weight_global_scale', dtypes: ['F32'], shapes: one, divides: true },
};

export type PackedName = Exclude<WeightFormat['name'], 'fp8'>;

export const layouts: Readonly<Record<PackedName, FormatLayout>> = {
  'pack-quantized': {
    ...integers,
    codeLayout: 'rows',
    codes: {
      suffix: 'weight_packed',
      dtypes: ['I32'],
      shapes: ({ rows, columns, bits }) => [[rows, words(columns, bits)]],
    },
    scales: rowScales,
    zeros: [
      {
        suffix: 'weight_zero_point',
        dtypes: ['I32'],
        shapes: ({ rows, groups, bits, strategy }) => (strategy === 'tensor' ? [] : [[words(rows, bits), groups]]),
        layout: 'rows',
      },
      // A whole matrix has them, and older files have no others.
      signedZeros,
    ],
    groupIndex: columnIndex('weight_g_idx'),
    weightShape: { suffix: 'weight_shape', dtypes: ['I64'], shapes: () => [[2]] },
  },
  'int-quantized': {
    ...integers,
    codeLayout: 'signed',
    codes: { suffix: 'weight', dtypes: ['I8'], shapes: ({ rows, columns }) => [[rows, columns]] },
    scales: rowScales,
    zeros: [signedZeros],
    groupIndex: columnIndex('weight_g_idx'),
  },
  awq: {
    ...integers,
    codeLayout: 'awq',
    codes: { suffix: 'qweight', dtypes: ['I32'], shapes: ({ rows, columns, bits }) => [[columns, words(rows, bits)]] },
    scales: { suffix: 'scales', dtypes: floats, shapes: ({ rows, groups }) => [[groups, rows]] },
    zeros: [
      {
        suffix: 'qzeros',
        dtypes: ['I32'],
        shapes: ({ rows, groups, bits }) => [[groups, words(rows, bits)]],
        layout: 'awq',
      },
    ],
    groupIndex: null,
  },
  gptq,
  gptq_v2: { ...gptq, zeros: gptq.zeros.map((zeros) => ({ ...zeros, layout: 'gptq' })) },
  'nvfp4-pack-quantized': nvfp4,
  nvfp4: {
    ...nvfp4,
    codes: { ...e2m1Codes, suffix: 'weight' },
    factor: { suffix: 'weight_scale_2', dtypes: ['F32'], shapes: one, divides: false },
  },
  'mxfp4-pack-quantized': {
    ...none,
    isFloat: true,
    codeLayout: 'rows',
    codes: e2m1Codes,
    scales: { suffix: 'weight_scale', dtypes: ['U8', 'F8_E8M0'], shapes: ({ rows, groups }) => [[rows, groups]] },
  },
};

/**
 * The name of a part of a stored matrix. A stack of experts has no module of its own, so its name stands for `weight`.
 */
export function partName(source: string, suffix: string): string {
  if (source.endsWith('.weight')) return source.slice(0, -'weight'.length) + suffix;
  return suffix.startsWith('weight') ? source + suffix.slice('weight'.length) : `${source}.${suffix}`;
}

/** The columns that share a scale. A row that is shorter than a group is one group. */
export function groupSizeOf({ strategy, groupSize }: WeightFormat, columns: number): number {
  return strategy === 'group' ? Math.min(groupSize!, columns) : columns;
}

/** The type that a matrix of a format is repacked to: the largest blocks that share a scale. None fits: f32. */
export function repackedType(format: WeightFormat, columns: number, isInOrder: boolean): TensorType {
  if (format.name === 'mxfp4-pack-quantized') return columns % 32 === 0 ? 'mxfp4' : 'f32';
  if (layouts[format.name as PackedName].isFloat) return columns % 64 === 0 ? 'fp4_64' : 'f32';
  const groupSize = groupSizeOf(format, columns);
  const elements = ([128, 32] as const).find((size) => groupSize % size === 0);
  return elements === undefined || !isInOrder ? 'f32' : `int${format.bits}_${elements}`;
}
