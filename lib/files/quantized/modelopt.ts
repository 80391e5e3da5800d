/** quantization_config of NVIDIA's modelopt. */
import type { QuantizationScheme, WeightFormat } from '../../description.js';
import type { ConfigFields } from '../config-fields.js';
import { fp8Format } from '../fp8.js';
import { shown } from '../json-file.js';
import { cacheScheme } from '../kv-cache-scheme.js';
import { readNames, refuseOthers } from './scheme-fields.js';

const nvfp4: WeightFormat = {
  name: 'nvfp4',
  bits: 4,
  strategy: 'group',
  groupSize: 16,
  isSymmetric: true,
  isReordered: false,
};

/** The format of each `quant_algo`. */
const algorithms: Readonly<Record<string, WeightFormat>> = { FP8: fp8Format('tensor'), NVFP4: nvfp4 };

const known = ['quant_method', 'quant_algo', 'producer', 'config_groups', 'ignore', 'exclude_modules', 'group_size'];

export function readModelopt(fields: ConfigFields): QuantizationScheme {
  const algorithm = fields.text('quant_algo');
  const format = Object.hasOwn(algorithms, algorithm) ? algorithms[algorithm]! : null;
  if (format === null) {
    throw fields.unsupported(
      `${fields.label('quant_algo')} ${shown(algorithm)}: this version reads modelopt's ` +
        `${Object.keys(algorithms).map(shown).join(' and ')} only; use such a copy, the bf16 model or a GGUF file`,
    );
  }
  refuseOthers(fields, [...known, cacheScheme]);
  if (fields.has('group_size')) fields.demand('group_size', format.groupSize ?? 0);
  if (fields.has('config_groups')) checkGroups(fields.object('config_groups'), format);
  return {
    groups: [{ targets: ['Linear'], format }],
    ignored: [...readNames(fields, 'ignore'), ...readNames(fields, 'exclude_modules')],
    ignoredBy: 'wildcard',
  };
}

/** They repeat what `quant_algo` says. */
function checkGroups(groups: ConfigFields, { bits, groupSize }: WeightFormat): void {
  for (const name of groups.names()) {
    const group = groups.object(name);
    refuseOthers(group, ['input_activations', 'weights', 'targets']);
    const weights = group.object('weights');
    weights.demand('num_bits', bits);
    weights.demand('type', 'float');
    weights.demand('dynamic', false);
    if (groupSize !== null) weights.demand('group_size', groupSize);
    refuseOthers(weights, ['num_bits', 'type', 'dynamic', 'group_size']);
  }
}
