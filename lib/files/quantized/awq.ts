/** quantization_config of AutoAWQ. */
import type { QuantizationScheme } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { shown } from '../json-file.js';
import { demandOneOf, readNames, refuseOthers } from './scheme-fields.js';

/** Fields that say nothing of the weights: how a program may run them. */
const bookkeeping = ['backend', 'do_fuse', 'exllama_config', 'fuse_max_seq_len', 'modules_to_fuse'];

export function readAwq(fields: ConfigFields): QuantizationScheme {
  const version = fields.has('version') ? fields.text('version').toLowerCase() : 'gemm';
  if (version !== 'gemm') {
    throw fields.unsupported(
      `${fields.label('version')} ${shown(fields.raw('version'))}: this version reads AutoAWQ's "gemm" only; ` +
        'use such a copy, the bf16 model or a GGUF file',
    );
  }
  demandOneOf(fields, 'bits', [4]);
  if (fields.has('zero_point')) demandOneOf(fields, 'zero_point', [true]);
  refuseOthers(fields, [
    ...bookkeeping,
    ...['quant_method', 'version', 'bits', 'zero_point', 'group_size', 'modules_to_not_convert'],
  ]);
  const isByRow = fields.raw('group_size') === -1;
  const named = readNames(fields, 'modules_to_not_convert');
  return {
    groups: [
      {
        targets: ['Linear'],
        format: {
          name: 'awq',
          bits: 4,
          strategy: isByRow ? 'channel' : 'group',
          groupSize: isByRow ? null : fields.integer('group_size', 1, 2 ** 20),
          isSymmetric: false,
          isReordered: false,
        },
      },
    ],
    // AutoAWQ quantises the decoder's layers.
    ignored: [...named, 'lm_head'],
    ignoredBy: 'part',
  };
}
