/** quantization_config of compressed-tensors, as llm-compressor writes it. */
import type { QuantizationScheme, WeightFormat } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { demandBlock, fp8Format } from '../fp8.js';
import { cacheScheme } from '../kv-cache-scheme.js';
import { demandOneOf, readGroupSize, readNames, refuseOthers } from './scheme-fields.js';

/** Fields that say nothing of the weights: bookkeeping, and how an engine may round activations. */
const bookkeeping = {
  config: ['version', 'global_compression_ratio', 'run_compressed', cacheScheme],
  group: ['input_activations'],
  weights: ['observer', 'observer_kwargs', 'scale_dtype', 'zp_dtype'],
};

/** How the weights of each format are described. */
const formats: Readonly<Record<string, (weights: ConfigFields) => WeightFormat>> = {
  'float-quantized': readFloat8,
  'int-quantized': (weights) => readInteger(weights, 'int-quantized'),
  'mxfp4-pack-quantized': (weights) => readFloat4(weights, 'mxfp4-pack-quantized', 'group', 32),
  'naive-quantized': (weights) =>
    weights.raw('type') === 'int' ? readInteger(weights, 'int-quantized') : readFloat8(weights),
  'nvfp4-pack-quantized': (weights) => readFloat4(weights, 'nvfp4-pack-quantized', 'tensor_group', 16),
  'pack-quantized': (weights) => readInteger(weights, 'pack-quantized'),
};

/** The value of `format` in a config whose groups have several. */
const mixed = 'mixed-precision';

export function readCompressedTensors(fields: ConfigFields): QuantizationScheme {
  const format = demandOneOf(fields, 'format', [...Object.keys(formats), mixed]);
  if (fields.has('quantization_status')) demandOneOf(fields, 'quantization_status', ['compressed', 'frozen']);
  refuseOthers(fields, [
    ...bookkeeping.config,
    ...['quant_method', 'format', 'quantization_status', 'ignore', 'config_groups', 'sparsity_config'],
  ]);
  refuseSparsity(fields);
  const groups = fields.object('config_groups');
  const names = groups.names();
  if (names.length === 0) throw fields.bad(`${fields.label('config_groups')}: wanted at least one group, found none`);
  return {
    groups: names.map((name) => readGroup(groups.object(name), format)),
    ignored: readNames(fields, 'ignore'),
    ignoredBy: 'name',
  };
}

/** Older files say here that nothing is sparse. */
function refuseSparsity(fields: ConfigFields): void {
  if (!fields.has('sparsity_config')) return;
  const sparsity = fields.object('sparsity_config');
  if (sparsity.names().length > 0) demandOneOf(sparsity, 'format', ['dense']);
}

function readGroup(fields: ConfigFields, formatOfAll: string): QuantizationScheme['groups'][number] {
  const ownName = fields.has('format') || formatOfAll === mixed;
  const format = ownName ? demandOneOf(fields, 'format', Object.keys(formats)) : formatOfAll;
  refuseOthers(fields, [...bookkeeping.group, 'format', 'targets', 'weights']);
  const weights = fields.object('weights');
  weights.demand('dynamic', false);
  if (!fields.has('targets')) throw fields.missing('targets');
  return { targets: readNames(fields, 'targets'), format: formats[format]!(weights) };
}

function readFloat8(weights: ConfigFields): WeightFormat {
  demandOneOf(weights, 'type', ['float']);
  demandOneOf(weights, 'num_bits', [8]);
  weights.demand('symmetric', true);
  const strategy = weights.has('strategy')
    ? demandOneOf(weights, 'strategy', ['block', 'channel', 'tensor'])
    : 'tensor';
  if (strategy === 'block') demandBlock(weights, 'block_structure');
  refuseFields(weights, ['block_structure']);
  return fp8Format(strategy);
}

/** `int-quantized` stores a byte for each weight, whatever `num_bits` says. */
function readInteger(weights: ConfigFields, name: 'pack-quantized' | 'int-quantized'): WeightFormat {
  demandOneOf(weights, 'type', ['int']);
  const bits = demandOneOf(weights, 'num_bits', [4, 8]);
  const strategy = readStrategy(weights);
  const order = weights.raw('actorder') ?? false;
  if (!orders.some(({ names }) => names.includes(order))) {
    const known = orders.flatMap(({ names }) => names).filter((value) => typeof value === 'string');
    demandOneOf(weights, 'actorder', known);
  }
  refuseFields(weights, ['group_size', 'actorder']);
  return {
    name,
    bits: name === 'int-quantized' ? 8 : bits,
    strategy,
    groupSize: strategy === 'group' ? readGroupSize(weights) : null,
    isSymmetric: weights.has('symmetric') ? weights.boolean('symmetric') : true,
    isReordered: orders.some(({ names, reorders }) => reorders && names.includes(order)),
  };
}

/** The values of `actorder`. Only one of the two kinds leaves a trace in the files. */
const orders: readonly { names: readonly unknown[]; reorders: boolean }[] = [
  { names: [false, 'static', 'weight'], reorders: false },
  { names: [true, 'group', 'dynamic'], reorders: true },
];

function readStrategy(weights: ConfigFields): 'group' | 'channel' | 'tensor' {
  if (weights.has('strategy')) return demandOneOf(weights, 'strategy', ['group', 'channel', 'tensor']);
  const size = weights.raw('group_size') ?? null;
  if (size === null) return 'tensor';
  return size === -1 ? 'channel' : 'group';
}

function readFloat4(
  weights: ConfigFields,
  name: 'nvfp4-pack-quantized' | 'mxfp4-pack-quantized',
  strategy: string,
  groupSize: number,
): WeightFormat {
  demandOneOf(weights, 'type', ['float']);
  demandOneOf(weights, 'num_bits', [4]);
  weights.demand('symmetric', true);
  demandOneOf(weights, 'strategy', [strategy]);
  demandOneOf(weights, 'group_size', [groupSize]);
  refuseFields(weights, ['group_size']);
  return { name, bits: 4, strategy: 'group', groupSize, isSymmetric: true, isReordered: false };
}

/** Refuses the fields of `weights` that no format and not this one reads. */
function refuseFields(weights: ConfigFields, known: readonly string[]): void {
  refuseOthers(weights, [
    ...bookkeeping.weights,
    ...['type', 'num_bits', 'symmetric', 'dynamic', 'strategy'],
    ...known,
  ]);
}
