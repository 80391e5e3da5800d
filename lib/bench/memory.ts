/** Plans the memory of a model at growing contexts. */
import type { ModelDescription, StoredShape } from '../description.js';
import { chooseDevices } from '../device/devices.js';
import { openModelFolder } from '../files/model-folder.js';
import { type PlannedOptions, planMemory } from '../plan/memory-plan.js';
import type { LoadOptions } from '../types.js';

/** The memory at one context, for one sequence (bytes). */
export interface ContextMemory {
  context: number;
  weights: number;
  scratch: number;
  /** The KV cache as planned, with rings for sliding layers. */
  cache: number;
  /** The KV cache if every layer saw the whole context. */
  globalCache: number;
}

/** Plans contexts from 1,024 tokens, doubling, to the model's limit. */
export async function memoryOverContext(path: string, options: LoadOptions): Promise<ContextMemory[]> {
  const { description } = await openModelFolder(path);
  const kinds = (await chooseDevices(options.device)).map(({ info }) => info.kind);
  return planContexts(description, { ...options, device: kinds });
}

/** Plans the contexts for a description, or for a config alone. */
export function planContexts(
  description: ModelDescription | StoredShape,
  // A limit of memory would refuse the longer contexts.
  { gpuMemory: _, ...options }: PlannedOptions,
): ContextMemory[] {
  const everywhere = {
    ...description,
    layers: description.layers.map((layer) => ({ ...layer, window: 0 })),
    mtp: description.mtp === null ? null : { ...description.mtp, window: 0 },
  };
  const contexts: number[] = [];
  for (let context = 1024; context < description.maxPositions; context *= 2) contexts.push(context);
  return [...contexts, description.maxPositions].map((context) => {
    const plan = planMemory(description, { ...options, contextSize: context });
    const other = planMemory(everywhere, { ...options, contextSize: context });
    return {
      context,
      weights: plan.weights.total,
      scratch: plan.scratch,
      cache: plan.cache.total,
      globalCache: other.cache.total,
    };
  });
}
