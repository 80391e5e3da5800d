/** The flags that commands share, in groups, and how they become options of the library. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { activationTypes, cacheTypes, expertMisses, weightTypes } from '../plan/option-values.js';
import { samplingOptions } from '../sampling-options.js';
import type {
  ActivationType,
  CacheType,
  ExpertMisses,
  GenerateOptions,
  LoadOptions,
  SamplingOptions,
  WeightType,
} from '../types.js';
import { UsageError } from './exit.js';
import { byteCount, integer, number, tokenCount, wordOr } from './numbers.js';

/** Values of the flags that {@link addModelOptions} adds. */
export interface ModelFlags {
  model?: string;
}

/** Values of the flags that {@link addLoadOptions} adds. */
export interface LoadFlags extends ModelFlags {
  device?: string;
  split?: number[];
  ctxSize?: number;
  batchSize?: number;
  threads?: number;
  cacheType?: CacheType;
  activations?: ActivationType;
  weights?: WeightType;
  prefixCache?: number;
  expertSlots?: number;
  gpuMemory?: number;
  expertMisses?: ExpertMisses;
  expertProfile?: string;
}

/** Values of the flags that {@link addAnswerOptions} adds, and the seed. Those of sampling are read by their table. */
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

const mostTokens = 2 ** 31 - 1;
const modelGroup = 'Model and device:';
const samplingGroup = 'Choosing tokens (default: generation_config.json, else as given):';
const answerGroup = 'Answer:';

/** `-m, --model`. */
export function addModelOptions(command: Command): void {
  add(command, modelGroup, '-m, --model <path>', 'the model: its folder (config.json, *.safetensors), or a GGUF file', {
    env: 'KEXA_MODEL',
  });
}

/** Everything `loadModel` takes. `threads` reads the value of -t; without `hasContext` there is no -c. */
export function addLoadOptions(
  command: Command,
  { threads, hasContext = true }: { threads?: (text: string) => unknown; hasContext?: boolean } = {},
): void {
  addModelOptions(command);
  add(
    command,
    modelGroup,
    '--device <name>',
    "auto, cpu, gpu, gpu:1 (the second), or part of a device's name; several, as in gpu:0,gpu:1, share the layers (default: auto)",
    { env: 'KEXA_DEVICE' },
  );
  addSplitOption(command);
  addPlanOptions(command, hasContext);
  add(
    command,
    modelGroup,
    '--prefix-cache <size>',
    'memory for kept prompts, as in 4GiB, for others that begin alike (default: for four conversations, their own turns)',
    { env: 'KEXA_PREFIX_CACHE', parse: byteCount },
  );
  add(command, modelGroup, '--expert-profile <file>', 'keep there which experts were chosen, and begin with those', {
    env: 'KEXA_EXPERT_PROFILE',
  });
  addThreadsOption(command, threads);
}

/** `-t, --threads`. */
export function addThreadsOption(command: Command, parse: (text: string) => unknown = integer(1, 1024)): void {
  add(command, modelGroup, '-t, --threads <n>', 'CPU threads (default: the cores there are)', {
    env: 'KEXA_THREADS',
    parse,
  });
}

/** `--cache-type`. */
export function addCacheTypeOption(command: Command): void {
  add(command, modelGroup, '--cache-type <type>', 'how the KV cache is stored (default: auto)', {
    env: 'KEXA_CACHE_TYPE',
    choices: cacheTypes,
  });
}

/** `--weights`. */
export function addWeightsOption(command: Command): void {
  add(command, modelGroup, '--weights <type>', "how weights are held; auto keeps the file's type (default: auto)", {
    env: 'KEXA_WEIGHTS',
    choices: weightTypes,
  });
}

/** `--activations`. */
export function addActivationsOption(command: Command): void {
  add(
    command,
    modelGroup,
    '--activations <type>',
    'what a CPU multiplies blocks of weights by: f32, or i16, which is faster (default: f32)',
    { env: 'KEXA_ACTIVATIONS', choices: activationTypes },
  );
}

/** `--split`. */
export function addSplitOption(command: Command): void {
  add(
    command,
    modelGroup,
    '--split <list>',
    'of several devices: how many layers each takes, in proportion, as in 3,1 (default: by memory)',
    { env: 'KEXA_SPLIT', parse: proportions },
  );
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

/** The options that decide how much memory a model takes. */
export function addPlanOptions(command: Command, hasContext = true): void {
  if (hasContext)
    add(
      command,
      modelGroup,
      '-c, --ctx-size <n>',
      'most tokens, prompt and answer together; 8k is 8000, 8K is 8192 ' +
        "(default: the model's limit, at most 32768)",
      { env: 'KEXA_CTX_SIZE', parse: tokenCount(mostTokens) },
    );
  add(command, modelGroup, '-b, --batch-size <n>', 'prompt tokens computed together (default: 128)', {
    env: 'KEXA_BATCH_SIZE',
    parse: integer(1, 4096),
  });
  addCacheTypeOption(command);
  addWeightsOption(command);
  add(command, modelGroup, '--gpu-memory <size>', 'most to take of it, as in 22GiB; experts give way (default: all)', {
    env: 'KEXA_GPU_MEMORY',
    parse: byteCount,
  });
  add(
    command,
    modelGroup,
    '--expert-slots <n>',
    "each layer's experts on the GPU, the rest in main memory (default: all)",
    {
      env: 'KEXA_EXPERT_SLOTS',
      parse: integer(0, 65536),
    },
  );
  add(
    command,
    modelGroup,
    '--expert-misses <how>',
    'what is done about one that is not there (default: copy, or compute where slots are too few)',
    {
      env: 'KEXA_EXPERT_MISSES',
      choices: expertMisses,
    },
  );
  addActivationsOption(command);
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
      parse: wordOr(['-1'], integer(1, mostTokens)),
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
    parse: wordOr(['auto', 'off'], integer(0, 8)),
  });
}

function collectText(text: string, before: string[] | undefined): string[] {
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
export function toLoadOptions(flags: LoadFlags): LoadOptions {
  return defined({
    device: flags.device === undefined ? undefined : deviceNames(flags.device),
    layerSplit: flags.split,
    contextSize: flags.ctxSize,
    prefillChunk: flags.batchSize,
    threads: flags.threads,
    cacheType: flags.cacheType,
    prefixCacheBytes: flags.prefixCache,
    weights: flags.weights,
    expertSlots: flags.expertSlots,
    gpuMemory: flags.gpuMemory,
    expertMisses: flags.expertMisses,
    expertProfile: flags.expertProfile,
    activations: flags.activations,
  });
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

/** An object without the fields that are undefined: for the library, absent and undefined are not the same type. */
export function defined<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof defined<T>
  >;
}
