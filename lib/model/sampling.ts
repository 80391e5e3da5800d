/** Generation options, checked and with their defaults, in the form the core takes. */
import { randomBytes } from 'node:crypto';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import type { NativeGenerateParams } from '../native.js';
import { booleanOption, checkNames, checkSignal, integerOption, invalid } from '../options.js';
import { checkSamplingOption, type SamplingOption, samplingOptions } from '../sampling-options.js';
import type { GrammarFormat } from '../text/grammar/grammar.js';
import type { GenerateOptions, ModelConfig, SamplingOptions } from '../types.js';
import { checkConstraint, constraintNames } from './constraint.js';

const names: readonly (keyof GenerateOptions)[] = [
  ...samplingOptions.map(({ name }) => name),
  'n',
  'maxTokens',
  'minTokens',
  'logitBias',
  'seed',
  'stop',
  'logprobs',
  'mtp',
  'priority',
  'ignoreEos',
  'profile',
  'thinking',
  'tools',
  'raw',
  'specialTokensInText',
  'onPromptProgress',
  'signal',
  'stopOnAbortSignal',
  ...constraintNames,
  'toolChoice',
  'parallelToolCalls',
];

/** Options of one generation that do not concern the core. */
export interface TextOptions {
  stop: string[];
  raw: boolean;
  wantsLogprobs: boolean;
  /** The grammar of the text. Undefined if nothing constrains it. */
  constraint: GrammarFormat | undefined;
  /** The number of answers. Undefined if it was not given. */
  choices: number | undefined;
}

/**
 * Checks generation options and fills in defaults: the caller's, else those of the model's files, else the documented
 * ones. `maxTokens` is still Infinity when none was given.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT naming the option; KEXA_BAD_CONFIG for a default of the model's files that is
 *   out of range and not overridden; KEXA_UNSUPPORTED for what this version does not do.
 */
export function checkGenerateOptions(
  options: GenerateOptions,
  config: ModelConfig,
): { params: NativeGenerateParams; text: TextOptions } {
  checkNames('generate', options, names);
  checkSignal(options.signal);
  if (options.thinking !== undefined) booleanOption('thinking', options.thinking, true);
  booleanOption('stopOnAbortSignal', options.stopOnAbortSignal, false);
  if (options.tools !== undefined && !Array.isArray(options.tools)) throw invalid('tools', 'an array', options.tools);
  if (options.onPromptProgress !== undefined && typeof options.onPromptProgress !== 'function')
    throw invalid('onPromptProgress', 'a function', options.onPromptProgress);
  const drafts = checkMtp(options.mtp, config);

  const bias = checkLogitBias(options.logitBias, config.vocabSize);
  const logprobs = checkLogprobs(options.logprobs);
  const params: NativeGenerateParams = {
    ...checkSampling(options, config),
    // -1 is random, as on the command line.
    seed: integerOption(
      'seed',
      options.seed === -1 ? undefined : options.seed,
      0,
      Number.MAX_SAFE_INTEGER,
      randomSeed(),
    ),
    logprobs,
    biasIds: bias.ids,
    biasValues: bias.values,
    drafts,
    priority: integerOption('priority', options.priority, -limits.priority, limits.priority, 0),
    group: 0,
    groupSize: 0,
    keepAt: 0,
    maxTokens: integerOption('maxTokens', options.maxTokens, 1, limits.integer, Number.POSITIVE_INFINITY),
    minTokens: integerOption('minTokens', options.minTokens, 0, limits.integer, 0),
    profile: booleanOption('profile', options.profile, false),
    grammar: 0,
    forcesTokens: true,
    endTokens: Uint32Array.from(booleanOption('ignoreEos', options.ignoreEos, false) ? [] : config.eosTokenIds),
  };
  const text = {
    stop: checkStop(options.stop),
    raw: booleanOption('raw', options.raw, false),
    specialTokensInText: booleanOption('specialTokensInText', options.specialTokensInText, false),
    wantsLogprobs: logprobs >= 0,
    constraint: checkConstraint(options),
    choices: options.n === undefined ? undefined : integerOption('n', options.n, 1, limits.choices, 1),
  };
  return { params, text };
}

/** Every sampling option: the caller's value, or that of the model's files, or the default. */
function checkSampling(
  options: SamplingOptions,
  { generationDefaults, generationFaults }: ModelConfig,
): Required<SamplingOptions> {
  const isGreedy = (options.temperature ?? generationDefaults.temperature) === 0;
  const given = ({ name, isOfChance }: SamplingOption) => {
    if (options[name] !== undefined) return options[name];
    const fault = generationFaults[name];
    if (fault === undefined || (isGreedy && isOfChance)) return generationDefaults[name];
    throw new KexaError('KEXA_BAD_CONFIG', `${fault}\n  give ${name} to go on without it`);
  };
  const values = samplingOptions.map((option) => [option.name, checkSamplingOption(option, given(option))]);
  return Object.fromEntries(values) as Required<SamplingOptions>;
}

/** A random integer of 53 bits. */
function randomSeed(): number {
  return Number(randomBytes(8).readBigUInt64LE() >> 11n);
}

/** Drafts a step; -1 where the engine is to find out how many pay. */
function checkMtp(mtp: unknown, config: ModelConfig): number {
  if (mtp === false || mtp === 0) return 0;
  if (mtp === undefined || mtp === 'auto') return config.mtp === null ? 0 : -1;
  if (typeof mtp !== 'number' || !Number.isInteger(mtp) || mtp < 1 || mtp > limits.drafts)
    throw invalid('mtp', `false, 'auto' or a number of drafts from 1 to ${limits.drafts}`, mtp);
  if (config.mtp === null)
    throw new KexaError('KEXA_UNSUPPORTED', `mtp: wanted ${mtp} drafts a step, found a model with no MTP block`);
  return mtp;
}

function checkLogprobs(logprobs: unknown): number {
  if (logprobs === undefined || logprobs === false) return -1;
  if (logprobs === true) return 0;
  return integerOption('logprobs', logprobs, 0, limits.alternatives, 0);
}

function checkStop(stop: unknown): string[] {
  if (stop === undefined) return [];
  const list: unknown[] = Array.isArray(stop) ? stop : [stop];
  for (const text of list)
    if (typeof text !== 'string' || text === '') throw invalid('stop', 'texts of at least one character', text);
  return list as string[];
}

function checkLogitBias(bias: unknown, vocabSize: number): { ids: Uint32Array; values: Float32Array } {
  if (bias === undefined) return { ids: new Uint32Array(), values: new Float32Array() };
  if (typeof bias !== 'object' || bias === null || Array.isArray(bias))
    throw invalid('logitBias', 'an object or Map from token id to number', bias);
  const entries: [unknown, unknown][] =
    bias instanceof Map
      ? [...bias]
      : Object.entries(bias).map(([id, value]) => [/^\d+$/.test(id) ? Number(id) : id, value]);
  for (const [id, value] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw invalid('logitBias', `token ids from 0 to ${vocabSize - 1}`, id);
    // The core has 32 bits for it, in which 1e39 would be infinite.
    if (typeof value !== 'number' || !(Math.fround(value) < Number.POSITIVE_INFINITY))
      throw invalid(`logitBias[${id}]`, 'a number below 3.4e38 or -Infinity', value);
  }
  return {
    ids: Uint32Array.from(entries, ([id]) => id as number),
    values: Float32Array.from(entries, ([, value]) => value as number),
  };
}
