/** The flags that commands share, in groups, and how they become options of the library. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { limits } from '../limits.js';
import { defined } from '../options.js';
import { type LoadFlag, type LoadOption, loadOption, loadOptions } from '../plan/load-options.js';
import { samplingOptions } from '../sampling-options.js';
import type { ActivationType, CacheType, GenerateOptions, LoadOptions, SamplingOptions, WeightType } from '../types.js';
import { UsageError } from './exit.js';
import { byteCount, integer, number, tokenCount, wordOr } from './numbers.js';

/** Values of the flags that {@link addModelOptions} adds. */
export interface ModelFlags {
  model?: string;
}

/** Values of flags that {@link addLoadOptions} adds, as far as commands read them. {@link toLoadOptions} reads all. */
export interface LoadFlags extends ModelFlags {
  device?: string;
  ctxSize?: number;
  batchSize?: number;
  threads?: number;
  cacheType?: CacheType;
  weights?: WeightType;
  activations?: ActivationType;
}

/**
 * Values of the flags that {@link addAnswerOptions} adds, and the seed. The flags of sampling are read by their table.
 */
export interface GenerateFlags {
  seed?: number;
  /** `'-1'` is no limit. */
  maxTokens?: number | '-1';
  stop?: string[];
  ignoreEos?: boolean;
  mtp?: number | 'auto' | 'off';
  think?: boolean;
  specialTokensInText?: boolean;
}

/** The help of `--special-tokens-in-text`. */
export const specialTokensHelp =
  'read special tokens written in messages as such; whoever writes one can end a turn and begin another';

const modelGroup = 'Model and device:';
const samplingGroup = 'Choosing tokens (default: generation_config.json, else as given):';
const answerGroup = 'Answer:';

/** `-m, --model`, which may be given again if `collect` reads its values. */
export function addModelOptions(command: Command, collect?: (text: string, before: undefined) => unknown): void {
  const again = collect === undefined ? '' : '; may be given again';
  const help = `the model: its folder (config.json, *.safetensors), or a GGUF file${again}`;
  const parts = { env: 'KEXA_MODEL', ...(collect !== undefined && { parse: collect }) };
  add(command, modelGroup, '-m, --model <path>', help, parts);
}

/** Every flag of `loadModel`'s options but `without`. `threads` reads the value of -t, and `model` the values of -m. */
export function addLoadOptions(
  command: Command,
  {
    threads,
    model,
    without = [],
  }: {
    threads?: (text: string) => unknown;
    model?: (text: string, before: undefined) => unknown;
    without?: readonly (keyof LoadOptions)[];
  } = {},
): void {
  addModelOptions(command, model);
  for (const { name } of loadOptions)
    if (!without.includes(name)) addLoadOption(command, name, name === 'threads' && threads ? { parse: threads } : {});
}

/** The flags that decide how much memory a model takes on given devices. */
export function addPlanOptions(command: Command): void {
  for (const { name, isPlanned } of loadOptions) if (isPlanned) addLoadOption(command, name);
}

/** The flag of one of `loadModel`'s options, if it has one; with other words or another parser for its value. */
export function addLoadOption(
  command: Command,
  name: keyof LoadOptions,
  { help, parse }: { help?: string; parse?: (text: string) => unknown } = {},
): void {
  const option = loadOption(name);
  if (option.flag === undefined) return;
  const { flags, env, reads } = option.flag;
  const { choices = [] } = option;
  const read = parse ?? parserOf(option, reads);
  add(command, modelGroup, flags, help ?? option.flag.help, {
    env,
    ...(reads === 'choice' && { choices }),
    ...(read !== undefined && { parse: read }),
  });
}

function parserOf(
  { least = 0, most = limits.integer }: LoadOption,
  reads: LoadFlag['reads'],
): ((text: string) => unknown) | undefined {
  switch (reads) {
    case 'integer':
      return integer(least, most);
    case 'tokens':
      return tokenCount(most);
    case 'bytes':
      return byteCount;
    case 'proportions':
      return proportions;
    default:
      return undefined;
  }
}

/** The names of `--device`: one, or several that share a model. */
export function deviceNames(text: string): string | string[] {
  return text.includes(',') ? text.split(',').map((name) => name.trim()) : text;
}

function proportions(text: string): number[] {
  const parse = number({ least: 0, most: 1e6, isAbove: true });
  try {
    return text.split(',').map((share) => parse(share.trim()));
  } catch {
    throw new InvalidArgumentError('It takes positive numbers, one for each device, as in 3,1.');
  }
}

