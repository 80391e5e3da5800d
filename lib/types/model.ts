/** Descriptions of a device, of what a loaded model holds, and of its configuration. */
import type { ModelDescription, QuantizationScheme } from '../description.js';
import type { SamplingOptions } from './generate.js';

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
  /**
   * The size of the device's own memory (bytes). Absent for the CPU, for software GPUs, and if the driver does not
   * tell.
   */
  memoryBytes?: number;
}

/**
 * The memory that a loaded model holds (bytes). The figures come from the plan, which is made before anything is
 * allocated.
 *
 * @example
 * const { total, weights, cache } = model.memory;
 * console.log(`${total} bytes, of which ${weights.total} are weights and ${cache.total} are cache`);
 */
export interface MemoryReport {
  /** The weights as the device reads them. `mapped` is the part that is read in place from the file. */
  weights: { total: number; mapped: number };
  /**
   * KV cache at full context: pages of the global layers, rings of the sliding ones (of `slots` sequences), the MTP layer.
   */
  cache: { total: number; global: number; sliding: number; mtp: number; bytesPerToken: number };
  /** Working buffers of one step. */
  scratch: number;
  /**
   * How a GPU's cache grows with the contexts in it. `atLoad` is the part of `cache` that is allocated when the model
   * is loaded. `outgrown` is the part of `scratch` for a buffer that is being replaced by a larger one; 0 if the cache
   * is whole from the start. Null on the CPU, where memory is taken when the cache is first written.
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
  /** The `model_type` of config.json, such as `exaone_moe`, `exaone4`, `exaone4_5` or `exaone`. */
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
  /**
   * How matrices are stored in fewer bits: FP8, int8, int4 or fp4. Null if all are stored in plain types, or in GGUF's.
   */
  readonly quantization: QuantizationScheme | null;
  /** The sampling defaults of generation_config.json, or of the GGUF file. */
  readonly generationDefaults: Readonly<SamplingOptions>;
  /** Why a default of the files could not be taken. Sampling is refused until the caller gives that option. */
  readonly generationFaults: Readonly<Partial<Record<keyof SamplingOptions, string>>>;
}
