/** Loads the native addon, as the only file, and declares everything in it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type { ModelDescription, TensorEntry, TensorScales, TensorType } from './description.js';
import { variable } from './environment.js';
import { KexaError, type KexaErrorCode } from './errors.js';
import { packageRequire, packageRoot } from './package-root.js';
import type {
  ActivationType,
  ExpertMisses,
  ExpertTraffic,
  ForwardProfile,
  GenerationProfile,
  GpuKernels,
  MemoryReport,
  ModelStats,
  SamplingOptions,
} from './types.js';

/** PlanOptions of native/plan/layout.h. */
export interface NativePlanOptions {
  contextSize: number;
  slots: number;
  /** Tokens that all sequences share in the global layers' pages. 0: `contextSize`. */
  cacheTokens: number;
  prefillChunk: number;
  /** Milliseconds that a prompt's rows may add to the time between two tokens of an answer. */
  maxStepMs: number;
  /** Main memory for the rows of parked sequences (bytes). */
  parkBytes: number;
  threads: number;
  /** Whether each thread stays on a core of its own, where that is possible. */
  pinsThreads: boolean;
  /** Main memory for the rings of kept prefixes (bytes). 0 keeps none; -1: the turns of `slots` conversations. */
  prefixCacheBytes: number;
  /** Whether a prompt is kept only at the point that `keepAt` names. */
  keepsTurnsOnly: boolean;
  cacheType: 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_1';
  /** The type of the CPU device's activations. */
  activations: ActivationType;
  weights: 'auto' | 'f32' | 'f16' | 'bf16';
  /** Part of a GPU adapter's name, 'gpu' for the best one, or 'null' for Dawn's Null backend. Empty for the CPU. */
  adapter: string;
  /** The path of Dawn's library. */
  dawnLibrary: string;
  /** The path of the Vulkan loader. Empty: the system's. */
  vulkanLibrary: string;
  /** A text that differs for each build of Dawn. */
  dawnIdentity: string;
  /** The folder of compiled kernels. Empty: none are kept. */
  blobFolder: string;
  /** Whether a closed model leaves the GPU's device, with its compiled kernels, to the next model of the process. */
  keepsDevice: boolean;
  /** Whether Dawn validates calls and checks bounds. */
  isChecked: boolean;
  /** Most bytes of a layer's routed experts in one GPU buffer. 0: as many as the GPU allows. */
  gpuBufferBytes: number;
  gpuKernels: GpuKernels;
  gpuElements: 'f32' | 'f16';
  /** The ops that tuning found faster without subgroups. */
  plainOps: readonly string[];
  /** The number of routed experts of each layer that a GPU holds. -1: all. */
  expertSlots: number;
  expertMisses: ExpertMisses;
  /** How often each expert was chosen before [layers, experts], or empty. */
  expertHeat: Float32Array;
  /** The devices that share the model, in the layers' order. Empty: `adapter` names the one device. */
  parts: readonly NativePart[];
  /** The most rows of a GPU's global layers that are allocated at load. More are allocated as they are used. */
  cacheStartRows: number;
}

/** PartOptions of native/plan/layout.h. */
export interface NativePart {
  adapter: string;
  plainOps: readonly string[];
  /** The number of layers that the device takes. 0 for every part: the core divides the layers. */
  layers: number;
  /** The size of the device's memory (bytes). 0: not known. */
  memoryBytes: number;
}

/** Plan of native/plan/plan.h, with the plan of each part. */
export type NativePlan = Omit<MemoryReport, 'devices'> & {
  parts: (Omit<MemoryReport, 'devices'> & { firstLayer: number; layers: number })[];
};

/** MeasureParams of native/kexa.h. */
export interface NativeMeasureParams {
  /** Tokens in the context before. */
  depth: number;
  ops: {
    /** A function of native/device/device.h, or `step` for a whole one. */
    op: string;
    /** The layers whose calls take turns. */
    layers: Uint32Array;
    rows: number;
    repetitions: number;
    /** The least time of a repetition (milliseconds). The op is called again until that time is over. */
    leastMs: number;
  }[];
}

