/** Plans the memory that loading takes, and refuses a plan that does not fit. */
import { availableParallelism, freemem } from 'node:os';
import type { ModelDescription, StoredShape, TensorEntry } from '../description.js';
import { isOnProcessor } from '../device/devices.js';
import { variable } from '../environment.js';
import { KexaError } from '../errors.js';
import { knownFamily } from '../files/family/families.js';
import { sourcesOf } from '../files/family/tensor-sources.js';
import { type Fp8Strategy, scalesOf } from '../files/fp8.js';
import { blockBytes } from '../files/gguf/gguf-types.js';
import { repackedType } from '../files/quantized/layouts.js';
import { plannedFormat } from '../files/quantized/scheme.js';
import { elementsOf, wantedTensors } from '../files/wanted-tensors.js';
import { limits } from '../limits.js';
import { type NativePlan, type NativePlanOptions, native } from '../native.js';
import { integerOption, sizeText } from '../options.js';
import type { DeviceInfo, LoadOptions, MemoryReport, WeightType } from '../types.js';
import { type ExpertOptions, withExpertSlots } from './experts.js';
import { memoryReport, plannedParts } from './layer-split.js';
import { checkLoadChoice, checkLoadInteger } from './load-options.js';
import { isRecipe, storedCacheTypes } from './option-values.js';
import { contextAdvice, largestFitting, planned } from './planned.js';
import { chooseType, recipes } from './recipes.js';

/** The types that weights, cache and activations are stored in, and the rows of a prompt's step. */
type TypeChoices = Pick<LoadOptions, 'prefillChunk' | 'cacheType' | 'weights' | 'activations'>;

/** Checks the options a plan depends on and fills in their defaults. @throws KexaError KEXA_INVALID_ARGUMENT */
export function checkPlanOptions(
  options: Pick<
    LoadOptions,
    | 'contextSize'
    | 'slots'
    | 'cacheTokens'
    | 'parkBytes'
    | 'maxStepMs'
    | 'threads'
    | 'gpuKernels'
    | 'gpuElements'
    | 'prefixCacheBytes'
  > &
    TypeChoices,
  maxPositions: number,
): NativePlanOptions {
  const contextSize = integerOption(
    'contextSize',
    options.contextSize,
    1,
    maxPositions,
    Math.min(maxPositions, limits.defaultContext),
  );
  const cacheType = checkLoadChoice('cacheType', options.cacheType);
  const weights = checkLoadChoice('weights', options.weights);
  return {
    contextSize,
    slots: checkLoadInteger('slots', options.slots, limits.slots),
    cacheTokens: cacheTokensOf(options.cacheTokens, contextSize),
    // A chunk longer than the context would only make buffers larger.
    prefillChunk: Math.min(contextSize, checkLoadInteger('prefillChunk', options.prefillChunk, limits.defaultChunk)),
    maxStepMs: checkLoadInteger('maxStepMs', options.maxStepMs, limits.defaultStepMs),
    parkBytes: checkLoadInteger('parkBytes', options.parkBytes, Math.floor(freemem() / 4)),
    threads: checkLoadInteger('threads', options.threads, availableParallelism()),
    pinsThreads: variable('KEXA_PIN') !== '0',
    prefixCacheBytes: checkLoadInteger('prefixCacheBytes', options.prefixCacheBytes, -1),
    keepsTurnsOnly: options.prefixCacheBytes === undefined,
    cacheType: storedCacheTypes[cacheType],
    activations: checkLoadChoice('activations', options.activations),
    weights: isRecipe(weights) ? 'auto' : weights,
    adapter: '',
    dawnLibrary: '',
    vulkanLibrary: '',
    dawnIdentity: '',
    blobFolder: '',
    keepsDevice: variable('KEXA_KEEP_DEVICES') !== undefined,
    isChecked: false,
    gpuBufferBytes: gpuBufferBytes(),
    gpuKernels: checkLoadChoice('gpuKernels', options.gpuKernels),
    gpuElements: checkLoadChoice('gpuElements', options.gpuElements),
    plainOps: [],
    expertSlots: -1,
    expertMisses: 'copy',
    expertHeat: new Float32Array(),
    parts: [],
    cacheStartRows: limits.cacheStartRows,
  };
}

