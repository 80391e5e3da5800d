/**
 * The options of sampling, one entry each. Their checks, the command's flags, the defaults that model files give, and
 * the tables of docs/api.md and docs/cli.md are made from this list.
 */
import { limits } from './limits.js';
import { integerOption, numberAbove, numberOption } from './options.js';
import type { SamplingOptions } from './types.js';

interface SamplingFacts {
  /** An integer is stored as i32 in a GGUF file, a number as f32. */
  kind: 'number' | 'integer';
  /** The range. With `isAbove`, `least` itself is out of it. */
  least: number;
  most: number;
  isAbove?: true;
  /** The value where neither the caller nor the model's files give one. */
  default: number;
  /** The option has no effect at temperature 0. */
  isOfChance?: true;
  /** The command's flag, the letter that its help gives the value, and the environment variable in the flag's place. */
  flag: `--${string}`;
  value: string;
  env: `KEXA_${string}`;
  /** The key in generation_config.json. Null if the option has none there. */
  json: string | null;
  /** The key in a GGUF file. */
  gguf: `general.sampling.${string}`;
  /** How values of model files are read, where files may hold others than callers may pass. */
  inFiles?: {
    /** The allowed values, for messages. */
    wanted: string;
    /** The option's value for the file's. Null if the file's value is out of range. */
    read: (value: number) => number | null;
  };
  /** The effect, in one line. */
  help: string;
}

/** An entry of {@link samplingOptions}. */
export interface SamplingOption extends SamplingFacts {
  name: keyof SamplingOptions;
}

/**
 * llama.cpp has no GGUF keys for the last two penalties. Theirs are named like its own options; its readers skip them.
 */
const facts: Readonly<Record<keyof SamplingOptions, SamplingFacts>> = {
  temperature: {
    ...{ kind: 'number', least: 0, most: 100, default: 1 },
    ...{ flag: '--temp', value: 't', env: 'KEXA_TEMP' },
    ...{ json: 'temperature', gguf: 'general.sampling.temp' },
    help: '0 always takes the likeliest token',
  },
  topK: {
    ...{ kind: 'integer', least: 0, most: limits.integer, default: 0, isOfChance: true },
    ...{ flag: '--top-k', value: 'k', env: 'KEXA_TOP_K' },
    ...{ json: 'top_k', gguf: 'general.sampling.top_k' },
    inFiles: {
      wanted: 'an integer; 0 and less keep all tokens',
      // Every reader takes 0 as "all", and vLLM and llama.cpp -1 as well.
      read: (value) =>
        Number.isInteger(value) && value >= -(2 ** 31) && value <= limits.integer ? Math.max(0, value) : null,
    },
    help: 'keep the k likeliest; 0 keeps all',
  },
  topP: {
    ...{ kind: 'number', least: 0, most: 1, isAbove: true, default: 1, isOfChance: true },
    ...{ flag: '--top-p', value: 'p', env: 'KEXA_TOP_P' },
    ...{ json: 'top_p', gguf: 'general.sampling.top_p' },
    inFiles: {
      wanted: 'a number from 0 to 1; 0 and 1 keep all tokens',
      read: (value) => (value === 0 ? 1 : value > 0 && value <= 1 ? value : null),
    },
    help: 'keep the likeliest that together reach p',
  },
  minP: {
    ...{ kind: 'number', least: 0, most: 1, default: 0, isOfChance: true },
    ...{ flag: '--min-p', value: 'p', env: 'KEXA_MIN_P' },
    ...{ json: 'min_p', gguf: 'general.sampling.min_p' },
    help: 'keep those at least p times as likely as the best',
  },
  repeatPenalty: {
    ...{ kind: 'number', least: 0.01, most: 100, default: 1 },
    ...{ flag: '--repeat-penalty', value: 'r', env: 'KEXA_REPEAT_PENALTY' },
    ...{ json: 'repetition_penalty', gguf: 'general.sampling.penalty_repeat' },
    help: 'make tokens of prompt and answer less likely; 1 is off',
  },
  repeatLastN: {
    ...{ kind: 'integer', least: -1, most: limits.integer, default: -1 },
    ...{ flag: '--repeat-last-n', value: 'n', env: 'KEXA_REPEAT_LAST_N' },
    ...{ json: null, gguf: 'general.sampling.penalty_last_n' },
    help: 'last tokens that the repeat penalty looks at; -1 is all',
  },
  presencePenalty: {
    ...{ kind: 'number', least: -2, most: 2, default: 0 },
    ...{ flag: '--presence-penalty', value: 'x', env: 'KEXA_PRESENCE_PENALTY' },
    ...{ json: 'presence_penalty', gguf: 'general.sampling.penalty_present' },
    help: 'subtract x from the logit of each token of the answer so far',
  },
  frequencyPenalty: {
    ...{ kind: 'number', least: -2, most: 2, default: 0 },
    ...{ flag: '--frequency-penalty', value: 'x', env: 'KEXA_FREQUENCY_PENALTY' },
    ...{ json: 'frequency_penalty', gguf: 'general.sampling.penalty_freq' },
    help: 'subtract x once for every time the answer has used the token',
  },
};

/** All of them, in the order of docs and help. */
export const samplingOptions: readonly SamplingOption[] = Object.entries(facts).map(([name, fact]) => ({
  name: name as keyof SamplingOptions,
  ...fact,
}));

/**
 * The option's value, or its default if that is undefined. @throws KexaError KEXA_INVALID_ARGUMENT naming the option
 */
export function checkSamplingOption(option: SamplingOption, value: unknown): number {
  const { name, least, most } = option;
  if (option.kind === 'integer') return integerOption(name, value, least, most, option.default);
  return (option.isAbove ? numberAbove : numberOption)(name, value, least, most, option.default);
}

/** The values that a model file may have for the option, for messages. */
export function wantedInFiles({ kind, least, most, inFiles }: SamplingOption): string {
  return inFiles?.wanted ?? `${kind === 'integer' ? 'an integer' : 'a number'} from ${least} to ${most}`;
}

/** The option's value for a value of a model file. Null if that is out of range. */
export function readFromFile(option: SamplingOption, value: unknown): number | null {
  if (typeof value !== 'number' || !Number.isFinite(value)) return null;
  if (option.inFiles !== undefined) return option.inFiles.read(value);
  const isInRange = value >= option.least && value <= option.most;
  return isInRange && (option.kind === 'number' || Number.isInteger(value)) ? value : null;
}
