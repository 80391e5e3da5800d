/** Makes models with matrices in FP8, in their publishers' form: E4M3 by the published formula, and scales. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HfModel } from './goldens.js';
import { f16Bits, roundTo } from './random-model.js';
import { type HfTensors, roundToBf16 } from './reference.js';
import { type TensorToWrite, writeSafetensors } from './safetensors-writer.js';

export type ScaleType = 'F32' | 'BF16' | 'F16';
export type Strategy = 'block' | 'channel' | 'tensor';

export interface Fp8Options {
  strategy: Strategy;
  /**
   * compressed-tensors, or the fp8 of transformers, whose scales of blocks have names that end in `weight_scale_inv`.
   */
  method: 'compressed-tensors' | 'fp8';
  scales: ScaleType;
  /** Whether each expert is a tensor of its own, or a layer's are stacked. */
  experts?: 'separate' | 'fused';
  /** Whether the matrix of a module stays in BF16. Default: the embedding, routers and head do. */
  stays?: (module: string) => boolean;
}

/** The value of a byte: S.EEEE.MMM, bias 7, subnormals of 2^-9, no infinities. */
export function e4m3Value(code: number): number {
  const [exponent, fraction] = [(code >> 3) & 15, code & 7];
  if (exponent === 15 && fraction === 7) return Number.NaN;
  const magnitude = exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7);
  return code & 128 ? -magnitude : magnitude;
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/** The byte nearest to an f32 number, ties to even. A number that is too large becomes 448. */
export function e4m3Code(value: number): number {
  float[0] = Math.abs(value);
  const bits = floatBits[0]!;
  let code: number;
  if (float[0] < 2 ** -6) {
    const steps = float[0] * 2 ** 9;
    code = Math.floor(steps);
    if (steps - code > 0.5 || (steps - code === 0.5 && code % 2 === 1)) code++;
  } else {
    // The exponent less by 120, and three bits of the fraction.
    code = Math.min(126, (bits - (120 << 23) + 0x7ffff + ((bits >>> 20) & 1)) >>> 20);
  }
  return value < 0 ? code | 128 : code;
}

/** The rows and columns of a matrix that share a scale. */
export function blockOf(strategy: Strategy, rows: number, columns: number): [number, number] {
  if (strategy === 'block') return [128, 128];
  return strategy === 'channel' ? [1, columns] : [rows, columns];
}

export interface Fp8Matrix {
  codes: Uint8Array;
  scales: number[];
  gridColumns: number;
  /** The values of bytes and scales, in f32. */
  values: Float64Array;
}

/** A matrix in FP8: each block's largest magnitude becomes 448. */
export function toFp8(
  data: Float64Array,
  rows: number,
  columns: number,
  strategy: Strategy,
  type: ScaleType,
): Fp8Matrix {
  const [blockRows, blockColumns] = blockOf(strategy, rows, columns);
  const gridColumns = Math.ceil(columns / blockColumns);
  const gridRows = Math.ceil(rows / blockRows);
  const codes = new Uint8Array(data.length);
  const values = new Float64Array(data.length);
  const scales = new Array<number>(gridRows * gridColumns);
  for (let block = 0; block < scales.length; block++) {
    const firstRow = Math.floor(block / gridColumns) * blockRows;
    const firstColumn = (block % gridColumns) * blockColumns;
    const [endRow, endColumn] = [Math.min(rows, firstRow + blockRows), Math.min(columns, firstColumn + blockColumns)];
    let largest = 0;
    for (let row = firstRow; row < endRow; row++)
      for (let i = row * columns + firstColumn; i < row * columns + endColumn; i++)
        largest = Math.max(largest, Math.abs(data[i]!));
    const scale = roundScale(type, largest / 448);
    scales[block] = scale;
    for (let row = firstRow; row < endRow && scale > 0; row++)
      for (let i = row * columns + firstColumn; i < row * columns + endColumn; i++) {
        codes[i] = e4m3Code(data[i]! / scale);
        values[i] = Math.fround(codeValues[codes[i]!]! * scale);
      }
  }
  return { codes, scales, gridColumns, values };
}

const codeValues = Float64Array.from({ length: 256 }, (_, code) => e4m3Value(code));

function roundScale(type: ScaleType, value: number): number {
  return type === 'BF16' ? roundToBf16(value) : roundTo(type, value);
}

export function scaleBytes(type: ScaleType, scales: readonly number[]): Buffer {
  if (type === 'F32') return Buffer.from(Float32Array.from(scales).buffer);
  const bits = new Uint32Array(Float32Array.from(scales).buffer);
  return Buffer.from(
    Uint16Array.from(scales, (scale, i) => (type === 'BF16' ? bits[i]! >>> 16 : f16Bits(scale))).buffer,
  );
}

