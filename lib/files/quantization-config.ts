/** quantization_config of config.json: how its publisher made the weights smaller. */

import type { Fp8Scheme, Fp8Strategy } from '../description.js';
import { type ConfigFields, isText } from './config-fields.js';
import { fp8Block, patternOf } from './fp8.js';
import { isJsonObject, shown } from './json-file.js';
import { cacheScheme } from './kv-cache-scheme.js';

/** Fields that say nothing of the weights: bookkeeping, and how an engine may round activations. */
const bookkeeping = {
  'compressed-tensors': ['version', 'global_compression_ratio', 'run_compressed', cacheScheme],
  fp8: ['activation_scheme', 'scale_fmt', 'dequantize', 'is_checkpoint_fp8_serialized'],
  group: ['input_activations'],
  weights: ['observer', 'observer_kwargs', 'scale_dtype', 'zp_dtype'],
} as const;

/**
 * Reads it; null where there is none.
 *
 * @throws KexaError KEXA_UNSUPPORTED for weights that are stored in another way than E4M3 with scales for blocks of
 *   128 x 128, rows or whole matrices, and for anything else that changes the maths; KEXA_BAD_CONFIG for a field that
 *   is missing or no such thing.
 */
export function readQuantization(config: ConfigFields): Fp8Scheme | null {
  if (!config.has('quantization_config')) return null;
  const value = config.raw('quantization_config');
  const method = isJsonObject(value) ? (value.quant_method ?? value.quant_algo) : value;
  if (method === 'compressed-tensors') return readCompressedTensors(config.object('quantization_config'));
  if (method === 'fp8') return readFp8(config.object('quantization_config'));
  throw config.unsupported(
    `quantization_config (${shown(method)}): this version reads weights of compressed-tensors and fp8, in FP8; ` +
      'use the bf16 model',
  );
}

function readCompressedTensors(fields: ConfigFields): Fp8Scheme {
  demandOneOf(fields, 'format', ['float-quantized', 'naive-quantized']);
  if (fields.has('quantization_status')) demandOneOf(fields, 'quantization_status', ['compressed', 'frozen']);
  refuseOthers(fields, [
    ...bookkeeping['compressed-tensors'],
    ...['quant_method', 'format', 'quantization_status', 'ignore', 'config_groups'],
  ]);
  const groups = fields.object('config_groups');
  const names = groups.names();
  if (names.length === 0) throw fields.bad(`${fields.label('config_groups')}: wanted at least one group, found none`);
  return {
    groups: names.map((name) => readGroup(groups.object(name))),
    ignored: readNames(fields, 'ignore'),
    isByPart: false,
  };
}

function readGroup(fields: ConfigFields): Fp8Scheme['groups'][number] {
  if (fields.has('format')) demandOneOf(fields, 'format', ['float-quantized', 'naive-quantized']);
  refuseOthers(fields, [...bookkeeping.group, 'format', 'targets', 'weights']);
  const weights = fields.object('weights');
  demandOneOf(weights, 'type', ['float']);
  demandOneOf(weights, 'num_bits', [8]);
  weights.demand('symmetric', true);
  weights.demand('dynamic', false);
  const strategy = weights.has('strategy') ? weights.raw('strategy') : 'tensor';
  if (strategy !== 'block' && strategy !== 'channel' && strategy !== 'tensor') {
    throw weights.unsupported(
      `${weights.label('strategy')} ${shown(strategy)}: this version reads "block", "channel" and "tensor"`,
    );
  }
  if (strategy === 'block') demandBlock(weights, 'block_structure');
  refuseOthers(weights, [
    ...bookkeeping.weights,
    ...['type', 'num_bits', 'symmetric', 'dynamic', 'strategy', 'block_structure'],
  ]);
  if (!fields.has('targets')) throw fields.missing('targets');
  return { targets: readNames(fields, 'targets'), strategy };
}

function readFp8(fields: ConfigFields): Fp8Scheme {
  if (fields.has('fmt')) demandOneOf(fields, 'fmt', ['e4m3', 'float8_e4m3fn']);
  refuseOthers(fields, [
    ...bookkeeping.fp8,
    ...['quant_method', 'fmt', 'weight_block_size', 'modules_to_not_convert', 'ignored_layers'],
  ]);
  let strategy: Fp8Strategy = 'tensor';
  if (fields.has('weight_block_size')) {
    demandBlock(fields, 'weight_block_size');
    strategy = 'block';
  }
  const named = [...readNames(fields, 'modules_to_not_convert'), ...readNames(fields, 'ignored_layers')];
  // The head is left alone by whoever converts a model, unless told otherwise.
  return { groups: [{ targets: ['Linear'], strategy }], ignored: named.length ? named : ['lm_head'], isByPart: true };
}

/** Reads a list of names and patterns, and checks every pattern. */
function readNames(fields: ConfigFields, name: string): string[] {
  const value = fields.raw(name) ?? [];
  if (!Array.isArray(value) || !value.every(isText)) {
    throw fields.bad(`${fields.label(name)}: wanted a list of names, found ${shown(value)}`);
  }
  for (const entry of value) {
    if (!entry.startsWith('re:')) continue;
    try {
      patternOf(entry);
    } catch {
      throw fields.bad(`${fields.label(name)}: wanted a regular expression after re:, found ${shown(entry)}`);
    }
  }
  return value;
}

function demandOneOf(fields: ConfigFields, name: string, wanted: readonly (string | number)[]): void {
  if (!fields.has(name)) throw fields.missing(name);
  const value = fields.raw(name);
  if (wanted.some((one) => one === value)) return;
  const known = wanted.map(shown).join(' or ');
  throw fields.unsupported(`${fields.label(name)} ${shown(value)}: this version reads ${known} only`);
}

function demandBlock(fields: ConfigFields, name: string): void {
  const value = fields.raw(name);
  if (Array.isArray(value) && value.length === 2 && value.every((size) => size === fp8Block)) return;
  if (!fields.has(name)) throw fields.missing(name);
  throw fields.unsupported(
    `${fields.label(name)} ${shown(value)}: this version reads blocks of [${fp8Block}, ${fp8Block}] only`,
  );
}

/** Refuses any other field that is set, because it may change the maths. */
function refuseOthers(fields: ConfigFields, known: readonly string[]): void {
  for (const name of fields.names()) {
    const value = fields.raw(name);
    const isUnset = value === null || value === false || (isJsonObject(value) && Object.keys(value).length === 0);
    if (known.includes(name) || isUnset) continue;
    throw fields.unsupported(
      `${fields.label(name)} ${shown(value)}: this version does not know what it does to the weights`,
    );
  }
}
