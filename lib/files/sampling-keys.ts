/** The names of sampling defaults: ours, those of generation_config.json, and those of GGUF files. */
import type { SamplingOptions } from '../types.js';
import { isFiniteNumber, isIntegerIn } from './config-fields.js';

export interface SamplingKey {
  option: keyof SamplingOptions;
  /** In generation_config.json; null: it has no name there. */
  json: string | null;
  /** In a GGUF file, and the type of number that it has there. */
  gguf: string;
  ggufType: 'f32' | 'i32';
  /** The allowed values, for messages. */
  says: string;
  /** The option's value for a value of the file; null: that one cannot be taken. */
  read: (value: unknown) => number | null;
}

/**
 * All of them. The reader and the writer of GGUF files and the reader of generation_config.json go by this table.
 * llama.cpp has no keys for the last two penalties: theirs are named as its own options are, and its readers pass them over.
 */
export const samplingKeys: readonly SamplingKey[] = [
  {
    option: 'temperature',
    json: 'temperature',
    gguf: 'general.sampling.temp',
    ggufType: 'f32',
    says: 'a number from 0 to 100',
    read: between(0, 100),
  },
  {
    option: 'topK',
    json: 'top_k',
    gguf: 'general.sampling.top_k',
    ggufType: 'i32',
    says: 'an integer; 0 and less keep all tokens',
    // Every reader takes 0 as "all", and vLLM and llama.cpp -1 as well.
    read: (value) => (isIntegerIn(value, -(2 ** 31), 2 ** 31 - 1) ? Math.max(0, value) : null),
  },
  {
    option: 'topP',
    json: 'top_p',
    gguf: 'general.sampling.top_p',
    ggufType: 'f32',
    says: 'a number from 0 to 1; 0 and 1 keep all tokens',
    read: (value) => (value === 0 ? 1 : between(0, 1)(value)),
  },
  {
    option: 'minP',
    json: 'min_p',
    gguf: 'general.sampling.min_p',
    ggufType: 'f32',
    says: 'a number from 0 to 1',
    read: between(0, 1),
  },
  {
    option: 'repeatPenalty',
    json: 'repetition_penalty',
    gguf: 'general.sampling.penalty_repeat',
    ggufType: 'f32',
    says: 'a number from 0.01 to 100',
    read: between(0.01, 100),
  },
  {
    option: 'repeatLastN',
    json: null,
    gguf: 'general.sampling.penalty_last_n',
    ggufType: 'i32',
    says: 'an integer from -1',
    read: (value) => (isIntegerIn(value, -1, 2 ** 31 - 1) ? value : null),
  },
  {
    option: 'presencePenalty',
    json: 'presence_penalty',
    gguf: 'general.sampling.penalty_present',
    ggufType: 'f32',
    says: 'a number from -2 to 2',
    read: between(-2, 2),
  },
  {
    option: 'frequencyPenalty',
    json: 'frequency_penalty',
    gguf: 'general.sampling.penalty_freq',
    ggufType: 'f32',
    says: 'a number from -2 to 2',
    read: between(-2, 2),
  },
];

function between(least: number, most: number): (value: unknown) => number | null {
  return (value) => (isFiniteNumber(value) && value >= least && value <= most ? value : null);
}