/** The measurement of one op. Each list has one time of one call for each repetition. */
export interface NativeMeasurement {
  ms: number[];
  /** For steps: the time until all work is handed to the device (milliseconds). */
  encodeMs: number[];
  calls: number;
  /** Whether times are the device's own timestamps. Else they are the clock's. */
  isDeviceTime: boolean;
  /** The number of different experts that the rows were sent to. */
  expertsRead: number;
  /** The kernels of one call. Null on the CPU device. */
  profile: ForwardProfile | null;
}

/**
 * The rates that a device itself reaches: bytes a second, and operations a second (a product and a sum are two).
 *
 * @example
 * const { rates } = await benchmarkOps('models/tiny', { device: 'cpu', rows: [1], ops: ['head'] });
 * console.log(`${rates.copy / 1e9} GB/s, ${rates.f32 / 1e12} Tflop/s`);
 */
export interface DeviceRates {
  /** Copying: bytes read plus bytes written. */
  copy: number;
  read: number;
  f32: number;
  /** The rate of subgroup matrices, f16 with f32 sums. Null if the device has none. */
  matrices: number | null;
  matrixShape: string;
}

/** GenerateParams of native/kexa.h. */
export interface NativeGenerateParams extends Required<SamplingOptions> {
  seed: number;
  /** The number of alternatives to report. -1: no log-probabilities are wanted. */
  logprobs: number;
  biasIds: Uint32Array;
  biasValues: Float32Array;
  maxTokens: number;
  /** The position at which the next turn's prompt will differ from this one. 0: not known. */
  keepAt: number;
  /** The higher goes first. */
  priority: number;
  /** The number of the group of requests that share a prompt, and how many they are. 0: the request is in none. */
  group: number;
  groupSize: number;
  /** The number of tokens that the MTP block drafts a step. 0: none; -1: as many as pay. */
  drafts: number;
  endTokens: Uint32Array;
  /** The number that the worker of {@link NativeGrammarPort} has for the answer's grammar. 0: it has none. */
  grammar: number;
  /** Whether a token that is the only one allowed counts as a draft. */
  forcesTokens: boolean;
  /** The end tokens cannot be chosen before the answer has so many tokens. */
  minTokens: number;
  profile: boolean;
}

/** The events of a {@link NativeRequest}, which native/engine/channel.h declares. */
export type NativeEvent =
  | { kind: 'progress'; doneBytes: number; totalBytes: number }
  /** `queueMs`: from the request's coming to its start (milliseconds). */
  | { kind: 'started'; cachedTokens: number; queueMs: number }
  /** `done` counts the prompt's tokens so far, cached ones included. */
  | { kind: 'prompt'; done: number; total: number }
  | {
      kind: 'tokens';
      ids: Uint32Array;
      logprobs: Float32Array;
      tops: { id: number; logprob: number }[][];
      /** Two numbers for each speculative step: drafted, accepted. */
      drafts: Uint32Array;
      /** The time that drafting has saved so far (milliseconds). Null while it is not known. */
      savedMs: number | null;
    }
  | {
      kind: 'forwarded';
      logits: Float32Array;
      mtpLogits: Float32Array;
      hidden: Float32Array;
      layers: Float32Array[];
      routes: { layer: number; experts: Uint32Array; weights: Float32Array }[];
      profile: ForwardProfile | null;
    }
  | ({ kind: 'measured' } & NativeMeasurement)
  | { kind: 'scored'; ids: Uint32Array; logprobs: Float32Array; tops: { id: number; logprob: number }[][] }
  | {
      kind: 'ended';
      isLength: boolean;
      prefillMs: number;
      decodeMs: number;
      prefillTokens: number;
      /** How often it gave up its room to others. */
      parked: number;
      savedMs: number | null;
      /** Null if the device computes in the call itself. */
      encodeMs: number | null;
      /** Null if no profile was asked for. */
      profile: GenerationProfile | null;
      /** Null if all experts are on the device. */
      experts: Omit<ExpertTraffic, 'hitRate'> | null;
    }
  /** `heat` is [layers, experts], or empty if all experts are on the device. */
  | { kind: 'expertHeat'; heat: Float32Array }
  /** `tokens` is the number that the session has cached now. */
  | { kind: 'kept'; tokens: number }
  | { kind: 'done' }
  | { kind: 'failed'; code: KexaErrorCode; message: string }
  | { kind: 'stopped' };

