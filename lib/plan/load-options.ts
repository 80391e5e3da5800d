/**
 * The options of `loadModel`, one entry each. Checks, the command's flags and environment variables, and the option
 * lists of the benchmarks are made from this list; a check compares docs/api.md and docs/cli.md with it.
 */
import { limits } from '../limits.js';
import { choiceOption, integerOption } from '../options.js';
import type { LoadOptions } from '../types.js';
import { activationTypes, cacheTypes, expertMisses, gpuElements, gpuKernels, weightTypes } from './option-values.js';

/** How the option is given on the command line. */
export interface LoadFlag {
  /** The flags in commander's form: `-c, --ctx-size <n>`. */
  flags: string;
  env: `KEXA_${string}`;
  /** How the flag's text is read. */
  reads: 'text' | 'integer' | 'tokens' | 'bytes' | 'proportions' | 'choice';
  help: string;
}

export interface LoadOption {
  name: keyof LoadOptions;
  /** Undefined for an option that the command does not have. */
  flag?: LoadFlag;
  /** The range of an integer. */
  least?: number;
  most?: number;
  /** The names that the option takes, the default first. */
  choices?: readonly string[];
  /** Whether it decides how much memory a model takes, on given devices. */
  isPlanned?: true;
}

const facts: Readonly<Record<keyof LoadOptions, Omit<LoadOption, 'name'>>> = {
  device: {
    flag: {
      ...{ flags: '--device <name>', env: 'KEXA_DEVICE', reads: 'text' },
      help: "auto, cpu, gpu, gpu:1 (the second), or part of a device's name; several, as in gpu:0,gpu:1, share the layers (default: auto)",
    },
  },
  layerSplit: {
    flag: {
      ...{ flags: '--split <list>', env: 'KEXA_SPLIT', reads: 'proportions' },
      help: 'of several devices: how many layers each takes, in proportion, as in 3,1 (default: by memory)',
    },
  },
  contextSize: {
    ...{ least: 1, most: limits.integer, isPlanned: true },
    flag: {
      ...{ flags: '-c, --ctx-size <n>', env: 'KEXA_CTX_SIZE', reads: 'tokens' },
      help:
        'most tokens, prompt and answer together; 8k is 8000, 8K is 8192 ' +
        `(default: the model's limit, at most ${limits.defaultContext})`,
    },
  },
  slots: {
    ...{ least: 1, most: limits.mostSlots, isPlanned: true },
    flag: {
      ...{ flags: '--slots <n>', env: 'KEXA_SLOTS', reads: 'integer' },
      help: `sequences cached at a time (default: ${limits.slots})`,
    },
  },
  cacheTokens: {
    ...{ least: 1, most: limits.integer, isPlanned: true },
    flag: {
      ...{ flags: '--cache-tokens <n>', env: 'KEXA_CACHE_TOKENS', reads: 'tokens' },
      help: 'most tokens cached of all sequences together (default: as many as the context has)',
    },
  },
  prefillChunk: {
    ...{ least: 1, most: limits.chunk, isPlanned: true },
    flag: {
      ...{ flags: '-b, --batch-size <n>', env: 'KEXA_BATCH_SIZE', reads: 'integer' },
      help: `prompt tokens computed together (default: ${limits.defaultChunk})`,
    },
  },
  cacheType: {
    ...{ choices: cacheTypes, isPlanned: true },
    flag: {
      ...{ flags: '--cache-type <type>', env: 'KEXA_CACHE_TYPE', reads: 'choice' },
      help: 'how the KV cache is stored (default: auto)',
    },
  },
  weights: {
    ...{ choices: weightTypes, isPlanned: true },
    flag: {
      ...{ flags: '--weights <type>', env: 'KEXA_WEIGHTS', reads: 'choice' },
      help: "how weights are held; auto keeps the file's type (default: auto)",
    },
  },
  gpuMemory: {
    ...{ least: 1, most: Number.MAX_SAFE_INTEGER, isPlanned: true },
    flag: {
      ...{ flags: '--gpu-memory <size>', env: 'KEXA_GPU_MEMORY', reads: 'bytes' },
      help: 'most to take of it, as in 22GiB; experts give way (default: all)',
    },
  },
  expertSlots: {
    ...{ least: 0, most: 65536, isPlanned: true },
    flag: {
      ...{ flags: '--expert-slots <n>', env: 'KEXA_EXPERT_SLOTS', reads: 'integer' },
      help: "each layer's experts on the GPU, the rest in main memory (default: all)",
    },
  },
  expertMisses: {
    ...{ choices: expertMisses, isPlanned: true },
    flag: {
      ...{ flags: '--expert-misses <how>', env: 'KEXA_EXPERT_MISSES', reads: 'choice' },
      help: 'what is done about one that is not there (default: copy, or compute where slots are too few)',
    },
  },
  activations: {
    ...{ choices: activationTypes, isPlanned: true },
    flag: {
      ...{ flags: '--activations <type>', env: 'KEXA_ACTIVATIONS', reads: 'choice' },
      help: 'what blocks of weights are multiplied by: f32, or i16, which is faster (default: f32)',
    },
  },
  parkBytes: {
    ...{ least: 0, most: Number.MAX_SAFE_INTEGER },
    flag: {
      ...{ flags: '--park-bytes <size>', env: 'KEXA_PARK_BYTES', reads: 'bytes' },
      help: 'main memory for answers that have to give up their room for a while, as in 4GiB (default: a quarter of what is free)',
    },
  },
  maxStepMs: {
    ...{ least: 1, most: limits.stepMs },
    flag: {
      ...{ flags: '--max-step-ms <n>', env: 'KEXA_MAX_STEP_MS', reads: 'integer' },
      help: `milliseconds that prompts may hold up running answers at a time (default: ${limits.defaultStepMs})`,
    },
  },
  prefixCacheBytes: {
    ...{ least: 0, most: Number.MAX_SAFE_INTEGER },
    flag: {
      ...{ flags: '--prefix-cache <size>', env: 'KEXA_PREFIX_CACHE', reads: 'bytes' },
      help: 'memory for kept prompts, as in 4GiB, for others that begin alike (default: for --slots conversations, their own turns)',
    },
  },
  expertProfile: {
    flag: {
      ...{ flags: '--expert-profile <file>', env: 'KEXA_EXPERT_PROFILE', reads: 'text' },
      help: 'keep there which experts were chosen, and begin with those',
    },
  },
  threads: {
    ...{ least: 1, most: limits.threads },
    flag: {
      ...{ flags: '-t, --threads <n>', env: 'KEXA_THREADS', reads: 'integer' },
      help: 'CPU threads (default: the cores there are)',
    },
  },
  gpuChecks: {},
  gpuKernels: { choices: gpuKernels },
  gpuElements: { choices: gpuElements },
  onProgress: {},
  onWarning: {},
  signal: {},
};

/** All of them, in the order of the help. */
export const loadOptions: readonly LoadOption[] = Object.entries(facts).map(([name, fact]) => ({
  name: name as keyof LoadOptions,
  ...fact,
}));

/** Every option of `loadModel`. */
export const loadNames: readonly (keyof LoadOptions)[] = loadOptions.map(({ name }) => name);

/** The option of that name. */
export function loadOption(name: keyof LoadOptions): LoadOption {
  return { name, ...facts[name] };
}

/** The value, an integer in the option's range, or `or` if it is undefined. @throws KexaError KEXA_INVALID_ARGUMENT */
export function checkLoadInteger(name: keyof LoadOptions, value: unknown, or: number): number {
  const { least = 0, most = limits.integer } = facts[name];
  return integerOption(name, value, least, most, or);
}

/** The value, one of the option's names, or the first if it is undefined. @throws KexaError KEXA_INVALID_ARGUMENT */
export function checkLoadChoice<Name extends keyof LoadOptions>(
  name: Name,
  value: unknown,
): Extract<LoadOptions[Name], string> {
  return choiceOption(name, value, (facts[name].choices ?? []) as readonly Extract<LoadOptions[Name], string>[]);
}
