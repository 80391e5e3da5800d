/** How a model's makers sample from it: generation_config.json, and the keys of GGUF files that say the same. */
import { readFromFile, type SamplingOption, samplingOptions, wantedInFiles } from '../sampling-options.js';
import type { SamplingOptions } from '../types.js';
import { ConfigFields } from './config-fields.js';
import type { GgufValue } from './gguf/gguf-values.js';
import { type JsonObject, shown } from './json-file.js';
import { readEosTokenIds } from './token-ids.js';

/** Why a default cannot be taken, by the option that it is for. */
export type SamplingFaults = Partial<Record<keyof SamplingOptions, string>>;

export interface GenerationDefaults {
  sampling: SamplingOptions;
  /** Values out of range. They refuse sampling with this option left open, and nothing else. */
  faults: SamplingFaults;
  eosTokenIds: number[];
}

/**
 * Reads a parsed generation_config.json, null when the model has none; `file` names it in errors. Fields that only
 * steer transformers' own search (`num_beams`, `max_length` and so on) are not looked at.
 *
 * @throws KexaError KEXA_BAD_CONFIG for an end token that is no id of the vocabulary.
 */
export function readGenerationConfig(file: string, json: JsonObject | null, vocabSize: number): GenerationDefaults {
  const fields = new ConfigFields(file, json ?? {});
  const found = readSampling(file, ({ json: key }) => (key === null ? undefined : fields.raw(key)), 'json');
  const doSample = fields.raw('do_sample') ?? true;
  // Not sampling is greedy search, whatever temperature stands beside it.
  if (doSample === false) {
    found.sampling.temperature = 0;
    delete found.faults.temperature;
  } else if (doSample !== true) {
    delete found.sampling.temperature;
    found.faults.temperature = `do_sample: wanted true or false, found ${shown(doSample)}\n  in ${file}`;
  }
  return { ...found, eosTokenIds: readEosTokenIds(fields, vocabSize) };
}

/**
 * The defaults in a GGUF file, with those of a generation_config.json beside it for whatever it does not say: its own
 * keys came with the weights, while the folder may hold other models, too.
 */
export function readGgufDefaults(
  file: string,
  metadata: ReadonlyMap<string, GgufValue>,
  beside: GenerationDefaults,
): GenerationDefaults {
  const own = readSampling(file, ({ gguf: key }) => metadata.get(key), 'gguf');
  const said = new Set<string>([...Object.keys(own.sampling), ...Object.keys(own.faults)]);
  const rest = (values: object) => Object.fromEntries(Object.entries(values).filter(([option]) => !said.has(option)));
  return {
    sampling: { ...rest(beside.sampling), ...own.sampling },
    faults: { ...rest(beside.faults), ...own.faults },
    eosTokenIds: beside.eosTokenIds,
  };
}

function readSampling(
  file: string,
  find: (option: SamplingOption) => unknown,
  names: 'json' | 'gguf',
): { sampling: SamplingOptions; faults: SamplingFaults } {
  const sampling: SamplingOptions = {};
  const faults: SamplingFaults = {};
  for (const option of samplingOptions) {
    const value = find(option);
    if (value === undefined || value === null) continue;
    const read = readFromFile(option, value);
    if (read !== null) sampling[option.name] = read;
    else faults[option.name] = `${option[names]}: wanted ${wantedInFiles(option)}, found ${shown(value)}\n  in ${file}`;
  }
  return { sampling, faults };
}
