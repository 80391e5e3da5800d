/** generation_config.json: how the model's makers sample from it. */
import type { SamplingOptions } from '../types.js';
import { ConfigFields, isFiniteNumber, isIntegerIn } from './config-fields.js';
import { type JsonObject, shown } from './json-file.js';
import { readEosTokenIds } from './token-ids.js';

export interface GenerationDefaults {
  sampling: SamplingOptions;
  eosTokenIds: number[];
}

interface Range {
  says: string;
  holds: (value: unknown) => boolean;
}

/** transformers' names, ours, and what may be in them. */
const samplingFields: readonly [string, keyof SamplingOptions, Range][] = [
  ['temperature', 'temperature', { says: 'a number from 0 to 100', holds: within(0, 100) }],
  ['top_k', 'topK', { says: 'an integer from 0', holds: (value) => isIntegerIn(value, 0, 2 ** 31 - 1) }],
  ['top_p', 'topP', { says: 'a number above 0, at most 1', holds: (value) => value !== 0 && within(0, 1)(value) }],
  ['min_p', 'minP', { says: 'a number from 0 to 1', holds: within(0, 1) }],
  [
    'repetition_penalty',
    'repeatPenalty',
    { says: 'a number above 0, at most 100', holds: (value) => value !== 0 && within(0, 100)(value) },
  ],
  ['presence_penalty', 'presencePenalty', { says: 'a number from -2 to 2', holds: within(-2, 2) }],
  ['frequency_penalty', 'frequencyPenalty', { says: 'a number from -2 to 2', holds: within(-2, 2) }],
];

/**
 * Reads a parsed generation_config.json, null when the model has none; `file` names it in errors. Fields that only
 * steer transformers' own search (`num_beams`, `max_length` and so on) are not looked at.
 *
 * @throws KexaError KEXA_BAD_CONFIG for a value of the wrong type or out of range.
 */
export function readGenerationConfig(file: string, json: JsonObject | null, vocabSize: number): GenerationDefaults {
  const fields = new ConfigFields(file, json ?? {});
  const sampling: SamplingOptions = {};
  for (const [theirs, ours, range] of samplingFields) {
    if (!fields.has(theirs)) continue;
    const value = fields.raw(theirs);
    if (!range.holds(value)) throw fields.bad(`${theirs}: wanted ${range.says}, found ${shown(value)}`);
    sampling[ours] = value as number;
  }
  // Not sampling is greedy search, whatever temperature stands beside it.
  if (fields.has('do_sample') && !fields.boolean('do_sample')) sampling.temperature = 0;
  return { sampling, eosTokenIds: readEosTokenIds(fields, vocabSize) };
}

function within(least: number, most: number): (value: unknown) => boolean {
  return (value) => isFiniteNumber(value) && value >= least && value <= most;
}
