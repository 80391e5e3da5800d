/**
 * Makes models in int4, int8 and fp4, in their publishers' form. Each packer is written from its format's definition,
 * bit by bit, and shares nothing with the code that it tests.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomNumbers } from './compare.js';
import { e4m3Code, e4m3Value, scaleBytes } from './fp8-model.js';
import type { HfModel } from './goldens.js';
import { roundTo } from './random-model.js';
import { type HfConfig, type HfTensors, roundToBf16 } from './reference.js';
import { type TensorToWrite, writeSafetensors } from './safetensors-writer.js';

export interface PackedForm {
  format:
    | 'pack-quantized'
    | 'int-quantized'
    | 'awq'
    | 'gptq'
    | 'gptq_v2'
    | 'nvfp4-pack-quantized'
    | 'modelopt'
    | 'mxfp4-pack-quantized';
  bits?: 4 | 8;
  /** Columns of a group, `row` or `matrix`. */
  group?: number | 'row' | 'matrix';
  hasZeros?: boolean;
  /** Whether zeros of compressed-tensors are bytes, as in older files. */
  hasByteZeros?: boolean;
  /** The groups of the columns: none stored, stored and in order, never set (-1), or in any order. */
  index?: 'none' | 'in order' | 'unset' | 'shuffled';
  scales?: 'F32' | 'BF16' | 'F16';
  experts?: 'separate' | 'fused';
  /** Whether the matrix of a module is stored whole. Default: the embedding, routers and head are. */
  stays?: (module: string) => boolean;
}

/** Rows of one block of 128 and of several of 64, heads of 32, experts whose rows are shorter than a group of 128. */
export const packedSizes: Partial<HfConfig> = {
  model_type: 'exaone_moe',
  vocab_size: 150,
  hidden_size: 128,
  intermediate_size: 256,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  num_hidden_layers: 2,
  first_k_dense_replace: 1,
  layer_types: ['sliding_attention', 'full_attention'],
  num_experts: 4,
  moe_intermediate_size: 64,
};

type Full = Required<PackedForm>;

const usuallyStays = (module: string) => /embed_tokens$|mlp\.gate$|^lm_head$|^mtp\.fc$/.test(module);
const usuallyIgnored = ['lm_head', 're:.*mlp\\.gate$', 'model.embed_tokens', 'mtp.fc'];

/** A matrix in a form: its tensors by the end of their names, and the values that they stand for. */
interface Packed {
  parts: Record<string, TensorToWrite>;
  values: Float64Array;
}

interface Codes {
  rows: number;
  columns: number;
  groups: number;
  /** The group of each column. */
  groupOf: number[];
  codes: Uint8Array;
  /** [rows, groups] */
  scales: number[];
  zeros: number[];
}

function complete(form: PackedForm): Full {
  return {
    bits: 4,
    group: 32,
    hasZeros: false,
    hasByteZeros: false,
    index: 'none',
    scales: 'BF16',
    experts: 'separate',
    stays: usuallyStays,
    ...form,
  };
}

function roundScale(type: Full['scales'], value: number): number {
  return type === 'BF16' ? roundToBf16(value) : roundTo(type, value);
}

/** Words in which values of some bits stand, the lowest bits first. */
class Words {
  readonly words: Uint32Array;

  constructor(count: number) {
    this.words = new Uint32Array(count);
  }

  put(word: number, bit: number, value: number): void {
    this.words[word]! |= value << bit;
  }

  tensor(shape: number[]): TensorToWrite {
    return { dtype: 'I32', shape, data: Buffer.from(this.words.buffer) };
  }
}