/** Something asked of the engine thread. */
export interface NativeRequest {
  /** All events since the last call, once there is one; null after the last. One call at a time. */
  next(): Promise<NativeEvent[] | null>;
  /** The request ends with `stopped`, unless it is over already. */
  cancel(): void;
}

/** One loaded model and the thread that owns it. */
export interface NativeEngine {
  load(warmLimitBytes: number): NativeRequest;
  forward(
    ids: Uint32Array,
    params: {
      allLogits: boolean;
      mtp: boolean;
      trace: boolean;
      profile: boolean;
      /**
       * The number of leading ids that only fill the cache, in prompt chunks. Logits come from the last of them on. 0:
       * none.
       */
      leadRows: number;
      /** The rows of each step after the leading ids. 0: a chunk. */
      stepRows: number;
    },
  ): NativeRequest;
  score(ids: Uint32Array, alternatives: number): NativeRequest;
  generate(session: number, ids: Uint32Array, params: NativeGenerateParams): NativeRequest;
  measure(params: NativeMeasureParams): NativeRequest;
  fork(session: number, parent: number): NativeRequest;
  rewind(session: number, length: number): NativeRequest;
  save(session: number, path: string): NativeRequest;
  loadSession(session: number, path: string): NativeRequest;
  endSession(session: number): void;
  /** Does not wait for the engine's thread. */
  stats(): ModelStats;
  expertHeat(): NativeRequest;
  /** The number from which a worker makes a {@link NativeGrammarPort}. */
  grammarPort(): number;
  /** How long the oldest question to the grammar worker has had no answer (milliseconds). */
  grammarWaitMs(): number;
  /** Ends all constrained answers with the error. */
  failGrammars(code: KexaErrorCode, message: string): void;
  /** For tests: loses the GPU between two steps. */
  forceDeviceLoss(): NativeRequest;
  /** For tests: limits the GPU's buffers to `bytes` in all from now on. */
  forceDeviceRoom(bytes: number): NativeRequest;
  close(): NativeRequest;
}

/** The messages of native/engine/grammar_port.h. `sequence` is the number of an answer. */
export type GrammarMessage =
  /** `tokens` are those of the answer so far. */
  | { kind: 'begin'; sequence: number; grammar: number; tokens: Uint32Array }
  | {
      kind: 'ask';
      sequence: number;
      step: number;
      /** The tokens of the answer since the last question, and guesses at the next ones. */
      taken: Uint32Array;
      drafts: Uint32Array;
      /** The most drafts that the step can have. */
      mostDrafts: number;
      /** Whether tokens that are the only ones allowed are to be added to the drafts. */
      forces: boolean;
    }
  | { kind: 'end'; sequence: number };

/** The engine's end that a grammar worker talks to. */
export interface NativeGrammarPort {
  /** All messages since the last call. */
  take(): GrammarMessage[];
  /**
   * Answers a question. `drafts` are those that the grammar allows, and `masks` is [1 + drafts, vocab / 32]: a bit for
   * each token that may be chosen after the taken tokens, and after each draft.
   */
  give(sequence: number, step: number, drafts: Uint32Array, masks: Uint32Array): void;
  /** Ends the answer with an error. */
  fail(sequence: number, code: KexaErrorCode, message: string): void;
}

/** AdapterFacts of native/gpu/adapter.h. */
export interface NativeAdapter {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  backend: string;
  /** A CPU pretending to be a GPU. */
  isSoftware: boolean;
  hasF16: boolean;
  hasSubgroups: boolean;
  hasTimestamps: boolean;
  hasSubgroupMatrices: boolean;
  subgroupMin: number;
  subgroupMax: number;
  maxBufferBytes: number;
  maxBindingBytes: number;
  maxWorkgroupBytes: number;
  maxInvocations: number;
  maxWorkgroupSizeX: number;
  maxStorageBuffers: number;
  hasTimestampsInsidePasses: boolean;
  /** The shapes of products of subgroup matrices (tensor cores): C [m, n] = A [m, k] B [k, n]. */
  matrixShapes: { component: string; result: string; m: number; n: number; k: number }[];
  /** Empty if Dawn does not tell. */
  heaps: { bytes: number; isDeviceLocal: boolean; isHostVisible: boolean }[];
}

