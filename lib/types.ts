/** The shapes that callers pass in and get back. Behaviour is documented on the classes that use them. */
import type { Fp8Scheme, ModelDescription } from './description.js';
import type { ChatMessage, FailedToolCall, Tool, ToolCall } from './types/chat.js';
import type { GenerationProfile } from './types/forward.js';
import type { KexaWarning } from './warnings.js';

export type * from './types/chat.js';
export type * from './types/forward.js';

/**
 * How the KV cache is stored. `auto` is the device's best exact choice: f32 on the CPU device. `q8` and `q4` are blocks
 * of 32 along a head, 8.5 and 5 bits an element.
 *
 * @example
 * const model = await loadModel('models/tiny', { cacheType: 'q8' });
 */
export type CacheType = 'auto' | 'f32' | 'f16' | 'bf16' | 'q8' | 'q4';

/** How small a model is made: the recipes of `kexa quantize`. */
export type RecipeName = 'q8' | 'q4' | 'q2k' | 'q2';

/**
 * How weights are held. `auto` keeps the file's type and, on the CPU device, reads it in place. `q8`, `q4`, `q2k` and
 * `q2` are the recipes of `kexa quantize`, made when the model is loaded: on the CPU in memory, for a GPU on the way there.
 *
 * @example
 * const model = await loadModel('models/tiny', { weights: 'q4' });
 */
export type WeightType = 'auto' | 'bf16' | 'f16' | 'f32' | RecipeName;

/**
 * The activations that the CPU device multiplies block-quantised weights by: `f32`, or `i16` (integers of 16 bits with one
 * scale for each 256 of a row), which is faster.
 *
 * @example
 * const model = await loadModel('tiny-q4.gguf', { activations: 'i16' });
 */
export type ActivationType = 'f32' | 'i16';

/**
 * One report of a long operation.
 *
 * @example
 * const model = await loadModel('models/tiny', {
 *   onProgress: ({ phase, fraction }: Progress) => console.error(`${phase} ${Math.round(fraction * 100)} %`),
 * });
 */
export interface Progress {
  /** The work in progress. */
  phase: 'read' | 'load';
  /** From 0 to 1. */
  fraction: number;
  doneBytes: number;
  totalBytes: number;
}

/**
 * How the GPU's kernels are written: with workgroup memory alone (`plain`), with subgroups, or with subgroup matrices for
 * prompts. `auto` is `subgroups` where the GPU has them, or what tuning found faster.
 *
 * @example
 * const model = await loadModel('models/tiny', { device: 'gpu', gpuKernels: 'plain' });
 */
export type GpuKernels = 'auto' | 'plain' | 'subgroups' | 'matrices';

/**
 * How a chosen expert that is not on the GPU is handled.
 *
 * - `copy`: the expert is copied to the GPU. The answer is, to the last bit, that of a model wholly on the GPU.
 * - `compute`: the processor computes the expert beside the GPU. The GPU keeps the experts it was loaded with.
 * - `auto`: whichever took less time when the model was loaded; an expert that has become one of the most wanted is copied.
 *   Earlier answers then decide where an expert is computed, and so an answer's last bits.
 *
 * @example
 * const model = await loadModel('K-EXAONE-236B-A23B', { gpuMemory: 24e9, expertMisses: 'compute' });
 */
export type ExpertMisses = 'copy' | 'compute' | 'auto';

/**
 * Options of `loadModel`.
 *
 * @example
 * const options: LoadOptions = { device: 'gpu', weights: 'q4', contextSize: 65536 };
 * const model = await loadModel('K-EXAONE-236B-A23B', options);
 */
