/** quantization_config of AutoAWQ. */
import type { QuantizationScheme } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { shown } from '../json-file.js';
import { demandOneOf, readGroups, readNames, refuseOthers } from './scheme-fields.js';

/** Fields that say nothing of the weights: how they were made, and how a program may run them. */
const bookkeeping = ['backend', 'do_fuse', 'exllama_config', 'fuse_max_seq_len', 'meta', 'modules_to_fuse', 'sym'];

/** The fields that name the version: AutoAWQ's own, and those of GPTQModel. */
const versions = ['version', 'format', 'checkpoint_format'];

export function readAwq(fields: ConfigFields): QuantizationScheme {
  for (const name of versions) {
    if (!fields.has(name) || fields.text(name).toLowerCase() === 'gemm') continue;
    throw fields.unsupported(
      `${fields.label(name)} ${shown(fields.raw(name))}: this version reads AutoAWQ's "gemm" only; ` +
        'use such a copy, the bf16 model or a GGUF file',
    );
  }
  demandOneOf(fields, 'bits', [4]);
  if (fields.has('zero_point')) demandOneOf(fields, 'zero_point', [true]);
  if (fields.has('pack_dtype')) demandOneOf(fields, 'pack_dtype', ['int32']);
  refuseOthers(fields, [
    ...bookkeeping,
    ...versions,
    ...['quant_method', 'method', 'bits', 'zero_point', 'pack_dtype', 'group_size', 'modules_to_not_convert'],
  ]);
  const named = readNames(fields, 'modules_to_not_convert');
  return {
    groups: [
      {
        targets: ['Linear'],
        format: {
          name: 'awq',
          bits: 4,
          ...readGroups(fields),
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
