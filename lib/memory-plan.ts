/** What loading will take, before it is done. */
import { availableParallelism, freemem } from 'node:os';
import type { ModelDescription, TensorEntry } from './description.js';
import { KexaError } from './errors.js';
import { type ExpertOptions, withExpertSlots } from './experts.js';
import type { StoredShape } from './files/config.js';
import { plannedStrategy, scalesOf } from './files/fp8.js';
import { elementsOf, wantedTensors } from './files/wanted-tensors.js';
import { type NativePlanOptions, native } from './native.js';
import { choiceOption, integerOption, sizeText } from './options.js';
import { chooseType, type RecipeName, recipes } from './quantize/recipes.js';
import type { ActivationType, CacheType, GpuKernels, LoadOptions, MemoryReport, WeightType } from './types.js';

const cacheTypes: readonly CacheType[] = ['auto', 'f32', 'f16', 'bf16', 'q8', 'q4'];
const nativeCacheTypes = {
  auto: 'f32',
  f32: 'f32',
  f16: 'f16',
  bf16: 'bf16',
  q8: 'q8_0',
  q4: 'q4_1',
} as const;
const weightTypes: readonly WeightType[] = ['auto', 'bf16', 'f16', 'f32', 'q8', 'q4', 'q2k', 'q2'];
const gpuKernels: readonly GpuKernels[] = ['auto', 'plain', 'subgroups', 'matrices'];
const activationTypes: readonly ActivationType[] = ['f32', 'i16'];
const defaultContextSize = 32768;

/** Checks the options a plan depends on and fills in their defaults. @throws KexaError KEXA_INVALID_ARGUMENT */
export function checkPlanOptions(
  options: Pick<
    LoadOptions,
    | 'contextSize'
    | 'prefillChunk'
    | 'threads'
    | 'cacheType'
    | 'weights'
    | 'activations'
    | 'gpuKernels'
    | 'gpuElements'
    | 'prefixCacheBytes'
  >,
  maxPositions: number,
): NativePlanOptions {
  const contextSize = integerOption(
    'contextSize',
    options.contextSize,
    1,
    maxPositions,
    Math.min(maxPositions, defaultContextSize),
  );
  const cacheType = choiceOption('cacheType', options.cacheType, cacheTypes);
  const weights = choiceOption('weights', options.weights, weightTypes);
  return {
    contextSize,
    // A chunk longer than the context would only make its buffers larger.
    prefillChunk: Math.min(contextSize, integerOption('prefillChunk', options.prefillChunk, 1, 4096, 128)),
    threads: integerOption('threads', options.threads, 1, 1024, availableParallelism()),
    prefixCacheBytes: integerOption('prefixCacheBytes', options.prefixCacheBytes, 0, Number.MAX_SAFE_INTEGER, 0),
    cacheType: nativeCacheTypes[cacheType],
    activations: choiceOption('activations', options.activations, activationTypes),
    weights: isRecipe(weights) ? 'auto' : weights,
    adapter: '',
    dawnLibrary: '',
    dawnIdentity: '',
    blobFolder: '',
    isChecked: false,
    gpuKernels: choiceOption('gpuKernels', options.gpuKernels, gpuKernels),
    gpuElements: choiceOption('gpuElements', options.gpuElements, ['f32', 'f16']),
    plainOps: [],
    expertSlots: -1,
    expertMisses: 'copy',
    expertHeat: new Float32Array(),
  };
}

/** Only the CPU device rounds activations. @throws KexaError KEXA_UNSUPPORTED */
export function refuseActivations(activations: ActivationType, device: string): void {
  if (activations === 'f32') return;
  throw new KexaError(
    'KEXA_UNSUPPORTED',
    `activations: wanted f32 on a GPU (others are the CPU device's), found ${activations} with device ${device}`,
  );
}

/** What {@link planMemory} plans with; every GPU is planned alike. */
export type PlannedOptions = Pick<
  LoadOptions,
  'contextSize' | 'prefillChunk' | 'threads' | 'cacheType' | 'weights' | 'activations'
> &
  ExpertOptions & { device?: 'cpu' | 'gpu' };