export interface LoadOptions {
  /**
   * The device: `auto` (a real GPU if kexa can use one, else the CPU), `cpu`, `gpu`, or part of an adapter's name. `gpu:1`
   * is the second GPU, and `NAME:1` the second adapter whose name contains NAME. An array, such as `['gpu:0', 'gpu:1']`,
   * shares the model's layers among devices, the first layers on the first device. The answer is the same. Default `auto`.
   */
  device?: string | readonly string[];
  /**
   * The share of the layers that each of several devices takes: `[3, 1]` is three quarters and a quarter. Numbers that add
   * up to the number of layers are counts. Default: the same fraction of each device's memory, or the same number of bytes on
   * each if the size of one's memory is not known.
   */
  layerSplit?: readonly number[];
  /** Most tokens a sequence may hold, prompt and answer together. Default: the model's limit, at most 32,768. */
  contextSize?: number;
  weights?: WeightType;
  cacheType?: CacheType;
  /**
   * Main memory for kept prefixes (bytes). A prefix is kept when its session has moved on or ended; a session whose prompt
   * begins with it goes on from there. 0 keeps nothing. Default: room for the turns of four conversations, at most an eighth
   * of the free memory. With the default, only the points are kept from which a session's next turn goes on.
   */
  prefixCacheBytes?: number;
  /** Prompt tokens computed together, 1 to 4096. Default 128. */
  prefillChunk?: number;
  /** Whether the GPU interface validates calls and checks bounds. It is slower, for tests and bug reports. Default false. */
  gpuChecks?: boolean;
  /**
   * How the GPU's kernels are written. Other values than `auto` are for measuring, and for drivers that err. `matrices`
   * (tensor cores, in f16) has not run on hardware yet. Default `auto`.
   */
  gpuKernels?: GpuKernels;
  /** Type of the activations that pass between the GPU's kernels; sums, residual stream and logits are f32. Default f32. */
  gpuElements?: 'f32' | 'f16';
  /**
   * The activations that the CPU device multiplies block-quantised weights by. docs/quality.md tells what `i16` costs. GPUs
   * take `f32` alone. Default `f32`.
   */
  activations?: ActivationType;
  /** CPU threads. Default: the cores this process may use. */
  threads?: number;
  /**
   * The number of routed experts of each layer that the GPU holds. The others stay in main memory, or in their files if those
   * have the type that is wanted. Default: all, or as many as `gpuMemory` has room for.
   */
  expertSlots?: number;
  /** The most that may be taken of the GPU's memory (bytes). Default: all of it. */
  gpuMemory?: number;
  /**
   * How a chosen expert without a slot is handled. Default: `copy` if a token's experts all fit in the slots, else
   * `compute`.
   */
  expertMisses?: ExpertMisses;
  /**
   * A file that keeps how often each expert was chosen. If the file exists, the slots begin with the most wanted experts.
   * `close()` writes the file; loading fails if it cannot be written. It has no effect if all experts are on the GPU.
   */
  expertProfile?: string;
  /** Is called while the model loads. */
  onProgress?: (progress: Progress) => void;
  /**
   * Is called with what a caller should know although nothing failed, such as weights without the drafting block. Default:
   * Node's `process.emitWarning`, with the code.
   */
  onWarning?: (warning: KexaWarning) => void;
  /** Stops loading, which then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * A device kexa can name.
 *
 * @example
 * for (const { name, description, memoryBytes } of await listDevices()) console.log(name, description, memoryBytes);
 */
export interface DeviceInfo {
  /** The name to pass as `device`. */
  name: string;
  kind: 'cpu' | 'gpu';
  /** One line for people: maker, model, driver. */
  description: string;
  /** Whether the device is a program on the processor that acts as a GPU. */
  isSoftware: boolean;
  /** Whether this version can run models on it. */
  usable: boolean;
  /** The size of the device's own memory (bytes). Absent for the CPU, for software GPUs, and if the driver does not tell. */
  memoryBytes?: number;
}

/**
 * The memory that a loaded model holds (bytes). The figures come from the plan, which is made before anything is allocated.
 *
 * @example
 * const { total, weights, cache } = model.memory;
 * console.log(`${total} bytes, of which ${weights.total} are weights and ${cache.total} are cache`);
 */
export interface MemoryReport {
  /** The weights as the device reads them. `mapped` is the part that is read in place from the file. */
  weights: { total: number; mapped: number };
  /** KV cache at full context: pages of the global layers, rings of the sliding ones (four sequences'), the MTP layer. */
  cache: { total: number; global: number; sliding: number; mtp: number; bytesPerToken: number };
  /** Working buffers of one step. */
  scratch: number;
  /**
   * How a GPU's cache grows with the contexts in it. `atLoad` is the part of `cache` that is allocated when the model is
   * loaded. `outgrown` is the part of `scratch` for a buffer that is being replaced by a larger one; 0 if the cache is whole
   * from the start. Null on the CPU, where memory is taken when the cache is first written.
   */
  growth: { atLoad: number; outgrown: number } | null;
  /** The most main memory that kept prefixes take, beside the cache's pages: `prefixCacheBytes` or its default. */
  prefixCache: number;
  /**
   * How routed experts are divided between a GPU and main memory:
   *
   * - `slots`: the experts of each layer that the GPU holds;
   * - `slotBytes`: the part of `weights` that these take;
   * - `host`: the main memory that all routed experts take;
   * - `mapped`: the part of `host` that is read in place from the file.
   *
   * Null if the device holds all of them.
   */
  experts: { slots: number; slotBytes: number; host: number; mapped: number } | null;
  /** Weights, cache and scratch together. Kept prefixes are in main memory and not counted. */
  total: number;
  /** The share of each device, in the layers' order, if several devices share the model. */
  devices?: DeviceMemory[];
}

/**
 * The memory that one of several devices holds (bytes); see {@link MemoryReport}.
 *
 * @example
 * const model = await loadModel('models/tiny', { device: ['cpu', 'cpu'] });
 * for (const { name, layers, total } of model.memory.devices!) console.log(name, layers, total);
 */
export interface DeviceMemory extends Omit<MemoryReport, 'prefixCache' | 'devices' | 'experts'> {
  /** The device's name, {@link DeviceInfo.name}. */
  name: string;
  /**
   * The device's first and last layer, from 0. The first device also has the embedding, the last one the head and the
   * MTP layer.
   */
  layers: [number, number];
}

/**
 * A model's configuration as read and checked, in the field's terms.
 *
 * @example
 * const { modelType, layers, vocabSize, eosTokenIds } = model.config;
 * console.log(`${modelType}: ${layers.length} layers, ${vocabSize} tokens, ends at ${eosTokenIds.join(' or ')}`);
 */
export interface ModelConfig extends Readonly<Omit<ModelDescription, 'files' | 'tensors'>> {
  /** The `model_type` of config.json, such as `exaone_moe`, `exaone4` or `exaone`. */
  readonly modelType: string;
  /** The number of weights, the MTP block included. A tied head counts once. */
  readonly parameters: number;
  readonly mtpParameters: number;
  /** The number of weights that one token's forward pass reads, without the MTP block. */
  readonly activeParameters: number;
  readonly bosTokenId: number | null;
  /** Ids that end an answer. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** How matrices are stored in FP8. Null if they are not. */
  readonly fp8: Fp8Scheme | null;
  /** The sampling defaults of generation_config.json, or of the GGUF file. */
  readonly generationDefaults: Readonly<SamplingOptions>;
  /** Why a default of the files could not be taken. Sampling is refused until the caller gives that option. */
  readonly generationFaults: Readonly<Partial<Record<keyof SamplingOptions, string>>>;
}

/**
 * How the next token is chosen. A field's default is the model's own, or else the one given here.
 *
 * @example
 * const sampling: SamplingOptions = { temperature: 0.6, topP: 0.95 };
 * const { text } = await session.generate('Hello', { ...sampling, maxTokens: 100 });
 */
export interface SamplingOptions {
  /** 0 is greedy: the highest logit, the lowest id among equals. Default 1. */
  temperature?: number;
  /** Keep the k most probable tokens; 0 keeps all. Default 0. */
  topK?: number;
  /** Keep the smallest set of most probable tokens whose probabilities reach this sum, in (0, 1]. Default 1. */
  topP?: number;
  /** Keep tokens at least this fraction as probable as the best, in [0, 1]. Default 0. */
  minP?: number;
  /** Logits of tokens already seen are divided (if positive) or multiplied by this. Default 1, none. */
  repeatPenalty?: number;
  /** How many last tokens `repeatPenalty` looks at; -1 is the whole context. Default -1. */
  repeatLastN?: number;
  /** Subtracted from the logit of every token generated before, in [-2, 2]. Default 0. */
  presencePenalty?: number;
  /** Subtracted once for every time the token was generated, in [-2, 2]. Default 0. */
  frequencyPenalty?: number;
}

/**
 * Options of `generate`.
 *
 * @example
 * const options: GenerateOptions = { maxTokens: 200, temperature: 0, stop: ['\n\n'], signal: AbortSignal.timeout(5000) };
 * const { text, finishReason } = await session.generate('Why is the sky blue?', options);
 */
export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate. Default: what is left of the context. */
  maxTokens?: number;
  /**
   * A number for a token id is added to that token's logit before anything else. -Infinity, or a number below -3.4e38, bans
   * the token. A number above 3.4e38 is KEXA_INVALID_ARGUMENT, because the core has 32 bits for it. A logit that bias or
   * penalties would take past 3.4e38 stays there.
   */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /**
   * An integer from 0 to 2^53 - 1. The same seed, prompt, options and device give the same tokens. Default: random, and
   * so is -1.
   */
  seed?: number;
  /** Texts that end the answer; they are not part of it. They are searched for in the answer, not in the reasoning. */
  stop?: string | readonly string[];
  /** Whether to report log-probabilities, and how many alternatives (0 to 20) beside the chosen token. */
  logprobs?: boolean | number;
  /**
   * The number of tokens that the model's MTP block drafts a step, 1 to 8. Drafts never change the answer, whatever the
   * sampling: a draft is kept only if it is the token that is chosen anyway. `'auto'` drafts as many as pay, by how many were
   * kept and how long steps took on this device, or none. `false` and 0 draft none. Default `'auto'`, or `false` for a model
   * without the block.
   */
  mtp?: false | 'auto' | number;
  /** Whether the answer goes on after an end-of-turn token. For benchmarks. Default false. */
  ignoreEos?: boolean;
  /** Whether the steps are counted and the last logits kept, which slows the answer. For measuring. Default false. */
  profile?: boolean;
  /** Whether the model may think first. Default: the template's own, on for K-EXAONE. */
  thinking?: boolean;
  /** The tools that the model may call. */
  tools?: readonly Tool[];
  /** Whether a prompt string is taken as it is, with no chat template, and the answer is one text. Default false. */
  raw?: boolean;
  /**
   * Whether special tokens that are written out in messages and tools (`<|endofturn|>`) are read as those tokens.
   * Whoever wrote such a message can then end a turn and begin another, so this is for text of your own. With `raw`
   * special tokens are always read. Default false.
   */
  specialTokensInText?: boolean;
  /**
   * Is called with the number of the prompt's tokens that are in the cache, and the number of all: once at the start, then
   * after each chunk. An error that it throws ends the answer.
   */
  onPromptProgress?: (done: number, total: number) => void;
  /** Stops the answer, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Whether an answer that has begun resolves with its tokens so far when the signal stops it; `finishReason` is then
   * `aborted`. An answer that has no token yet rejects all the same. Default false.
   */
  stopOnAbortSignal?: boolean;
}