/** The quantization_config of such a model's config.json. */
export function quantizationConfig({ strategy, method }: Pick<Fp8Options, 'strategy' | 'method'>, ignored: string[]) {
  if (method === 'fp8') {
    const size = strategy === 'block' ? { weight_block_size: [128, 128] } : {};
    return { quant_method: 'fp8', activation_scheme: 'dynamic', modules_to_not_convert: ignored, ...size };
  }
  const weights = {
    num_bits: 8,
    type: 'float',
    symmetric: true,
    dynamic: false,
    strategy,
    block_structure: strategy === 'block' ? [128, 128] : null,
    group_size: null,
    observer: 'minmax',
  };
  const activations = { num_bits: 8, type: 'float', dynamic: true, strategy: 'token', symmetric: true };
  return {
    quant_method: 'compressed-tensors',
    format: 'float-quantized',
    quantization_status: 'compressed',
    kv_cache_scheme: null,
    ignore: ignored,
    config_groups: {
      group_0: { targets: ['Linear'], weights, input_activations: activations, output_activations: null },
    },
  };
}

/** The modules that publishers do not convert. */
const usuallyIgnored = ['lm_head', 're:.*mlp\\.gate$', 'model.embed_tokens'];
const usuallyStays = (module: string) => /embed_tokens$|mlp\.gate$|^lm_head$/.test(module);

/** Converts a model's matrices to FP8. Returns the tensors to write, and the same model with their values in f32. */
export function quantizeModel(
  model: HfModel,
  { strategy, method, scales: type, experts = 'separate', stays = usuallyStays }: Fp8Options,
): { files: Record<string, TensorToWrite>; plain: HfModel } {
  const suffix = method === 'fp8' && strategy === 'block' ? '_scale_inv' : '_scale';
  const files: Record<string, TensorToWrite> = {};
  const plain: HfTensors = new Map();
  const stacks = new Map<string, { name: string; data: Float64Array; shape: number[] }[]>();
  const put = (stored: string, shape: number[], matrices: Fp8Matrix[]) => {
    const grid = [matrices[0]!.scales.length / matrices[0]!.gridColumns, matrices[0]!.gridColumns];
    const scaleShape = [...shape.slice(0, -2), ...(strategy === 'tensor' ? [] : grid)];
    const all = matrices.flatMap((matrix) => matrix.scales);
    files[stored] = { dtype: 'F8_E4M3', shape, data: Buffer.concat(matrices.map(({ codes }) => codes)) };
    files[`${stored}${suffix}`] = { dtype: type, shape: scaleShape, data: scaleBytes(type, all) };
  };
  for (const [name, { shape, data }] of model.tensors) {
    const module = name.replace(/\.weight$/, '');
    if (shape.length !== 2 || stays(module)) {
      plain.set(name, { shape, data });
      files[name] = { dtype: 'F32', shape, data: Buffer.from(Float32Array.from(data).buffer) };
      continue;
    }
    const expert = /^(.*\.experts)\.\d+\.(gate|up|down)_proj$/.exec(module);
    if (expert !== null && experts === 'fused') {
      const stack = `${expert[1]}.${expert[2] === 'down' ? 'down_proj' : 'gate_up_proj'}`;
      stacks.set(stack, [...(stacks.get(stack) ?? []), { name, data, shape }]);
      continue;
    }
    const matrix = toFp8(data, shape[0]!, shape[1]!, strategy, type);
    put(name, shape, [matrix]);
    plain.set(name, { shape, data: matrix.values });
  }
  for (const [stack, parts] of stacks) {
    // An expert's gate is stacked on its up, and a block may lie over both.
    const together = stack.endsWith('gate_up_proj') ? 2 : 1;
    const [rows, columns] = [parts[0]!.shape[0]! * together, parts[0]!.shape[1]!];
    const matrices: Fp8Matrix[] = [];
    for (let first = 0; first < parts.length; first += together) {
      const own = parts.slice(first, first + together);
      const matrix = toFp8(joined(own), rows, columns, strategy, type);
      matrices.push(matrix);
      for (const [i, { name, shape, data }] of own.entries())
        plain.set(name, { shape, data: matrix.values.slice(i * data.length, (i + 1) * data.length) });
    }
    put(stack, [matrices.length, rows, columns], matrices);
  }
  return { files, plain: { config: { ...model.config, dtype: 'float32' }, tensors: plain } };
}

function joined(parts: { data: Float64Array }[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of parts) {
    all.set(data, at);
    at += data.length;
  }
  return all;
}

/**
 * Writes an FP8 model into `folder`. Returns the model with its values in f32. The tensor `damaged` gets a weight that
 * is not a number.
 */
export async function writeFp8Model(
  folder: string,
  model: HfModel,
  options: Fp8Options,
  damaged?: string,
): Promise<HfModel> {
  const { files, plain } = quantizeModel(model, options);
  if (damaged !== undefined) files[damaged]!.data[1000] = 0xff;
  mkdirSync(folder, { recursive: true });
  const ignored = options.stays ? [] : usuallyIgnored;
  const config = { ...model.config, quantization_config: quantizationConfig(options, ignored) };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  await writeSafetensors(join(folder, 'model.safetensors'), files);
  return plain;
}
