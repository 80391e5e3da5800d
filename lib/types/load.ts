/** The options of `loadModel`. */
import type { KexaWarning } from '../warnings.js';

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
 * `q2` are the recipes of `kexa quantize`, made when the model is loaded: on the CPU in memory, for a GPU on the way
 * there.
 *
 * @example
 * const model = await loadModel('models/tiny', { weights: 'q4' });
 */
export type WeightType = 'auto' | 'bf16' | 'f16' | 'f32' | RecipeName;

/**
 * The activations that block-quantised weights are multiplied by: `f32`, or `i16` (integers of 16 bits with one scale for
 * each 256 of a row, on a GPU for each 32), which is faster.
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
 * How the GPU's kernels are written: with workgroup memory alone (`plain`), with subgroups, or with subgroup matrices
 * for prompts. `auto` is `subgroups` where the GPU has them, or what tuning found faster.
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
 * - `auto`: whichever took less time when the model was loaded; an expert that has become one of the most wanted is
 *   copied. Earlier answers then decide where an expert is computed, and so an answer's last bits.
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
   * The device: `auto` (a real GPU if kexa can use one, else the CPU), `cpu`, `gpu`, or part of an adapter's name.
   * `gpu:1` is the second GPU, and `NAME:1` the second adapter whose name contains NAME. An array, such as `['gpu:0',
   * 'gpu:1']`, shares the model's layers among devices, the first layers on the first device. The answer is the same.
   * Default `auto`.
   */
  device?: string | readonly string[];
  /**
   * The share of the layers that each of several devices takes: `[3, 1]` is three quarters and a quarter. Numbers that
   * add up to the number of layers are counts. Default: the same fraction of each device's memory, or the same number
   * of bytes on each if the size of one's memory is not known.
   */
  layerSplit?: readonly number[];
  /** Most tokens a sequence may hold, prompt and answer together. Default: the model's limit, at most 32,768. */
  contextSize?: number;
  /**
   * The number of sequences whose caches exist at the same time, 1 to 256. One more takes the place of the one unused for
   * longest. Each costs a ring in every sliding layer: `memory.cache.sliding` is of all. Default 4.
   */
  slots?: number;
  /**
   * Tokens that all sequences together may have in the global layers' cache, at least `contextSize`. Default:
   * `contextSize`.
   *
   * @example
   * const model = await loadModel('models/tiny', { contextSize: 4096, slots: 16, cacheTokens: 32768 });
   */
  cacheTokens?: number;
  /**
   * Main memory (bytes) for sequences that have to give up their place in the cache for a while. Their rows wait there and
   * come back with the same bits. Where it is full, rows are computed again, with the same answer. Default: a quarter of
   * the free memory.
   */
  parkBytes?: number;
  /**
   * Milliseconds that the rows of prompts may add to the time between two tokens of running answers, 1 to 60000. A step
   * has at least 16 rows of a prompt all the same. Default 50.
   */
  maxStepMs?: number;
  weights?: WeightType;
  cacheType?: CacheType;
  /**
   * Main memory for kept prefixes (bytes). A prefix is kept when its session has moved on or ended; a session whose
   * prompt begins with it goes on from there. 0 keeps nothing. Default: room for the turns of `slots` conversations, at
   * most an eighth of the free memory. With the default, only the points are kept from which a session's next turn goes
   * on.
   */
  prefixCacheBytes?: number;
  /** Prompt tokens computed together, 1 to 4096. Default 128. */
  prefillChunk?: number;
  /**
   * Whether the GPU interface validates calls and checks bounds. It is slower, for tests and bug reports. Default
   * false.
   */
  gpuChecks?: boolean;
  /**
   * How the GPU's kernels are written. Other values than `auto` are for measuring, and for drivers that err. `matrices`
   * (tensor cores, in f16) has not run on hardware yet. Default `auto`.
   */
  gpuKernels?: GpuKernels;
  /**
   * Type of the activations that pass between the GPU's kernels; sums, residual stream and logits are f32. Default f32.
   */
  gpuElements?: 'f32' | 'f16';
  /**
   * The activations that block-quantised weights are multiplied by. docs/quality.md tells what `i16` costs. A GPU takes
   * `i16` for answers and weights in q8_0, q4_k and iq2_xxs; all else it computes in `f32`. Default `f32`.
   */
  activations?: ActivationType;
  /** CPU threads. Default: the cores this process may use. */
  threads?: number;
  /**
   * The number of routed experts of each layer that the GPU holds. The others stay in main memory, or in their files if
   * those have the type that is wanted. Default: all, or as many as `gpuMemory` has room for.
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
   * A file that keeps how often each expert was chosen. If the file exists, the slots begin with the most wanted
   * experts. `close()` writes the file; loading fails if it cannot be written. It has no effect if all experts are on
   * the GPU.
   */
  expertProfile?: string;
  /** Is called while the model loads. */
  onProgress?: (progress: Progress) => void;
  /**
   * Is called with what a caller should know although nothing failed, such as weights without the drafting block.
   * Default: Node's `process.emitWarning`, with the code.
   */
  onWarning?: (warning: KexaWarning) => void;
  /** Stops loading, which then rejects with the signal's reason. */
  signal?: AbortSignal;
}