/** 0 if the caller does not say. The cache holds at least one whole sequence. */
function cacheTokensOf(value: unknown, contextSize: number): number {
  const tokens = checkLoadInteger('cacheTokens', value, 0);
  if (tokens === 0 || tokens >= contextSize) return tokens;
  throw new KexaError(
    'KEXA_INVALID_ARGUMENT',
    `cacheTokens: wanted at least contextSize, ${contextSize} tokens, found ${tokens}`,
  );
}

function gpuBufferBytes(): number {
  const text = variable('KEXA_GPU_BUFFER_BYTES');
  if (text === undefined) return 0;
  const bytes = Number(text);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new KexaError('KEXA_INVALID_ARGUMENT', `KEXA_GPU_BUFFER_BYTES: wanted a positive whole number, found ${text}`);
}

/** The options of {@link planMemory}. All GPUs are planned alike. Several devices share the model. */
export type PlannedOptions = Pick<LoadOptions, 'contextSize' | 'slots' | 'cacheTokens' | 'threads' | 'layerSplit'> &
  TypeChoices &
  ExpertOptions & { device?: 'cpu' | 'gpu' | readonly ('cpu' | 'gpu')[] };

/**
 * The share of a card's memory, and of main memory, that is planned with. The rest is for drivers, fragments and other
 * programs.
 */
export const usableShare: Readonly<Record<'gpu' | 'cpu', number>> = { gpu: 0.98, cpu: 0.95 };

/** The part of a device's memory that is planned with (bytes). */
export function usableBytes(kind: 'gpu' | 'cpu', bytes: number): number {
  return Math.floor(bytes * usableShare[kind]);
}

/**
 * The longest context (tokens) with which each device has room for its part. The other options are `options`. 0 if none
 * fits.
 *
 * @param bytes memory of each device, of which {@link usableBytes} are planned with
 * @throws KexaError KEXA_INVALID_ARGUMENT
 */
export function longestContext(planner: MemoryPlanner, options: PlannedOptions, bytes: number): number {
  const most = Math.min(planner.description.maxPositions, options.cacheTokens ?? Number.POSITIVE_INFINITY);
  const fits = (contextSize: number) => fitsInto(planner.plan({ ...options, contextSize }), bytes, options.device);
  // Most devices have room for all of it or for nothing.
  if (fits(most)) return most;
  return fits(1) ? largestFitting(most, fits) : 0;
}

/** Whether each device has room if it has `bytes` of memory, of which {@link usableBytes} are planned with. */
export function fitsInto(
  { total, devices }: MemoryReport,
  bytes: number,
  device: PlannedOptions['device'] = 'cpu',
): boolean {
  const kinds = typeof device === 'string' ? [device] : device;
  return (devices ?? [{ total }]).every((part, i) => part.total <= usableBytes(kinds[i]!, bytes));
}

/**
 * The memory that a model would take, at any context and on any devices. A description without tensors (a config alone)
 * is counted as stored in bf16, or as the config says, or in the type that `weights` asks for.
 *
 * @example
 * const planner = new MemoryPlanner(shape, 'q4');
 * planner.plan({ device: 'gpu', contextSize: 4096 }).total; // bytes
 */
export class MemoryPlanner {
  readonly description: ModelDescription;
  readonly #weights: WeightType | undefined;
  /** Whether the model has files, which can be read in place. */
  readonly #hasFiles: boolean;

  constructor(description: ModelDescription | StoredShape, weights?: WeightType) {
    this.#weights = weights;
    this.#hasFiles = 'tensors' in description;
    this.description = mergeExperts(heldAs(withTensors(description), weights));
  }

