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
 * What the CPU device multiplies block-quantised weights by.
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
  /** What is being done. */
  phase: 'read' | 'load';
  /** From 0 to 1. */
  fraction: number;
  doneBytes: number;
  totalBytes: number;
}

/**
 * How the GPU's kernels are written.
 *
 * @example
 * const model = await loadModel('models/tiny', { device: 'gpu', gpuKernels: 'plain' });
 */
export type GpuKernels = 'auto' | 'plain' | 'subgroups' | 'matrices';

/**
 * What becomes of a chosen expert that is not on the GPU. `copy`: it is copied there, and the answer is to the last bit
 * that of a model wholly on the GPU. `compute`: the processor computes it beside the GPU, whose experts stay those it
 * was loaded with. `auto`: whichever took less time when the model was loaded, or a copy of an expert that has become one
 * of the most wanted; what is computed where, and so an answer's last bits, then depends on what went before.
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
   * `auto` (a real GPU when kexa can use one, else the CPU), `cpu`, `gpu`, or part of an adapter's name; `gpu:1` is the
   * second of those that `gpu` fits, and so with a name. Several, as in `['gpu:0', 'gpu:1']`, share the model's layers, the
   * first ones on the first; the answer is the same.
   */
  device?: string | readonly string[];
  /**
   * Of several devices: how many layers each takes, as these numbers are to one another (`[3, 1]`: three quarters and a
   * quarter; numbers that add up to the layers are counts). Default: by bytes, as much of each device's memory, or where
   * that is not known as many bytes on each.
   */
  layerSplit?: readonly number[];
  /** Most tokens a sequence may hold, prompt and answer together. Default: the model's limit, at most 32,768. */
  contextSize?: number;
  weights?: WeightType;
  cacheType?: CacheType;
  /**
   * Main memory for what is kept of prompts and answers when their sessions have moved on or ended, in bytes: a session
   * whose prompt begins like one of them goes on from there. 0 keeps nothing. Default: what the turns of four conversations
   * take, at most an eighth of the memory that is free, and kept is only that: of each session the points from which its
   * next turn goes on, though the chat template leaves old thinking out.
   */
  prefixCacheBytes?: number;
  /** Prompt tokens computed together, 1 to 4096. Default 128. */
  prefillChunk?: number;
  /** Keep the GPU interface's validation and bounds checks: slower, for tests and bug reports. Default false. */
  gpuChecks?: boolean;
  /**
   * How the GPU's kernels are written: with workgroup memory alone, with subgroups, or with subgroup matrices (tensor
   * cores, in f16) for prompts. Default `auto`: subgroups where the GPU has them. The others are for measuring, and for
   * drivers that err; `matrices` has not run on hardware yet.
   */
  gpuKernels?: GpuKernels;
  /** Type of the activations that pass between the GPU's kernels; sums, residual stream and logits are f32. Default f32. */
  gpuElements?: 'f32' | 'f16';
  /**
   * What the CPU device multiplies block-quantised weights by: `f32`, the activations as they are, or `i16`, each 256 of
   * a row as integers of 16 bits with one scale, which is faster. docs/quality.md has what it costs. Other devices
   * compute with f32 alone. Default `f32`.
   */
  activations?: ActivationType;
  /** CPU threads. Default: the cores this process may use. */
  threads?: number;
  /**
   * Routed experts of each layer that the GPU holds; the others stay in main memory, in their files if they are in the
   * type wanted. Default: all, or as many as `gpuMemory` has room for.
   */
  expertSlots?: number;
  /** Bytes of the GPU's memory that may be taken. Default: no limit but its own. */
  gpuMemory?: number;
  /** Default `copy` where a token's experts have slots side by side, else `compute`. */
  expertMisses?: ExpertMisses;
  /**
   * A file that keeps how often each expert was chosen: the slots begin with the most wanted ones. Read if it is there,
   * written by `close()`; that it can be is checked when the model is loaded. Without effect where all experts are on
   * the GPU.
   */
  expertProfile?: string;
  onProgress?: (progress: Progress) => void;
  /**
   * Told what a caller should know although nothing failed, such as weights without the drafting block. Default: Node's
   * `process.emitWarning`, with the code.
   */
  onWarning?: (warning: KexaWarning) => void;
  signal?: AbortSignal;
}

/**
 * A device kexa can name.
 *
 * @example
 * for (const { name, description, memoryBytes } of await listDevices()) console.log(name, description, memoryBytes);
 */