/**
 * A prompt for `generate`: a user's message, a conversation, or token ids (which are used as they are).
 *
 * @example
 * await session.generate('a user\'s message');
 * await session.generate([{ role: 'user', content: 'a conversation' }]);
 * await session.generate(model.tokenizer.encode('token ids'));
 */
export type Prompt = string | readonly ChatMessage[] | readonly number[] | Uint32Array;

/**
 * A chosen token and its log-probability under the model's own distribution (before penalties and filters).
 *
 * @example
 * const { logprobs } = await session.generate('Hello', { logprobs: 3 });
 * for (const { id, logprob, top } of logprobs!) console.log(id, logprob, top.length); // top has 3 entries
 */
export interface TokenLogprob {
  id: number;
  logprob: number;
  /** The most probable tokens, best first. */
  top: { id: number; logprob: number }[];
}

/**
 * A part of an answer: the tokens that became text since the last piece.
 *
 * @example
 * for await (const { text, reasoning, toolCalls } of session.generate(messages, { tools }))
 *   process.stdout.write(text || reasoning || toolCalls.map(({ name }) => name).join());
 */
export interface Piece {
  /** New text of the answer. May be empty when the piece is reasoning or part of a tool call. */
  text: string;
  /** New text of the thinking. */
  reasoning: string;
  /** Calls completed in this piece. */
  toolCalls: ToolCall[];
  /** Calls that ended in this piece and cannot be read. */
  failedToolCalls: FailedToolCall[];
  /** The tokens taken since the last piece. */
  ids: number[];
  logprobs?: TokenLogprob[];
}