  /** @throws KexaError KEXA_INVALID_ARGUMENT */
  plan({ device = 'cpu', layerSplit, ...options }: Omit<PlannedOptions, 'weights'> = {}): MemoryReport {
    const { description } = this;
    const weights = this.#weights === undefined ? {} : { weights: this.#weights };
    const planOptions = checkPlanOptions({ ...options, ...weights }, description.maxPositions);
    const kinds = typeof device === 'string' ? [device] : device;
    const parts = plannedParts(kinds, layerSplit, description.layers.length);
    const isShared = parts.length > 1;
    const onThem = { ...planOptions, adapter: isShared ? '' : parts[0]!.adapter, parts: isShared ? parts : [] };
    const plan = planned(description, withExpertSlots(description, onThem, options));
    if (this.#hasFiles) return memoryReport(plan, kinds);
    const unmapped = <Memory extends Pick<MemoryReport, 'weights'>>(memory: Memory) => ({
      ...memory,
      weights: { ...memory.weights, mapped: 0 },
    });
    return memoryReport({ ...unmapped(plan), parts: plan.parts.map(unmapped) }, kinds);
  }
}

/**
 * The memory that a model would take. {@link MemoryPlanner} tells how it is counted.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT
 */
export function planMemory(
  description: ModelDescription | StoredShape,
  { weights, ...options }: PlannedOptions = {},
): MemoryReport {
  return new MemoryPlanner(description, weights).plan(options);
}

/**
 * The description with the routed experts' matrices of one name in a layer as one matrix. For a plan only their bytes
 * count, and a model has tens of thousands of them.
 */
function mergeExperts(description: ModelDescription): ModelDescription {
  const merged = new Map<string, TensorEntry>();
  for (const tensor of description.tensors) {
    const expert = /^(.*\.experts\.)\d+(\..*)$/.exec(tensor.name);
    const { name, type, held, scales } = tensor;
    // Scales are counted by blocks of rows. A block must not lie across two experts.
    const isWhole = scales === undefined || (scales.skippedRows === 0 && tensor.shape[0]! % scales.blockRows === 0);
    // Experts of a layer may be stored in different types.
    const key = expert === null || !isWhole ? name : `${expert[1]}${type}.${held}${expert[2]}`;
    const first = merged.get(key);
    if (first === undefined) merged.set(key, tensor);
    else {
      const [rows, ...others] = first.shape as [number, ...number[]];
      merged.set(key, { ...first, bytes: first.bytes + tensor.bytes, shape: [rows + tensor.shape[0]!, ...others] });
    }
  }
  return { ...description, tensors: [...merged.values()] };
}

/** The description for a recipe as `weights`: each tensor with the type that it is to be held as. */
export function heldAs(description: ModelDescription, weights: WeightType | undefined): ModelDescription {
  if (!isRecipe(weights)) return description;
  const parts = new Map(Array.from(wantedTensors(description), ({ name, part }) => [name, part]));
  const tensors = description.tensors.map((tensor) => {
    const { type } = chooseType(recipes[weights], parts.get(tensor.name)!, tensor.name, tensor.shape);
    // The router, norms and the correction bias stay as they are.
    return type === 'f32' ? tensor : { ...tensor, held: type };
  });
  return { ...description, tensors };
}

function withTensors(description: ModelDescription | StoredShape): ModelDescription {
  if ('tensors' in description) return description;
  const { quantization, modelType, ...shape } = description;
  const { folder } = knownFamily(modelType);
  const tensors = Array.from(wantedTensors(shape), (tensor): TensorEntry => {
    const source = sourcesOf(folder, tensor, shape)[0]!;
    const entry = { name: tensor.name, file: 0, offset: 0, bytes: elementsOf(tensor.shape), shape: tensor.shape };
    const format = quantization && plannedFormat(quantization, tensor, source);
    if (format === null) return { ...entry, bytes: 2 * entry.bytes, type: 'bf16' };
    if (format.name !== 'fp8') {
      const type = repackedType(format, tensor.shape[1]!, !format.isReordered);
      return { ...entry, bytes: blockBytes(type, entry.bytes), type };
    }
    const scales = scalesOf(format.strategy as Fp8Strategy, source, { name: '', file: 0, offset: 0, type: 'f32' });
    return { ...entry, type: 'f8_e4m3', scales };
  });
  return { ...shape, files: [], tensors };
}

/** The memory that this process may still take (bytes). */
export function availableMemory(): number {
  // Counts the limits of containers. Node has it from 20.13 and 22 on.
  return process.availableMemory?.() ?? freemem();
}

/**
 * The options with the default memory for kept turns, if the caller gave none: at most an eighth of the free memory,
 * and no more than the rest of the model leaves. So kept turns never keep a model from being loaded.
 */
export function withKeptTurns(
  description: ModelDescription,
  options: NativePlanOptions,
  free: number = availableMemory(),
): NativePlanOptions {
  if (options.prefixCacheBytes >= 0) return options;
  const { prefixCache, total, weights } = planned(description, options);
  const isHost = options.adapter === '' && options.parts.length === 0;
  const left = isHost ? free - (total - prefixCache - weights.mapped) : free;
  return { ...options, prefixCacheBytes: Math.max(0, Math.floor(Math.min(prefixCache, free / 8, left))) };
}

/**
 * Throws KEXA_OUT_OF_MEMORY, with the longest context that would fit, if the plan does not fit the machine. Weights
 * read in place do not count: the system drops and rereads them as it must.
 */
export function checkFits(description: ModelDescription, options: NativePlanOptions, plan: MemoryReport): void {
  const wanted = plan.total - plan.weights.mapped;
  const found = availableMemory();
  if (wanted <= found) return;
  const advice = contextAdvice(description, options, ({ total, weights }) => total - weights.mapped <= found);
  throw new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `memory: wanted ${sizeText(wanted)} beside the mapped weights (KV cache ${sizeText(plan.cache.total)}, kept prefixes ${sizeText(plan.prefixCache)}, buffers ${sizeText(plan.scratch)}, ` +
      `weights stored anew ${sizeText(plan.weights.total - plan.weights.mapped)}), found ${sizeText(found)} free; ${advice}`,
  );
}

