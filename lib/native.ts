/** The only file that loads the native addon, and the declaration of all that is in it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import type { ModelDescription, TensorScales, TensorType } from './description.js';
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
} from './types.js';

/** PlanOptions of native/plan/layout.h. */
export interface NativePlanOptions {
  contextSize: number;
  prefillChunk: number;
  threads: number;
  /** Bytes of main memory for rings of kept prefixes; 0: none are kept, -1: room for four conversations' turns. */
  prefixCacheBytes: number;
  /** Whether of prompts only the points that `keepAt` names are kept. */
  keepsTurnsOnly: boolean;
  cacheType: 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_1';
  /** Of the CPU device. */
  activations: ActivationType;
  weights: 'auto' | 'f32' | 'f16' | 'bf16';
  /** Part of a GPU adapter's name, 'gpu' for the best, or 'null' for Dawn's Null backend; empty: the CPU. */
  adapter: string;
  /** Where Dawn is. */
  dawnLibrary: string;
  /** Another for each build of it. */
  dawnIdentity: string;
  /** Where compiled kernels are kept; empty: nowhere. */
  blobFolder: string;
  /** With Dawn's validation and bounds checks. */
  isChecked: boolean;
  gpuKernels: GpuKernels;
  gpuElements: 'f32' | 'f16';
  /** Ops written without subgroups though the GPU has them: what tuning found faster. */
  plainOps: readonly string[];
  /** Routed experts of each layer that a GPU holds; -1: all. */
  expertSlots: number;
  expertMisses: ExpertMisses;
  /** [layers, experts]: how often each was chosen before; or empty. */
  expertHeat: Float32Array;
  /** The devices that share the model, in the layers' order; none: one device, as `adapter` has it. */
  parts: readonly NativePart[];
  /** Most rows that a GPU's global layers are given at load; the rest as they are used. */
  cacheStartRows: number;
}

/** PartOptions of native/plan/layout.h. */
export interface NativePart {
  adapter: string;
  plainOps: readonly string[];
  /** How many layers it takes; 0 for all of them: as many as is best. */
  layers: number;
  /** That it has; 0: not known. */
  memoryBytes: number;
}

/** Plan of native/plan/plan.h; what it is of each part, too. */
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
    /** Taken in turns. */
    layers: Uint32Array;
    rows: number;
    repetitions: number;
    /** A repetition calls it as often as takes this long. */
    leastMs: number;
  }[];
}

/** One op, measured; times are of one call, one for each repetition. */
export interface NativeMeasurement {
  ms: number[];
  /** Of steps: until all is handed to the device. */
  encodeMs: number[];
  calls: number;
  /** By the device's own timestamps, else by the clock. */
  isDeviceTime: boolean;
  /** Different experts that the rows were sent to. */
  expertsRead: number;
  /** Of one call; null on the CPU device. */
  profile: ForwardProfile | null;
}

/**
 * What a device itself can do: bytes a second, and operations a second (a product and a sum are two).
 *
 * @example
 * const { rates } = await benchmarkOps('models/tiny', { device: 'cpu', rows: [1], ops: ['head'] });
 * console.log(`${rates.copy / 1e9} GB/s, ${rates.f32 / 1e12} Tflop/s`);
 */
export interface DeviceRates {
  /** Bytes read and bytes written together. */
  copy: number;
  read: number;
  f32: number;
  /** Of subgroup matrices, f16 with f32 sums; null where there are none. */
  matrices: number | null;
  matrixShape: string;
}

/** GenerateParams of native/kexa.h. */
export interface NativeGenerateParams {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  repeatPenalty: number;
  repeatLastN: number;
  presencePenalty: number;
  frequencyPenalty: number;
  seed: number;
  /** -1: none wanted. */
  logprobs: number;
  biasIds: Uint32Array;
  biasValues: Float32Array;
  maxTokens: number;
  /** Where the prompt of the next turn will leave this one; 0: nowhere. */
  keepAt: number;
  /** Tokens the MTP block guesses ahead a step; 0: none, -1: as many as pay. */
  drafts: number;
  endTokens: Uint32Array;
  profile: boolean;
}

/** What a {@link NativeRequest} says; the events of native/engine/channel.h. */
export type NativeEvent =
  | { kind: 'progress'; doneBytes: number; totalBytes: number }
  | { kind: 'started'; cachedTokens: number }
  /** The prompt's tokens so far, cached ones included. */
  | { kind: 'prompt'; done: number; total: number }
  | {
      kind: 'tokens';
      ids: Uint32Array;
      logprobs: Float32Array;
      tops: { id: number; logprob: number }[][];
      /** Two numbers a speculative step: drafted, accepted. */
      drafts: Uint32Array;
      /** What drafting has saved so far, in milliseconds; null while nobody can tell. */
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
  | { kind: 'scored'; logprobs: Float32Array }
  | {
      kind: 'ended';
      isLength: boolean;
      prefillMs: number;
      decodeMs: number;
      prefillTokens: number;
      savedMs: number | null;
      /** Null where the device computes in the call itself. */
      encodeMs: number | null;
      /** Where one was asked for. */
      profile: GenerationProfile | null;
      /** Where not all experts are on the device. */
      experts: Omit<ExpertTraffic, 'hitRate'> | null;
    }
  /** [layers, experts]; empty where all are on the device. */
  | { kind: 'expertHeat'; heat: Float32Array }
  /** What the session has cached now. */
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
      /** The first ids, run as every prompt is; all but the last of them give no logits. 0: none. */
      leadRows: number;
      /** Rows of each step after those. 0: a chunk. */
      stepRows: number;
    },
  ): NativeRequest;
  score(ids: Uint32Array): NativeRequest;
  generate(session: number, ids: Uint32Array, params: NativeGenerateParams): NativeRequest;
  measure(params: NativeMeasureParams): NativeRequest;
  fork(session: number, parent: number): NativeRequest;
  rewind(session: number, length: number): NativeRequest;
  save(session: number, path: string): NativeRequest;
  loadSession(session: number, path: string): NativeRequest;
  endSession(session: number): void;
  expertHeat(): NativeRequest;
  /** For tests: loses the GPU, between two steps of what is going on. */
  forceDeviceLoss(): NativeRequest;
  /** For tests: from here on the GPU has room for so many bytes of buffers in all. */
  forceDeviceRoom(bytes: number): NativeRequest;
  close(): NativeRequest;
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
  /** C [m, n] = A [m, k] B [k, n] of subgroup matrices (tensor cores). */
  matrixShapes: { component: string; result: string; m: number; n: number; k: number }[];
  /** Empty where Dawn does not tell. */
  heaps: { bytes: number; isDeviceLocal: boolean; isHostVisible: boolean }[];
}

