/** Which recipe of a model fits which machine, and about how fast it would be there: told before there is either. */
import { partsOf, tokenTraffic } from './bench/traffic.js';
import type { ModelDescription } from './description.js';
import type { ModelShape } from './files/config.js';
import { blockBytes } from './files/gguf-types.js';
import { elementsOf, wantedTensors } from './files/wanted-tensors.js';
import { checkPlanOptions } from './memory-plan.js';
import { native } from './native.js';
import { largestFitting } from './planned.js';
import { chooseType, type RecipeName, recipes } from './quantize/recipes.js';
import type { CacheType, LoadOptions, MemoryReport } from './types.js';

/** Cards of a kind, or the main memory of a machine without. */
export interface Machine {
  name: string;
  kind: 'gpu' | 'cpu';
  cards: number;
  /** Of each card. */
  bytes: number;
  /** Bytes a second that one card reads. */
  bandwidth: number;
}

const gib = 2 ** 30;
const cards = (count: number, size: number, bandwidth: number): Machine => ({
  name: `${count} x ${size} GB`,
  kind: 'gpu',
  cards: count,
  bytes: size * gib,
  bandwidth,
});
const host = (size: number, bandwidth: number): Machine => ({
  name: `CPU, ${size} GB`,
  kind: 'cpu',
  cards: 1,
  bytes: size * gib,
  bandwidth,
});

/** 24 GB as of an RTX 4090, 80 GB as of an A100; two channels of DDR5 and, from 256 GB on, eight. */
export const machines: readonly Machine[] = [
  cards(1, 24, 1.0e12),
  ...[1, 2, 4, 8].map((count) => cards(count, 80, 2.0e12)),
  host(64, 0.08e12),
  host(128, 0.08e12),
  host(256, 0.3e12),
  host(512, 0.3e12),
];

/** Of a card or of main memory, what is planned with; the rest is for drivers, fragments and other programs. */
export const usableShare = 0.95;
/** Of the bandwidth, what decoding is taken to reach. */
export const reachedShare = 0.6;
/** Where in a context the estimate is made, with a cache of f16. */
export const estimateAt = 4096;

export const verdictRecipes: readonly ['bf16', 'q8', 'q4', 'q2'] = ['bf16', 'q8', 'q4', 'q2'];
export const verdictCaches: readonly ['f16', 'q8', 'q4'] = ['f16', 'q8', 'q4'];

/** What becomes of one recipe on one machine. */
export interface Verdict {
  machine: Machine;
  recipe: (typeof verdictRecipes)[number];
  weightBytes: number;
  /** Layers of each card, `[first, last]`, with the longest f16 context; null for a card that is left empty. None if nothing fits. */
  layers: ([number, number] | null)[];
  /** The longest context by type of cache; 0 where none fits. */
  longestContext: Record<(typeof verdictCaches)[number], number>;
  /** An estimate: {@link reachedShare} of the bandwidth over the bytes that a token reads at {@link estimateAt}. Null where nothing fits. */
  tokensPerSecond: number | null;
}

/**
 * Each recipe on each machine. Cards take whole layers, one after the other, and a card's working buffers each; several
 * share the model when it is loaded with these counts as `layerSplit`.
 */