/**
 * Counts of tokens.
 *
 * @example
 * const { usage } = await session.generate('Hello');
 * console.log(`${usage.cachedTokens} of ${usage.promptTokens} prompt tokens were cached`);
 */
export interface Usage {
  promptTokens: number;
  /** The number of the prompt's tokens whose keys and values were still cached. */
  cachedTokens: number;
  completionTokens: number;
}

/**
 * How the experts that an answer's tokens chose were served, if the GPU does not hold all experts.
 *
 * @example
 * const { experts } = await session.generate('Hello');
 * if (experts) console.log(`${experts.hitRate} of the choices were on the GPU, ${experts.copiedBytes} bytes were copied`);
 */
export interface ExpertTraffic {
  /** The number of choices whose expert was on the GPU. A token makes top-k choices in each layer. */
  hits: number;
  /** The number of choices whose expert was not on the GPU. */
  misses: number;
  /** hits / (hits + misses); 1 if nothing was chosen. */
  hitRate: number;
  /** The number of misses that the processor computed. */
  computed: number;
  /** The number of experts that were copied to the GPU. One copy may serve many choices. */
  copies: number;
  copiedBytes: number;
}

/**
 * Wall-clock times in milliseconds.
 *
 * @example
 * const { timings } = await session.generate('Hello');
 * console.log(`${timings.firstTokenMs} ms to the first token, then ${timings.decodeTokensPerSecond} tokens/s`);
 */