/** {@link TensorScales} with the bytes of all that the matrix needs. */
export interface NativeScales extends TensorScales {
  stored: Uint8Array;
  /** Of the file they are in, for errors. */
  path: string;
  /** Of the matrix. */
  columns: number;
  gridColumns: number;
}

/** What `quantize` is asked for. */
export interface NativeQuantize {
  from: Uint8Array;
  fromType: 'f32' | 'f16' | 'bf16' | 'f8_e4m3';
  /** Of f8_e4m3. */
  scales?: NativeScales;
  /** Filled with whole blocks. */
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
  /** Spelled in the byte alphabet, in UTF-8, one after another; `nameEnds`: where each ends. */
  names: Uint8Array;
  nameEnds: Uint32Array;
  /** One for each name; {@link unusedName} for one that is no token. */
  ids: Uint32Array;
  /** Two texts a merge or, with `hasJoinedMerges`, one with a space in it. */
  merges: Uint8Array;
  mergeEnds: Uint32Array;
  hasJoinedMerges: boolean;
  added: readonly { content: string; id: number; isSpecial: boolean; isNormalized: boolean; isNamed: boolean }[];
  normalForm: 'none' | 'nfc' | 'nfkc';
  split: 'none' | 'gpt2' | 'exaone-moe';
}

export const unusedName = 0xffffffff;

/** EncodeRequest of native/text/encoder.h. */
export interface NativeEncodeRequest {
  text: string;
  /** Three numbers a span: start, end (UTF-16), and 0 for all, 1 for markers, 2 for none. */
  spans: Uint32Array;
  /** More ids are an error, KEXA_CONTEXT_FULL. */
  mostIds?: number;
  /** For tests: MergerLimits of native/text/merger.h. */
  limits?: { heapFrom: number; listsFrom: number; hasCache: boolean };
}

/** A vocabulary of its own, and what encodes with it. */
export interface NativeTokenizer {
  /**
   * Builds it on another thread; to be called once, before all else. Token i is bytes[starts[i]] up to starts[i + 1];
   * `spellings`: 0 for an id that no token has, 1 for a token spelled in the byte alphabet, 2 for one spelled as it is.
   * Rejects with an Error that has a `code`.
   */
  load(): Promise<{ bytes: Uint8Array; starts: Uint32Array; spellings: Uint8Array }>;
  /** -1 if no token is spelled so. */
  idOf(name: string): number;
  /** Throws an Error that has a `code`. */
  encode(request: NativeEncodeRequest): Uint32Array;
  /** The same on another thread; null if it was cancelled before it had ended. */
  start(request: NativeEncodeRequest): { result: Promise<Uint32Array | null>; cancel(): void };
}

interface NativeModule {
  Tokenizer: new (source: NativeVocabularySource) => NativeTokenizer;
  Engine: new (description: ModelDescription, options: NativePlanOptions) => NativeEngine;
  /** Throws an Error with a `code` if devices cannot share the model so. */
  plan(description: ModelDescription, options: NativePlanOptions): NativePlan;
  /** On threads of its own; both arrays must be left alone meanwhile. Rejects with an Error that has a `code`. */
  quantize(request: NativeQuantize): Promise<void>;
  /**
   * Whether nobody else held the lock of an open file. It is then held until the descriptor is closed or the process
   * ends. Does not wait.
   */
  lockFile(descriptor: number): boolean;
  /** Stops every engine of the process, which is about to exit with this code. Waits for their threads. */
  stopEngines(exitCode: number): void;
  /** On a thread of its own. Rejects with an Error that has a `code`. */
  rates(options: NativePlanOptions): Promise<DeviceRates>;
  /** The CPU device's instruction sets, the best one last. Throws an Error with a `code` if KEXA_CPU names another. */
  instructionSets(): { used: string; available: string[] };
  /** Why there can be no GPU here, or an empty text. Quick, unlike asking Dawn. */
  vulkanProblem(): string;
  /** Whether Dawn is part of the addon, and no library is opened. */
  hasLinkedDawn: boolean;
  /** Best first. Rejects if Dawn cannot be loaded. */
  adapters(dawnLibrary: string): Promise<NativeAdapter[]>;
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

/** Where the addon was loaded from. Throws as {@link native} does. */
export function nativePath(): string {
  return loadNative().path;
}

function loadNative(): { module: NativeModule; path: string } {
  if (loaded !== undefined) return loaded;
  const require = packageRequire();
  const named = process.env.KEXA_BINARY;
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
    const { code, message } = cause as Error & { code?: KexaErrorCode };
    throw code === undefined ? cause : new KexaError(code, message, { cause });
  }
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
