/** quantization_config of the method `fp8`, as transformers writes it. */
import type { QuantizationScheme } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { demandBlock, type Fp8Strategy, fp8Format } from '../fp8.js';
import { demandOneOf, readNames, refuseOthers } from './scheme-fields.js';

/** Fields that say nothing of the weights. */
const bookkeeping = ['activation_scheme', 'scale_fmt', 'dequantize', 'is_checkpoint_fp8_serialized'];

export function readFp8(fields: ConfigFields): QuantizationScheme {
  if (fields.has('fmt')) demandOneOf(fields, 'fmt', ['e4m3', 'float8_e4m3fn']);
  refuseOthers(fields, [
    ...bookkeeping,
    ...['quant_method', 'fmt', 'weight_block_size', 'modules_to_not_convert', 'ignored_layers'],
  ]);
  let strategy: Fp8Strategy = 'tensor';
  if (fields.has('weight_block_size')) {
    demandBlock(fields, 'weight_block_size');
    strategy = 'block';
  }
  const named = [...readNames(fields, 'modules_to_not_convert'), ...readNames(fields, 'ignored_layers')];
  return {
    groups: [{ targets: ['Linear'], format: fp8Format(strategy) }],
    // The head is left alone by whoever converts a model, unless told otherwise.
    ignored: named.length ? named : ['lm_head'],
    ignoredBy: 'part',
  };
}