export interface DeviceInfo {
  /** What to pass as `device`. */
  name: string;
  kind: 'cpu' | 'gpu';
  /** One line for people: maker, model, driver. */
  description: string;
  /** Whether it is a GPU that a program on the processor plays. */
  isSoftware: boolean;
  /** Whether this version can run models on it. */
  usable: boolean;
  /** Bytes of its own memory, where its driver tells; absent for the CPU and software GPUs. */
  memoryBytes?: number;
}

/**
 * What a loaded model holds, in bytes. Figures come from the plan, made before anything is allocated.
 *
 * @example
 * const { total, weights, cache } = model.memory;
 * console.log(`${total} bytes, of which ${weights.total} are weights and ${cache.total} are cache`);
 */
export interface MemoryReport {
  /** Weights as the device reads them; `mapped` of them are the file itself, read in place. */
  weights: { total: number; mapped: number };
  /** KV cache at full context: pages of the global layers, rings of the sliding ones (four sequences'), the MTP layer. */
  cache: { total: number; global: number; sliding: number; mtp: number; bytesPerToken: number };
  /** Working buffers of one step. */
  scratch: number;
  /**
   * A GPU's cache grows with the contexts in it: what of `cache` is there `atLoad`, and of `scratch` the largest buffer
   * that is `outgrown`, which stays while its rows are copied; 0: short contexts are whole from the start. Null on the CPU,
   * where the cache is main memory that is taken when it is first written.
   */
  growth: { atLoad: number; outgrown: number } | null;
  /** Most that kept prefixes take of main memory, beside the cache's pages: the option `prefixCacheBytes`, or its default. */
  prefixCache: number;
  /**
   * Where a GPU holds but some routed experts: how many of each layer's, in how many bytes of `weights`, and what all of
   * them take in main memory, `mapped` of it the file itself, read in place. Null: the device holds all.
   */
  experts: { slots: number; slotBytes: number; host: number; mapped: number } | null;
  /** Of the device; kept prefixes are in main memory. */
  total: number;
  /** Of devices that share the model, in the layers' order: what each holds of all this. */
  devices?: DeviceMemory[];
}

/**
 * What one of several devices holds, in bytes; see {@link MemoryReport}.
 *
 * @example
 * const model = await loadModel('models/tiny', { device: ['cpu', 'cpu'] });
 * for (const { name, layers, total } of model.memory.devices!) console.log(name, layers, total);
 */
export interface DeviceMemory extends Omit<MemoryReport, 'prefixCache' | 'devices' | 'experts'> {
  /** As `DeviceInfo` has it. */
  name: string;
  /** The first and the last of its layers, from 0. The first device has the embedding too, the last one the head and the MTP layer. */
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
  /** As config.json has it: `exaone_moe` or `exaone4`. */
  readonly modelType: string;
  /** Weights, the MTP block included; a tied head counts once. */
  readonly parameters: number;
  readonly mtpParameters: number;
  /** Weights one token's forward pass reads, without the MTP block. */
  readonly activeParameters: number;
  readonly bosTokenId: number | null;
  /** Ids that end an answer. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
  /** How config.json says that matrices are stored in FP8; null: they are not. */
  readonly fp8: Fp8Scheme | null;
  /** Sampling defaults of generation_config.json, or of the GGUF file. */
  readonly generationDefaults: Readonly<SamplingOptions>;
  /** Why a default there could not be taken: sampling is refused while that option is not given. */
  readonly generationFaults: Readonly<Partial<Record<keyof SamplingOptions, string>>>;
}

