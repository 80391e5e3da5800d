/** quantization_config of config.json: how its publisher made the weights smaller. */
import type { QuantizationScheme } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { isJsonObject, shown } from '../json-file.js';
import { readAwq } from './awq.js';
import { readCompressedTensors } from './compressed-tensors.js';
import { readGptq } from './gptq.js';
import { readFp8 } from './method-fp8.js';
import { readModelopt } from './modelopt.js';

/** How the weights of each `quant_method` are read. */
const methods: Readonly<Record<string, (fields: ConfigFields) => QuantizationScheme>> = {
  awq: readAwq,
  'compressed-tensors': readCompressedTensors,
  fp8: readFp8,
  gptq: readGptq,
  modelopt: readModelopt,
};

/** Methods that are known and not read, each with what its name stands for. */
const refused: Readonly<Record<string, string>> = {
  bitsandbytes: 'weights of bitsandbytes',
  aqlm: 'codebooks of AQLM',
  'auto-round': 'weights of AutoRound in its own format',
  eetq: 'weights of EETQ',
  hqq: 'weights of HQQ',
  quanto: 'weights of Quanto',
  torchao: 'weights of torchao',
  vptq: 'codebooks of VPTQ',
};

/**
 * Reads it; null where there is none.
 *
 * @throws KexaError KEXA_UNSUPPORTED for weights that are stored in another way than those of this folder's files, and
 *   for anything else that changes the maths; KEXA_BAD_CONFIG for a field that is missing or no such thing.
 */
export function readQuantization(config: ConfigFields): QuantizationScheme | null {
  if (!config.has('quantization_config')) return null;
  const value = config.raw('quantization_config');
  const method = methodOf(value);
  if (typeof method === 'string' && Object.hasOwn(methods, method))
    return methods[method]!(config.object('quantization_config'));
  const known = typeof method === 'string' && Object.hasOwn(refused, method) ? `${refused[method]} are not read; ` : '';
  throw config.unsupported(
    `quantization_config (${shown(method)}): ${known}this version reads weights of ${Object.keys(methods).join(', ')}; ` +
      'use the bf16 model, one of these or a GGUF file',
  );
}

/** The method's name. MLX writes none, but its own field beside this one is refused by name too. */
function methodOf(value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  if (value.quant_method !== undefined) return value.quant_method;
  return 'mode' in value && 'group_size' in value ? 'mlx' : value.quant_algo;
}