/**
 * The longest context, in tokens, whose plan takes at most `bytes`, with all else as in `options`; 0 if none does.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT
 */
export function longestContext(
  description: ModelDescription | StoredShape,
  options: PlannedOptions,
  bytes: number,
): number {
  const fits = (contextSize: number) => planMemory(description, { ...options, contextSize }).total <= bytes;
  let longest = 0;
  for (let step = 2 ** Math.floor(Math.log2(description.maxPositions)); step >= 1; step /= 2)
    if (longest + step <= description.maxPositions && fits(longest + step)) longest += step;
  return longest;
}

/**
 * The memory a model would take. A description without tensors (a config alone) is counted as stored in bf16, or in
 * FP8 where the config says so, or in the type that `weights` asks for.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT
 */
export function planMemory(
  description: ModelDescription | StoredShape,
  { device = 'cpu', ...options }: PlannedOptions = {},
): MemoryReport {
  const planOptions = checkPlanOptions(options, description.maxPositions);
  if (device === 'gpu') refuseActivations(planOptions.activations, device);
  const held = heldAs(withTensors(description), options.weights);
  const adapter = device === 'gpu' ? 'gpu' : '';
  const plan = native().plan(held, withExpertSlots(held, { ...planOptions, adapter }, options));
  // Without files nothing can be read in place.
  return 'tensors' in description ? plan : { ...plan, weights: { ...plan.weights, mapped: 0 } };
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

function isRecipe(weights: WeightType | undefined): weights is RecipeName {
  return weights !== undefined && Object.hasOwn(recipes, weights);
}

function withTensors(description: ModelDescription | StoredShape): ModelDescription {
  if ('tensors' in description) return description;
  const { fp8, ...shape } = description;
  const tensors = Array.from(wantedTensors(shape), (tensor): TensorEntry => {
    const source = tensor.sources[0]!;
    const entry = { name: tensor.name, file: 0, offset: 0, bytes: elementsOf(tensor.shape), shape: tensor.shape };
    const strategy = fp8 && plannedStrategy(fp8, tensor, source);
    if (strategy === null) return { ...entry, bytes: 2 * entry.bytes, type: 'bf16' };
    const scales = scalesOf(strategy, source, { name: '', file: 0, offset: 0, type: 'f32' });
    return { ...entry, type: 'f8_e4m3', scales };
  });
  return { ...shape, files: [], tensors };
}

/** Memory this process may still take, in bytes. */
export function availableMemory(): number {
  // Knows of container limits, where Node has it (20.13, 22).
  return process.availableMemory?.() ?? freemem();
}

/**
 * Throws KEXA_OUT_OF_MEMORY, with the longest context that would fit, if the plan does not fit the machine. Weights
 * read in place do not count: the system drops and rereads them as it must.
 */
export function checkFits(description: ModelDescription, options: NativePlanOptions, plan: MemoryReport): void {
  const wanted = plan.total - plan.weights.mapped;
  const found = availableMemory();
  if (wanted <= found) return;
  const isFitting = (contextSize: number) => {
    const smaller = native().plan(description, {
      ...options,
      contextSize,
      prefillChunk: Math.min(options.prefillChunk, contextSize),
    });
    return smaller.total - smaller.weights.mapped <= found;
  };
  let fits = 0;
  for (let step = 2 ** Math.floor(Math.log2(options.contextSize)); step >= 1; step /= 2)
    if (fits + step < options.contextSize && isFitting(fits + step)) fits += step;
  const advice = fits > 0 ? `contextSize ${fits} would fit` : 'not even a context of one token would fit';
  throw new KexaError(
    'KEXA_OUT_OF_MEMORY',
    `memory: wanted ${sizeText(wanted)} beside the mapped weights (KV cache ${sizeText(plan.cache.total)}, kept prefixes ${sizeText(plan.prefixCache)}, buffers ${sizeText(plan.scratch)}, ` +
      `weights stored anew ${sizeText(plan.weights.total - plan.weights.mapped)}), found ${sizeText(found)} free; ${advice}`,
  );
}
