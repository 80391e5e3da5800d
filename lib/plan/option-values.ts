/** The values of `loadModel`'s options that are names: one table for the API, the commands and the benchmarks. */
import type { TensorEntry } from '../description.js';
import { storedScales } from '../files/fp8.js';
import { blockBytes, blockTypes } from '../files/gguf/gguf-types.js';
import { elementsOf } from '../files/wanted-tensors.js';
import type { ActivationType, CacheType, ExpertMisses, GpuKernels, RecipeName, WeightType } from '../types.js';
import { recipes } from './recipes.js';

/** The type that the core stores keys and values in, for each value of `cacheType`. */
export const storedCacheTypes: Readonly<Record<CacheType, 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_1'>> = {
  auto: 'f32',
  f32: 'f32',
  f16: 'f16',
  bf16: 'bf16',
  q8: 'q8_0',
  q4: 'q4_1',
};
export const cacheTypes = Object.keys(storedCacheTypes) as readonly CacheType[];

/** Values of `weights` that store every matrix in one type. */
const uniformTypes = ['bf16', 'f16', 'f32'] as const;
export const weightTypes: readonly WeightType[] = [
  'auto',
  ...uniformTypes,
  ...(Object.keys(recipes) as readonly RecipeName[]),
];

export const activationTypes: readonly ActivationType[] = ['f32', 'i16'];
export const gpuKernels: readonly GpuKernels[] = ['auto', 'plain', 'subgroups', 'matrices'];
export const gpuElements: readonly ('f32' | 'f16')[] = ['f32', 'f16'];
export const expertMisses: readonly ExpertMisses[] = ['copy', 'compute', 'auto'];

/** Whether matrices are stored in a recipe's types, which differ by what a matrix is for. */
export function isRecipe(weights: WeightType | undefined): weights is RecipeName {
  return weights !== undefined && Object.hasOwn(recipes, weights);
}

/** The type that every matrix is stored in under `weights`; null for the file's own types and for a recipe's. */
export function uniformType(weights: WeightType): (typeof uniformTypes)[number] | null {
  return uniformTypes.find((type) => type === weights) ?? null;
}

/** Bytes of a tensor as the model holds it under `weights`, FP8 scales included. Vectors stay in the file's type. */
export function heldBytes(tensor: TensorEntry, weights: WeightType): number {
  const { bytes, shape, held } = tensor;
  const type = held ?? (shape.length > 1 ? uniformType(weights) : null);
  return type === null ? bytes + storedScales(tensor).bytes : blockBytes(type, elementsOf(shape));
}

/** Bytes that an element of a key or value takes, what fills a head up to whole blocks shared among its elements. */
export function cacheElementBytes(cacheType: CacheType, headDim: number): number {
  const type = storedCacheTypes[cacheType];
  const { elements } = blockTypes[type];
  return blockBytes(type, Math.ceil(headDim / elements) * elements) / headDim;
}