/**
 * How the next token is chosen. Every field's default is that of the model's files, else the one given here.
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
   * Added to logits before anything else, by token id. -Infinity bans a token, as does what is below -3.4e38; what is
   * above 3.4e38 is KEXA_INVALID_ARGUMENT, since the core has 32 bits for it. A logit that bias or penalties would take
   * past that stays there.
   */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /** Same seed, prompt, options and device: same tokens. An integer from 0 to 2^53 - 1. Default: random, as is -1. */
  seed?: number;
  /** Texts that end the answer; they are not part of it. They are searched for in the answer, not in the reasoning. */
  stop?: string | readonly string[];
  /** Whether to report log-probabilities, and how many alternatives (0 to 20) beside the chosen token. */
  logprobs?: boolean | number;
  /**
   * Drafts a step by the model's MTP block, 1 to 8. They never change the answer, whatever the sampling: a draft is kept
   * only if it is the token that is chosen anyway. `'auto'`: as many as pay, by how many were kept and what
   * steps cost on this device; none where drafting loses. Default `'auto'`; `false`, as is 0, for a model without the block.
   */
  mtp?: false | 'auto' | number;
  /** Go on after an end-of-turn token. For benchmarks. Default false. */
  ignoreEos?: boolean;
  /** Also count what the steps did and keep the last logits, which slows them. For measuring. Default false. */
  profile?: boolean;
  thinking?: boolean;
  tools?: readonly Tool[];
  /** Take a prompt string as it is, with no chat template, and give the answer as one text. Default false. */
  raw?: boolean;
  /**
   * Read special tokens that are written out in messages and tools (`<|endofturn|>`) as those tokens. Whoever wrote them can
   * then end a turn and begin another, so only for text of your own. With `raw` they always are. Default false.
   */
  specialTokensInText?: boolean;
  /**
   * Told how many of the prompt's tokens are in the cache, and how many there are: once at the start, then after each
   * chunk. What it throws ends the answer.
   */
  onPromptProgress?: (done: number, total: number) => void;
  /** Stops the answer, which then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * Resolve with what there is when the signal stops an answer that has begun, `finishReason` being `aborted`. One that has
   * no token yet rejects all the same. Default false.
   */
  stopOnAbortSignal?: boolean;
}

/**
 * What `generate` takes: a user's message, a conversation, or token ids (which are used as they are).
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
 * What iteration gives: the tokens that became text since the last piece.
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
  /** Of the prompt's tokens, those whose KV was still cached. */
  cachedTokens: number;
  completionTokens: number;
}

/**
 * What became of the experts that an answer's tokens chose, where the GPU does not hold all of them.
 *
 * @example
 * const { experts } = await session.generate('Hello');
 * if (experts) console.log(`${experts.hitRate} of the choices were on the GPU, ${experts.copiedBytes} bytes were copied`);
 */
export interface ExpertTraffic {
  /** Choices (a token's of one layer are as many as its top-k) whose expert was on the GPU, and the others. */
  hits: number;
  misses: number;
  /** hits / (hits + misses); 1 if nothing was chosen. */
  hitRate: number;
  /** Of the misses, those that the processor computed. */
  computed: number;
  /** Experts copied to the GPU; one may serve many choices. */
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
  /** Of `decodeMs`, what handing steps to the GPU took of the processor's time; null on the CPU device. */
  encodeMs: number | null;
}

/**
 * What speculative decoding did; all zero when nothing was drafted.
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
   * What drafting saved, in milliseconds: what the tokens of the answer's steps would have taken one a step, as steps
   * without drafts have taken on this model and device, less what those steps took. Negative: it lost. Steps at the start, and
   * where the number of drafts changes, are not counted, nor what the MTP block adds to the prompt. Null where nothing
   * was drafted, or no step without drafts has been timed since the model was loaded.
   */
  timeSavedMs: number | null;
}

/**
 * `stop`: end of turn or a stop text; `length`: maxTokens or the context ran out; `aborted`: the reader left early.
 *
 * @example
 * const { text, finishReason } = await session.generate('Hello', { maxTokens: 10 });
 * if (finishReason === 'length') console.log(`${text} ...`);
 */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'aborted';

/**
 * What awaiting a generation gives.
 *
 * @example
 * const result: GenerationResult = await session.generate('Why is the sky blue?');
 * console.log(result.text, result.finishReason, result.usage.completionTokens);
 */
export interface GenerationResult {
  text: string;
  reasoning: string;
  toolCalls: ToolCall[];
  /** Text that began as a call and cannot be read as one; it is a part of `text`. */
  failedToolCalls: FailedToolCall[];
  /** Every generated token, the end-of-turn token included. */
  ids: number[];
  logprobs?: TokenLogprob[];
  finishReason: FinishReason;
  /** The text of `stop` that ended the answer; absent where it ended in another way. */
  stopText?: string;
  usage: Usage;
  timings: Timings;
  speculation: Speculation;
  /** Where the GPU does not hold all experts; not of an answer that was stopped. */
  experts?: ExpertTraffic;
  /** With `profile`; not of an answer that was stopped. */
  profile?: GenerationProfile;
  /** The seed that was used. */
  seed: number;
}