/** Rounds a matrix to codes: each group's smallest and largest value become the ends of the range. */
function toCodes(data: Float64Array, rows: number, columns: number, form: Full): Codes {
  const size = typeof form.group === 'number' ? Math.min(form.group, columns) : columns;
  const groups = columns / size;
  const groupOf = Array.from({ length: columns }, (_, column) => Math.floor(column / size));
  if (form.index === 'shuffled') {
    const next = randomNumbers(columns);
    for (let i = columns - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [groupOf[i], groupOf[j]] = [groupOf[j]!, groupOf[i]!];
    }
  }
  const middle = 2 ** (form.bits - 1);
  const largest = 2 ** form.bits - 1;
  const ends = Array.from({ length: rows * groups }, () => [0, 0] as [number, number]);
  const placeOf = (row: number, column: number) => row * groups + groupOf[column]!;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const end = ends[placeOf(row, column)]!;
      const value = data[row * columns + column]!;
      [end[0], end[1]] = [Math.min(end[0], value), Math.max(end[1], value)];
    }
  const ofAll = ends.reduce(([low, high], [a, b]) => [Math.min(low, a), Math.max(high, b)] as [number, number]);
  const own = form.group === 'matrix' ? ends.map(() => ofAll) : ends;
  const scales = own.map(([low, high]) => {
    const span = form.hasZeros ? (high - low) / largest : Math.max(-low, high) / (middle - 0.5);
    return roundScale(form.scales, span);
  });
  const zeros = own.map(([low], i) => {
    const zero = form.hasZeros ? Math.round(-low / scales[i]!) : middle;
    // Format gptq has no room for a zero of 0.
    return Math.min(largest, Math.max(form.format === 'gptq' ? 1 : 0, zero));
  });
  const codes = Uint8Array.from(data, (value, i) => {
    const place = placeOf(Math.floor(i / columns), i % columns);
    return Math.min(largest, Math.max(0, Math.round(value / scales[place]!) + zeros[place]!));
  });
  return { rows, columns, groups, groupOf, codes, scales, zeros };
}

function valuesOf({ columns, groups, groupOf, codes, scales, zeros }: Codes): Float64Array {
  return Float64Array.from(codes, (code, i) => {
    const place = Math.floor(i / columns) * groups + groupOf[i % columns]!;
    return (code - zeros[place]!) * scales[place]!;
  });
}

function indexTensor({ groupOf, columns }: Codes, { index }: Full): TensorToWrite {
  const stored = Int32Array.from(groupOf, (group) => (index === 'unset' ? -1 : group));
  return { dtype: 'I32', shape: [columns], data: Buffer.from(stored.buffer) };
}

function floats(type: Full['scales'], shape: number[], values: readonly number[]): TensorToWrite {
  return { dtype: type, shape, data: scaleBytes(type, values) };
}

function bytes(dtype: string, shape: number[], values: ArrayLike<number>): TensorToWrite {
  return { dtype, shape, data: Buffer.from(Uint8Array.from(values)) };
}

function scalesByRow({ rows, groups, scales }: Codes, form: Full): TensorToWrite {
  if (form.group === 'matrix') return floats(form.scales, [1], [scales[0]!]);
  return floats(form.scales, [rows, groups], scales);
}

function zeroBytes({ rows, groups, zeros }: Codes, form: Full): TensorToWrite {
  const signed = zeros.map((zero) => (zero - 2 ** (form.bits - 1)) & 255);
  return form.group === 'matrix' ? bytes('I8', [1], [signed[0]!]) : bytes('I8', [rows, groups], signed);
}

