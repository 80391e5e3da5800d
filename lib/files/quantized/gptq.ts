/** quantization_config of GPTQ. */
import type { QuantizationScheme, WeightFormat } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { isJsonObject, shown } from '../json-file.js';
import { checkedPattern, demandOneOf, readGroups, readNames, refuseOthers } from './scheme-fields.js';

/** Fields that say nothing of the weights: how they were made, and how a program may run them. */
const bookkeeping = [
  'backend batch_size block_name_to_quantize cache_block_outputs damp_auto_increment damp_percent dataset disable_exllama',
  'exllama_config max_input_length meta model_file_base_name model_name_or_path model_seqlen module_name_preceding_first_block',
  'modules_in_block_to_quantize mse pad_token_id static_groups sym tokenizer true_sequential use_cuda_fp16 use_exllama',
  'offload_to_disk act_group_aware amp autoround_version enable_minmax_tuning enable_quanted_input iters low_gpu_mem_usage lr',
  'minmax_lr nsamples scale_dtype seqlen',
].flatMap((line) => line.split(' '));

/** The values of `checkpoint_format`. */
const formats = ['gptq', 'gptq_v2'] as const;

export function readGptq(fields: ConfigFields): QuantizationScheme {
  const bits = demandOneOf(fields, 'bits', [4, 8]);
  if (fields.has('pack_dtype')) demandOneOf(fields, 'pack_dtype', ['int32']);
  if (fields.has('data_type')) demandOneOf(fields, 'data_type', ['int']);
  refuseOthers(fields, [
    ...bookkeeping,
    ...['quant_method', 'method', 'bits', 'pack_dtype', 'checkpoint_format', 'format', 'group_size', 'desc_act'],
    ...['data_type', 'lm_head', 'dynamic', 'modules_to_not_convert'],
  ]);
  const hasHead = fields.has('lm_head') && fields.boolean('lm_head');
  return {
    groups: [
      {
        targets: ['Linear'],
        format: {
          name: readFormat(fields),
          bits,
          ...readGroups(fields),
          isSymmetric: false,
          isReordered: fields.has('desc_act') && fields.boolean('desc_act'),
        },
      },
    ],
    ignored: [...readNames(fields, 'modules_to_not_convert'), ...readSkipped(fields), ...(hasHead ? [] : ['lm_head'])],
    ignoredBy: 'part',
  };
}

function readFormat(fields: ConfigFields): WeightFormat['name'] {
  for (const name of ['checkpoint_format', 'format']) {
    if (!fields.has(name)) continue;
    const found = formats.find((format) => format === fields.raw(name));
    if (found !== undefined) return found;
    throw fields.unsupported(
      `${fields.label(name)} ${shown(fields.raw(name))}: this version reads GPTQ's ${formats.map(shown).join(' and ')} ` +
        'only; use such a copy, the bf16 model or a GGUF file',
    );
  }
  return 'gptq';
}

/** The modules that `dynamic` leaves out, as patterns. Other entries would store some modules in another way. */
function readSkipped(fields: ConfigFields): string[] {
  const dynamic = fields.raw('dynamic') ?? {};
  if (!isJsonObject(dynamic)) throw fields.bad(`${fields.label('dynamic')}: wanted an object, found ${shown(dynamic)}`);
  return Object.keys(dynamic).map((entry) => {
    if (entry.startsWith('-:')) return checkedPattern(fields, 'dynamic', `re:${entry.slice(2)}`);
    throw fields.unsupported(
      `${fields.label('dynamic')} ${shown(entry)}: this version reads entries that begin with "-:", which leave modules ` +
        'out; use a copy whose modules are stored alike, the bf16 model or a GGUF file',
    );
  });
}