/** {@link TensorScales} with the bytes of all that the matrix needs. */
export interface NativeScales extends TensorScales {
  stored: Uint8Array;
  /** The file that the scales are in, for errors. */
  path: string;
  /** The number of the matrix's columns. */
  columns: number;
  gridColumns: number;
}

/** A piece of a tensor to quantise. */
export interface NativeQuantize {
  /** The values, which `packed` takes the place of. */
  from?: Uint8Array;
  fromType?: 'f32' | 'f16' | 'bf16' | 'f8_e4m3';
  /** The scales, if the source is f8_e4m3. */
  scales?: NativeScales;
  /** A matrix that is packed, and the files of its model. The piece is whole rows of it. */
  packed?: { tensor: TensorEntry; paths: readonly string[] };
  /** The result, which is filled with whole blocks. */
  to: Uint8Array;
  toType: TensorType;
  /** The place of the first value in its tensor, for errors. */
  first: number;
  threads: number;
}

/** VocabularySource of native/text/vocabulary.h. */
export interface NativeVocabularySource {
  /** For errors: the file's name, and what it calls its tokens and its merges. */
  file: string;
  tokensField: string;
  mergesField: string;
  /** The tokens in the byte alphabet, as UTF-8, one after another. `nameEnds` tells where each ends. */
  names: Uint8Array;
  nameEnds: Uint32Array;
  /** The id of each name. {@link unusedName} marks a name that is no token. */
  ids: Uint32Array;
  /** Two texts for each merge or, with `hasJoinedMerges`, one text with a space in it. */
  merges: Uint8Array;
  mergeEnds: Uint32Array;
  hasJoinedMerges: boolean;
  added: readonly { content: string; id: number; isSpecial: boolean; isNormalized: boolean; isNamed: boolean }[];
  normalForm: 'none' | 'nfc' | 'nfkc';
  split: 'none' | 'gpt2' | 'exaone' | 'exaone-moe';
}

export const unusedName = 0xffffffff;

/** EncodeRequest of native/text/encoder.h. */
export interface NativeEncodeRequest {
  text: string;
  /** Three numbers a span: start, end (UTF-16), and 0 for all, 1 for markers, 2 for none. */
  spans: Uint32Array;
  /** The most ids. More are an error, KEXA_CONTEXT_FULL. */
  mostIds?: number;
  /** For tests: MergerLimits of native/text/merger.h. */
  limits?: { heapFrom: number; listsFrom: number; hasCache: boolean };
}

/** A vocabulary and the encoder that uses it. */
export interface NativeTokenizer {
  /**
   * Builds the vocabulary on another thread. Must be called once, before every other method. Token i is `bytes` from
   * `starts[i]` up to `starts[i + 1]`. `spellings[i]` is 0 for an id that no token has, 1 for a token in the byte
   * alphabet, 2 for a token that is spelled as it is. Rejects with an Error that has a `code`.
   */
  load(): Promise<{ bytes: Uint8Array; starts: Uint32Array; spellings: Uint8Array }>;
  /** -1 if no token is spelled so. */
  idOf(name: string): number;
  /** Throws an Error that has a `code`. */
  encode(request: NativeEncodeRequest): Uint32Array;
  /** Encodes on another thread. `result` is null if the request was cancelled before its end. */
  start(request: NativeEncodeRequest): { result: Promise<Uint32Array | null>; cancel(): void };
}

interface NativeModule {
  Tokenizer: new (source: NativeVocabularySource) => NativeTokenizer;
  Engine: new (description: ModelDescription, options: NativePlanOptions) => NativeEngine;
  /** Attaches this thread as the worker of the engine with that number. `onWake` is called when messages have come. */
  GrammarPort: new (
    port: number,
    onWake: () => void,
  ) => NativeGrammarPort;
  /** Throws an Error with a `code` if devices cannot share the model so. */
  plan(description: ModelDescription, options: NativePlanOptions): NativePlan;
  /** Quantises on other threads. Both arrays must be left alone meanwhile. Rejects with an Error that has a `code`. */
  quantize(request: NativeQuantize): Promise<void>;
  /**
   * Locks an open file, without waiting. Returns false if another process holds the lock. The lock is held until the
   * descriptor is closed or the process ends.
   */
  lockFile(descriptor: number): boolean;
  /** Stops every engine of the process, which is about to exit with this code. Waits for their threads. */
  stopEngines(exitCode: number): void;
  /** Measures a device on another thread. Rejects with an Error that has a `code`. */
  rates(options: NativePlanOptions): Promise<DeviceRates>;
  /** The CPU device's instruction sets, the best one last. */
  instructionSets(): { used: string; available: string[] };
  /** Chooses one of them for all that this process computes from now on. The best is used until then. */
  useInstructionSet(name: string): void;
  /**
   * Opens the Vulkan loader, the system's if no path is given. Returns why it cannot be used, or an empty text. Quick.
   */
  vulkanProblem(vulkanLibrary: string): string;
  /** Whether Dawn is part of the addon, and no library is opened. */
  hasLinkedDawn: boolean;
  /** Best first. Rejects if Dawn cannot be loaded. */
  adapters(dawnLibrary: string, vulkanLibrary: string): Promise<NativeAdapter[]>;
}