/** How the next token is chosen. */
export function addSamplingOptions(command: Command): void {
  for (const { flag, value, env, kind, least, most, isAbove, help, default: none } of samplingOptions)
    add(command, samplingGroup, `${flag} <${value}>`, `${help} (else ${none})`, {
      env,
      parse: kind === 'integer' ? integer(least, most) : number({ least, most, isAbove }),
    });
  add(command, samplingGroup, '-s, --seed <n>', 'same seed, same answer; -1 is random (else -1)', {
    env: 'KEXA_SEED',
    parse: integer(-1, Number.MAX_SAFE_INTEGER),
  });
}

/** How long the answer is, whether the model thinks first, and drafting. */
export function addAnswerOptions(command: Command): void {
  add(
    command,
    answerGroup,
    '-n, --max-tokens <n>',
    'most tokens to generate; -1 is what the context holds (default: -1)',
    {
      env: 'KEXA_MAX_TOKENS',
      parse: wordOr(['-1'], integer(1, limits.integer)),
    },
  );
  add(command, answerGroup, '--stop <text>', 'end the answer before this text; may be given again', {
    parse: collectText,
  });
  add(command, answerGroup, '--ignore-eos', 'go on after the end of the answer; for benchmarks');
  add(command, answerGroup, '--think', 'let the model think first');
  add(command, answerGroup, '--no-think', "let it answer at once (default: as the model's template has it)");
  add(command, answerGroup, '--hide-thinking', 'do not show the thinking');
  add(command, answerGroup, '--special-tokens-in-text', specialTokensHelp);
  add(command, answerGroup, '--mtp <n>', 'tokens to draft with the MTP block: a number, auto or off (default: auto)', {
    env: 'KEXA_MTP',
    parse: wordOr(['auto', 'off'], integer(0, limits.drafts)),
  });
}

/** Adds the text to those of the same flag before it. */
export function collectText(text: string, before: string[] | undefined): string[] {
  if (text === '') throw new InvalidArgumentError('It takes a text of at least one character.');
  return [...(before ?? []), text];
}

interface OptionParts {
  env?: string;
  parse?: (text: string, previous: undefined) => unknown;
  choices?: readonly string[];
}

/** Adds one option to a group of the help. */
export function add(
  command: Command,
  group: string,
  flags: string,
  description: string,
  parts: OptionParts = {},
): void {
  const option = new Option(flags, description).helpGroup(group);
  if (parts.choices !== undefined) option.choices(parts.choices);
  if (parts.parse !== undefined) option.argParser(parts.parse as (text: string, previous: unknown) => unknown);
  // A variable that is set to nothing counts as not set, as everywhere in a shell.
  if (parts.env !== undefined && process.env[parts.env] !== '') option.env(parts.env);
  command.addOption(option);
}

/** The model's folder. @throws UsageError when none was named */
export function requireModel({ model }: ModelFlags): string {
  if (model) return model;
  throw new UsageError('no model: name its folder with -m DIR, or in KEXA_MODEL');
}

/** The options of `loadModel`, from flags. */
export function toLoadOptions(flags: object): LoadOptions {
  const values = new Map<string, unknown>(Object.entries(flags));
  const given = loadOptions.map(({ name, flag }) => [name, flag && values.get(keyOf(flag.flags))]);
  const { device, ...options } = defined(Object.fromEntries(given) as LoadOptions);
  return { ...options, ...(typeof device === 'string' && { device: deviceNames(device) }) };
}

/** The options of `generate`, from flags. */
export function toGenerateOptions(flags: GenerateFlags): GenerateOptions {
  return defined({
    ...samplingOfFlags(flags),
    seed: flags.seed === -1 ? undefined : flags.seed,
    maxTokens: flags.maxTokens === '-1' ? undefined : flags.maxTokens,
    stop: flags.stop,
    ignoreEos: flags.ignoreEos,
    mtp: flags.mtp === 'off' || flags.mtp === 0 ? (false as const) : flags.mtp,
    thinking: flags.think,
    specialTokensInText: flags.specialTokensInText,
  });
}

function samplingOfFlags(flags: object): SamplingOptions {
  const values = new Map<string, number>(Object.entries(flags));
  return Object.fromEntries(samplingOptions.map(({ name, flag }) => [name, values.get(keyOf(flag))]));
}

/** The name under which commander keeps a flag's value: `topK` for `--top-k`. */
function keyOf(flag: string): string {
  return new Option(flag).attributeName();
}