export interface Timings {
  /** Computing the prompt's uncached tokens. */
  prefillMs: number;
  /** From the first to the last generated token. */
  decodeMs: number;
  /** From the call to the first token. */
  firstTokenMs: number;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
  /** The part of `decodeMs` in which the processor handed steps to the GPU. Null on the CPU device. */
  encodeMs: number | null;
}

/**
 * The work of speculative decoding. All numbers are zero if nothing was drafted.
 *
 * @example
 * const { speculation } = await session.generate('Hello', { mtp: 3 });
 * console.log(`${speculation.accepted} of ${speculation.drafted} drafts were kept`);
 */
export interface Speculation {
  steps: number;
  drafted: number;
  accepted: number;
  acceptanceRate: number;
  /** Tokens a step gave on average: 1 + accepted / steps. */
  meanAcceptedLength: number;
  /** histogram[n]: steps that accepted n drafts. */
  histogram: number[];
  /** byPosition[i]: how many steps had a draft i (0 is a step's first), and how many accepted it. */
  byPosition: { drafted: number; accepted: number }[];
  /**
   * The time that drafting saved (milliseconds): the time that the answer's tokens would have taken one by one, at the speed
   * of this device's steps without drafts, less the time that the steps took. A negative number is a loss. Not counted: steps
   * at the start, steps where the number of drafts changes, and the MTP block's work on the prompt. Null if nothing was
   * drafted, or if no step without drafts has been timed since the model was loaded.
   */
  timeSavedMs: number | null;
}

/**
 * Why an answer ended. `stop`: an end-of-turn token or a stop text. `tool_calls`: the same, with calls in the answer.
 * `length`: `maxTokens` or the context ran out. `aborted`: the reader left early.
 *
 * @example
 * const { text, finishReason } = await session.generate('Hello', { maxTokens: 10 });
 * if (finishReason === 'length') console.log(`${text} ...`);
 */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'aborted';

/**
 * A whole answer. Awaiting a generation gives it.
 *
 * @example
 * const result: GenerationResult = await session.generate('Why is the sky blue?');
 * console.log(result.text, result.finishReason, result.usage.completionTokens);
 */
export interface GenerationResult {
  text: string;
  reasoning: string;
  toolCalls: ToolCall[];
  /** Texts that began as a call and cannot be read as one. They are also part of `text`. */
  failedToolCalls: FailedToolCall[];
  /** Every generated token, the end-of-turn token included. */
  ids: number[];
  logprobs?: TokenLogprob[];
  finishReason: FinishReason;
  /** The text of `stop` that ended the answer. Absent if the answer ended in another way. */
  stopText?: string;
  usage: Usage;
  timings: Timings;
  speculation: Speculation;
  /** Present if the GPU does not hold all experts and the answer was not stopped. */
  experts?: ExpertTraffic;
  /** Present with the option `profile` if the answer was not stopped. */
  profile?: GenerationProfile;
  /** The seed that was used. */
  seed: number;
}