let loaded: { module: NativeModule; path: string } | undefined;

/**
 * The addon, loaded on first use: `KEXA_BINARY`, else the platform's package, else the checkout's own build.
 *
 * @throws KexaError KEXA_NO_BINARY with every place that was tried and what was wrong there.
 */
export function native(): NativeModule {
  return loadNative().module;
}

/**
 * The addon, set to compute with the instruction set that `KEXA_CPU` names, else with the best.
 *
 * @throws KexaError as {@link native}; KEXA_UNSUPPORTED if this processor has no such set.
 */
export function computing(): NativeModule {
  const module = native();
  const { available } = module.instructionSets();
  const wanted = variable('KEXA_CPU') ?? available.at(-1)!;
  if (!available.includes(wanted))
    throw new KexaError(
      'KEXA_UNSUPPORTED',
      `KEXA_CPU: wanted an instruction set of this processor (${available.join(', ')}), found ${wanted}`,
    );
  module.useInstructionSet(wanted);
  return module;
}

/** Where the addon was loaded from. Throws as {@link native} does. */
export function nativePath(): string {
  return loadNative().path;
}

function loadNative(): { module: NativeModule; path: string } {
  if (loaded !== undefined) return loaded;
  const require = packageRequire();
  const named = variable('KEXA_BINARY');
  const tried: string[] = [];
  const candidates = named
    ? [named]
    : [`@kexa/${process.platform}-${process.arch}`, join(packageRoot(), 'build/Release/kexa.node')];
  for (const candidate of candidates) {
    try {
      const path = candidate.startsWith('@') ? require.resolve(candidate) : candidate;
      if (path === candidate && !existsSync(path)) throw new Error('no such file');
      loaded = { module: require(path) as NativeModule, path };
      const { module } = loaded;
      // Workers stop their own engines as they end.
      if (isMainThread) process.once('exit', (code) => module.stopEngines(code));
      return loaded;
    } catch (cause) {
      tried.push(`  ${candidate}: ${String((cause as Error).message).split('\n')[0]}`);
    }
  }
  const fix = named
    ? 'Correct or unset KEXA_BINARY.'
    : `In a checkout run "npm run build". Installed, the package must be one made for ${process.platform}-${process.arch}.`;
  throw new KexaError('KEXA_NO_BINARY', `the native addon was not found; tried\n${tried.join('\n')}\n${fix}`);
}

/** Returns the value of `call`; an Error of the addon's that has a `code` becomes a KexaError. */
export function fromNative<Value>(call: () => Value): Value {
  try {
    return call();
  } catch (cause) {
    throw nativeError(cause);
  }
}

/**
 * A KexaError for an error of the addon's that has a `code`, with `about` before its message. Any other error as it is.
 */
export function nativeError(cause: unknown, about: string = ''): unknown {
  const { code, message } = cause as { code?: unknown; message?: unknown };
  if (cause instanceof KexaError || typeof code !== 'string' || !code.startsWith('KEXA_')) return cause;
  return new KexaError(code as KexaErrorCode, `${about}${message}`, { cause });
}

/** Reads a request to its end, giving each event to `onEvent`; `failed` becomes a KexaError. */
export async function readRequest(request: NativeRequest, onEvent: (event: NativeEvent) => void): Promise<void> {
  for (let events = await request.next(); events !== null; events = await request.next()) {
    for (const event of events) {
      if (event.kind === 'failed') throw new KexaError(event.code, event.message);
      onEvent(event);
    }
  }
}
