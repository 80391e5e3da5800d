/** Warns of weights that are read in place from their files and do not fit into main memory. */
import { totalmem } from 'node:os';
import type { ModelDescription } from '../description.js';
import { blockBytes } from '../files/gguf/gguf-types.js';
import { elementsOf, wantedTensors } from '../files/wanted-tensors.js';
import { sizeText } from '../options.js';
import type { MemoryReport, RecipeName } from '../types.js';
import { chooseType, recipes } from './recipes.js';

/** The main memory of this machine, or of the process's container (bytes). */
export function mainMemory(): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/**
 * A warning for weights that do not fit into `memory` bytes beside the rest of the plan: how slow reading in place is
 * then, and which recipe of `kexa quantize` would fit. Null if the weights fit.
 */
export function slowMemory(
  description: ModelDescription,
  { total, weights }: Pick<MemoryReport, 'total' | 'weights'>,
  memory: number,
): string | null {
  if (weights.mapped === 0 || total <= memory) return null;
  const rest = total - weights.total;
  const sizes = (Object.keys(recipes) as RecipeName[]).map((name) => ({ name, bytes: recipeBytes(description, name) }));
  const fitting = sizes.find(({ bytes }) => bytes + rest <= memory);
  const smallest = sizes.reduce((least, size) => (size.bytes < least.bytes ? size : least));
  const advice =
    fitting !== undefined
      ? `in the recipe ${fitting.name} (kexa quantize IN OUT --recipe ${fitting.name}) they would take ${sizeText(fitting.bytes)}, and fit`
      : `even in the smallest recipe, ${smallest.name}, they would take ${sizeText(smallest.bytes)}`;
  return (
    `the weights take ${sizeText(weights.total)}, and main memory has ${sizeText(memory)}: most of what a token needs is ` +
    `read from disk each time, which is very slow; ${advice}`
  );
}

/** Bytes that the weights take in a recipe's types. */
function recipeBytes(description: ModelDescription, name: RecipeName): number {
  let bytes = 0;
  for (const tensor of wantedTensors(description)) {
    const { type } = chooseType(recipes[name], tensor.part, tensor.name, tensor.shape);
    bytes += blockBytes(type, elementsOf(tensor.shape));
  }
  return bytes;
}