export function planVerdicts(
  shape: ModelDescription | ModelShape,
  options: Pick<LoadOptions, 'prefillChunk'>,
): Verdict[] {
  return verdictRecipes.flatMap((recipe) => {
    const description = storedAs(shape, recipe);
    const position = Math.min(estimateAt, shape.maxPositions) - 1;
    const traffic = tokenTraffic(
      description,
      partsOf(description, ({ bytes }) => bytes),
      position,
      2,
    ).total;
    const weights = { cpu: weightsOf(description, 'cpu'), gpu: weightsOf(description, 'gpu') };
    // Where the last card is not the first, its MTP block and a tied head want an embedding there, too.
    const shared = weights.gpu.slice();
    if (description.mtp !== null || description.tiedHead)
      shared[shared.length - 1]! += description.tensors.find(({ name }) => name === 'embed')!.bytes;
    // What is left to plan takes no look at tensors, of which there are thousands.
    const bare = { ...description, tensors: [] };
    return machines.map((machine): Verdict => {
      const byLayer = machine.cards > 1 ? shared : weights[machine.kind];
      const longest = (cacheType: CacheType) => longestContext(bare, byLayer, machine, { ...options, cacheType });
      const longestContexts = { f16: longest('f16'), q8: longest('q8'), q4: longest('q4') };
      const cacheType = verdictCaches.find((type) => longestContexts[type] > 0);
      const placed =
        cacheType &&
        placeLayers(bare, byLayer, machine, { ...options, cacheType, contextSize: longestContexts[cacheType] });
      return {
        machine,
        recipe,
        weightBytes: weights[machine.kind].reduce((sum, bytes) => sum + bytes, 0),
        layers: placed ?? [],
        longestContext: longestContexts,
        tokensPerSecond: placed ? (reachedShare * machine.bandwidth) / traffic : null,
      };
    });
  });
}

/** The model as `kexa quantize` would store it. */
function storedAs(shape: ModelDescription | ModelShape, recipe: 'bf16' | RecipeName): ModelDescription {
  const tensors = Array.from(wantedTensors(shape), ({ name, part, shape: size }) => {
    const type = recipe === 'bf16' ? ('bf16' as const) : chooseType(recipes[recipe], part, name, size).type;
    return { name, file: 0, offset: 0, bytes: blockBytes(type, elementsOf(size)), type, shape: size };
  });
  return { ...shape, files: [], tensors };
}

type VerdictOptions = Pick<LoadOptions, 'contextSize' | 'prefillChunk' | 'cacheType'>;

function planOf(description: ModelDescription, kind: Machine['kind'], options: VerdictOptions): MemoryReport {
  const plan = checkPlanOptions(options, description.maxPositions);
  return native().plan(description, { ...plan, adapter: kind === 'gpu' ? 'gpu' : '' });
}

/** Bytes of each layer's weights on a device: the first has the embedding too, the last the head and the MTP block. */
function weightsOf(description: ModelDescription, kind: Machine['kind']): number[] {
  const last = description.layers.length - 1;
  const byLayer = new Array<number>(last + 1).fill(0);
  for (const { name, bytes } of description.tensors) {
    const layer = /^layers\.(\d+)\./.exec(name)?.[1] ?? (name === 'embed' ? 0 : last);
    byLayer[Number(layer)]! += bytes;
  }
  // A device may fill rows up.
  const stored = byLayer.reduce((sum, bytes) => sum + bytes, 0);
  const factor = planOf(description, kind, { contextSize: 1 }).weights.total / stored;
  return byLayer.map((bytes) => bytes * factor);
}

function longestContext(description: ModelDescription, weights: number[], machine: Machine, options: VerdictOptions) {
  const fits = (contextSize: number) =>
    placeLayers(description, weights, machine, { ...options, contextSize }) !== null;
  return largestFitting(description.maxPositions, fits);
}

/** Each card's layers, filled one card after the other, or null if they do not fit. */
function placeLayers(
  description: ModelDescription,
  weights: number[],
  { kind, cards: count, bytes }: Machine,
  options: VerdictOptions,
): ([number, number] | null)[] | null {
  const { layers } = description;
  const { cache, scratch } = planOf(description, kind, options);
  const global = layers.filter(({ window }) => window === 0).length;
  const sizes = layers.map(({ window }, i) => {
    const rows = window === 0 ? cache.global / global : cache.sliding / (layers.length - global);
    return weights[i]! + rows + (i === layers.length - 1 ? cache.mtp : 0);
  });
  const room = bytes * usableShare - scratch;
  const placed: ([number, number] | null)[] = [];
  let next = 0;
  for (let card = 0; card < count; card++) {
    const first = next;
    for (let used = 0; next < sizes.length && used + sizes[next]! <= room; next++) used += sizes[next]!;
    placed.push(next > first ? [first, next - 1] : null);
  }
  return next === sizes.length ? placed : null;
}