/** The entries of a matrix, transposed. */
function turned(values: readonly number[], rows: number, columns: number): number[] {
  return Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

type Packer = (codes: Codes, form: Full) => Record<string, TensorToWrite>;

const integerPackers: Record<'pack-quantized' | 'int-quantized' | 'awq' | 'gptq', Packer> = {
  'pack-quantized': (matrix, form) => {
    const { rows, columns, groups, codes, zeros } = matrix;
    const { bits } = form;
    const rowWords = Math.ceil((columns * bits) / 32);
    const packed = new Words(rows * rowWords);
    codes.forEach((code, i) => {
      const bit = (i % columns) * bits;
      packed.put(Math.floor(i / columns) * rowWords + Math.floor(bit / 32), bit % 32, code);
    });
    const shape = Buffer.from(BigInt64Array.of(BigInt(rows), BigInt(columns)).buffer);
    const parts: Record<string, TensorToWrite> = {
      weight_packed: packed.tensor([rows, rowWords]),
      weight_scale: scalesByRow(matrix, form),
      weight_shape: { dtype: 'I64', shape: [2], data: shape },
    };
    if (form.index !== 'none') parts.weight_g_idx = indexTensor(matrix, form);
    if (!form.hasZeros) return parts;
    if (form.hasByteZeros || form.group === 'matrix') return { ...parts, weight_zero_point: zeroBytes(matrix, form) };
    const zeroRows = Math.ceil((rows * bits) / 32);
    const packedZeros = new Words(zeroRows * groups);
    zeros.forEach((zero, i) => {
      const bit = Math.floor(i / groups) * bits;
      packedZeros.put(Math.floor(bit / 32) * groups + (i % groups), bit % 32, zero);
    });
    return { ...parts, weight_zero_point: packedZeros.tensor([zeroRows, groups]) };
  },
  'int-quantized': (matrix, form) => {
    const { rows, columns, codes } = matrix;
    const parts: Record<string, TensorToWrite> = {
      weight: bytes(
        'I8',
        [rows, columns],
        codes.map((code) => (code - 128) & 255),
      ),
      weight_scale: scalesByRow(matrix, form),
    };
    return form.hasZeros ? { ...parts, weight_zero_point: zeroBytes(matrix, form) } : parts;
  },
  awq: ({ rows, columns, groups, codes, scales, zeros }, form) => {
    // Word w of a row of words has outputs 8w + 0, 2, 4, 6, 1, 3, 5, 7 from its lowest bits on.
    const order = [0, 2, 4, 6, 1, 3, 5, 7];
    const width = Math.ceil(rows / 8);
    const pack = (height: number, value: (row: number, output: number) => number) => {
      const words = new Words(height * width);
      for (let row = 0; row < height; row++)
        for (let word = 0; word < width; word++)
          order.forEach((output, place) => {
            if (8 * word + output < rows) words.put(row * width + word, 4 * place, value(row, 8 * word + output));
          });
      return words.tensor([height, width]);
    };
    return {
      qweight: pack(columns, (input, output) => codes[output * columns + input]!),
      qzeros: pack(groups, (group, output) => zeros[output * groups + group]!),
      scales: floats(form.scales, [groups, rows], turned(scales, rows, groups)),
    };
  },
  gptq: (matrix, form) => {
    const { rows, columns, groups, codes, scales, zeros } = matrix;
    const { bits } = form;
    const [height, width] = [Math.ceil((columns * bits) / 32), Math.ceil((rows * bits) / 32)];
    const weight = new Words(height * rows);
    const stored = new Words(groups * width);
    for (let output = 0; output < rows; output++) {
      for (let input = 0; input < columns; input++) {
        const bit = input * bits;
        weight.put(Math.floor(bit / 32) * rows + output, bit % 32, codes[output * columns + input]!);
      }
      for (let group = 0; group < groups; group++) {
        const bit = output * bits;
        const zero = zeros[output * groups + group]! - (form.format === 'gptq' ? 1 : 0);
        stored.put(group * width + Math.floor(bit / 32), bit % 32, zero);
      }
    }
    return {
      qweight: weight.tensor([height, rows]),
      qzeros: stored.tensor([groups, width]),
      scales: floats(form.scales, [groups, rows], turned(scales, rows, groups)),
      ...(form.index !== 'none' && { g_idx: indexTensor(matrix, form) }),
    };
  },
};

const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

/** A matrix in E2M1, the largest of each group 6. NVFP4: scales in E4M3, one factor for all. MXFP4: powers of two. */
function packFloats(data: Float64Array, rows: number, columns: number, { format }: Full): Packed {
  const isMx = format === 'mxfp4-pack-quantized';
  const size = isMx ? 32 : 16;
  const groups = columns / size;
  const peaks = new Array<number>(rows * groups).fill(0);
  data.forEach((value, i) => {
    const group = Math.floor(i / size);
    peaks[group] = Math.max(peaks[group]!, Math.abs(value));
  });
  const largest = Math.max(...peaks);
  // compressed-tensors stores the inverse of modelopt's factor.
  const stored = Math.fround(format === 'modelopt' ? largest / 6 / 448 : (6 * 448) / largest);
  const factor = format === 'modelopt' ? stored : 1 / stored;
  const scaleCodes = peaks.map((peak) =>
    isMx ? 127 + Math.ceil(Math.log2(peak / 6)) : Math.max(1, e4m3Code(peak / 6 / factor)),
  );
  const scales = scaleCodes.map((code) => (isMx ? 2 ** (code - 127) : e4m3Value(code) * factor));
  const values = new Float64Array(data.length);
  const nibbles = Uint8Array.from(data, (value, i) => {
    const scale = scales[Math.floor(i / size)]!;
    const magnitude = Math.abs(value) / scale;
    const level = e2m1.reduce(
      (best, each, code) => (Math.abs(each - magnitude) < Math.abs(e2m1[best]! - magnitude) ? code : best),
      0,
    );
    values[i] = (value < 0 ? -1 : 1) * e2m1[level]! * scale;
    return level | (value < 0 ? 8 : 0);
  });
  const codes = Uint8Array.from({ length: data.length / 2 }, (_, i) => nibbles[2 * i]! | (nibbles[2 * i + 1]! << 4));
  const weight = bytes('U8', [rows, columns / 2], codes);
  const weight_scale = bytes(isMx ? 'U8' : 'F8_E4M3', [rows, groups], scaleCodes);
  const one = (shape: number[]) => floats('F32', shape, [stored]);
  if (isMx) return { parts: { weight_packed: weight, weight_scale }, values };
  // Scales of activations change nothing here.
  if (format === 'modelopt')
    return { parts: { weight, weight_scale, weight_scale_2: one([]), input_scale: one([]) }, values };
  const parts = { weight_packed: weight, weight_scale, weight_global_scale: one([1]), input_global_scale: one([1]) };
  return { parts, values };
}

export function packMatrix(data: Float64Array, rows: number, columns: number, form: PackedForm): Packed {
  const full = complete(form);
  if (/fp4|modelopt/.test(full.format)) return packFloats(data, rows, columns, full);
  const codes = toCodes(data, rows, columns, full);
  const packer = integerPackers[full.format.replace('_v2', '') as keyof typeof integerPackers];
  return { parts: packer(codes, full), values: valuesOf(codes) };
}

/** The quantization_config of such a model. */
export function packedConfig(form: PackedForm): Record<string, unknown> {
  const { format, bits, group, hasZeros, index, stays } = complete(form);
  const groupSize = typeof group === 'number' ? group : -1;
  const skipped = stays === usuallyStays ? usuallyIgnored : [];
  if (format === 'awq') {
    const names = ['lm_head', 'mlp.gate', 'mtp.fc'];
    return {
      quant_method: 'awq',
      version: 'gemm',
      bits,
      group_size: groupSize,
      zero_point: true,
      modules_to_not_convert: names,
    };
  }
  if (format === 'gptq' || format === 'gptq_v2') {
    return {
      quant_method: 'gptq',
      checkpoint_format: format,
      bits,
      group_size: groupSize,
      desc_act: index === 'shuffled',
      sym: !hasZeros,
      dynamic: { '-:.*mlp\\.gate$': {}, '-:mtp\\.fc': {} },
      lm_head: false,
      pack_dtype: 'int32',
      meta: { quantizer: ['gptqmodel:4.0.0'] },
    };
  }
  if (format === 'modelopt') {
    const weights = { dynamic: false, num_bits: 4, type: 'float', group_size: 16 };
    return {
      quant_method: 'modelopt',
      quant_algo: 'NVFP4',
      config_groups: { group_0: { weights, input_activations: weights, targets: ['Linear'] } },
      ignore: ['lm_head', '*.mlp.gate', 'mtp.fc'],
      producer: { name: 'modelopt', version: '0.33.0' },
    };
  }
  return {
    quant_method: 'compressed-tensors',
    format,
    quantization_status: 'compressed',
    kv_cache_scheme: null,
    ignore: skipped,
    config_groups: { group_0: packedGroup(form, ['Linear']) },
  };
}

/** A group of config_groups of compressed-tensors. */
export function packedGroup(form: PackedForm, targets: string[]) {
  const { format, bits, group, hasZeros, index } = complete(form);
  const isFloat = format.includes('fp4');
  const strategies = { row: 'channel', matrix: 'tensor' } as const;
  const [strategy, size] =
    typeof group === 'number' ? (['group', group] as const) : ([strategies[group], null] as const);
  const weights = isFloat
    ? { strategy: format.startsWith('nv') ? 'tensor_group' : 'group', group_size: format.startsWith('nv') ? 16 : 32 }
    : { strategy, group_size: size };
  return {
    targets,
    format,
    input_activations: null,
    output_activations: null,
    weights: {
      num_bits: isFloat ? 4 : bits,
      type: isFloat ? 'float' : 'int',
      symmetric: !hasZeros,
      dynamic: false,
      actorder: index === 'none' ? null : 'group',
      observer: 'minmax',
      ...weights,
    },
  };
}

/** Packs a model's matrices. Returns the tensors to write, and the same model with their values. */
export function packModel(
  model: HfModel,
  formOf: (module: string) => PackedForm | null,
): { files: Record<string, TensorToWrite>; plain: HfModel } {
  const files: Record<string, TensorToWrite> = {};
  const plain: HfTensors = new Map();
  for (const [name, { shape, data }] of model.tensors) {
    const module = name.replace(/\.weight$/, '');
    const form = shape.length === 2 ? formOf(module) : null;
    if (form === null) {
      plain.set(name, { shape, data });
      files[name] = { dtype: 'F32', shape, data: Buffer.from(Float32Array.from(data).buffer) };
      continue;
    }
    const { parts, values } = packMatrix(data, shape[0]!, shape[1]!, form);
    plain.set(name, { shape, data: values });
    for (const [part, tensor] of Object.entries(parts)) files[`${module}.${part}`] = tensor;
  }
  return { files, plain: { config: { ...model.config, dtype: 'float32' }, tensors: plain } };
}

/** Puts the experts of each layer into stacks: parts of `gate_up_proj` and `down_proj`, named as the stack's own. */
export function stackExperts(files: Record<string, TensorToWrite>): Record<string, TensorToWrite> {
  const others: Record<string, TensorToWrite> = {};
  const stacks = new Map<string, TensorToWrite[]>();
  for (const [name, tensor] of Object.entries(files)) {
    const found = /^(.*\.experts)\.\d+\.(gate|up|down)_proj\.weight(.*)$/.exec(name);
    if (found === null) others[name] = tensor;
    else if (found[3] !== '_shape') {
      const stack = `${found[1]}.${found[2] === 'down' ? 'down_proj' : 'gate_up_proj'}${found[3]}`;
      stacks.set(stack, [...(stacks.get(stack) ?? []), tensor]);
    }
  }
  for (const [name, parts] of stacks) {
    const together = name.includes('gate_up_proj') ? 2 : 1;
    const [rows, ...rest] = parts[0]!.shape as [number, ...number[]];
    const shape = [parts.length / together, rows * together, ...rest];
    others[name] = { dtype: parts[0]!.dtype, shape, data: Buffer.concat(parts.map(({ data }) => data)) };
  }
  return others;
}

/** Writes a packed model into `folder`. Returns the model with its values. */
export async function writePackedModel(folder: string, model: HfModel, form: PackedForm): Promise<HfModel> {
  const { stays, experts } = complete(form);
  const { files, plain } = packModel(model, (module) => (stays(module) ? null : form));
  await writePackedFolder(folder, model, experts === 'fused' ? stackExperts(files) : files, packedConfig(form));
  return plain;
}

export async function writePackedFolder(
  folder: string,
  model: HfModel,
  files: Record<string, TensorToWrite>,
  quantization_config: Record<string, unknown>,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...model.config, quantization_config }));
  await writeSafetensors(join(folder, 'model.safetensors'), files);
}