/**
 * {@link checkFits} for devices that share a model: each GPU whose memory is known has room for its own part, and main
 * memory for those of the CPU and of software GPUs together.
 */
export function checkSharedFits(
  description: ModelDescription,
  options: NativePlanOptions,
  plan: NativePlan,
  devices: readonly DeviceInfo[],
): void {
  const free = availableMemory();
  /** The first place that is too small: the bytes wanted there, and the bytes there are. */
  const lacking = ({ parts }: NativePlan) => {
    const inHost = parts.filter((_, i) => isOnProcessor(devices[i]!));
    const host = inHost.reduce((sum, { total, weights }) => sum + total - weights.mapped, 0);
    const own = parts.map(({ total, firstLayer, layers }, i) => ({
      what: `layers ${firstLayer} to ${firstLayer + layers - 1} on ${devices[i]!.name}`,
      wanted: total,
      found: devices[i]!.memoryBytes ?? Number.POSITIVE_INFINITY,
    }));
    const shared = { what: 'parts in main memory, beside the mapped weights', wanted: host, found: free };
    return [...own, shared].find(({ wanted, found }) => wanted > found);
  };
  const first = lacking(plan);
  if (first === undefined) return;
  const fits = (other: NativePlan) => lacking(other) === undefined;
  const even = { ...options, parts: options.parts.map((part) => ({ ...part, layers: 0 })) };
  const others = native().plan(description, even);
  const advice = fits(others)
    ? `layerSplit [${others.parts.map(({ layers }) => layers).join(', ')}] would fit`
    : contextAdvice(description, options, fits);
  throw new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `memory: ${first.what}: wanted ${sizeText(first.wanted)}, found ${sizeText(first.found)}; ${advice}`,
  );
}
