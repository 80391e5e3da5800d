/** Tells which weights of a model fit which machine, and about how fast they would be there. Needs neither. */

import type { ModelDescription, QuantizationScheme, StoredShape } from '../description.js';
import { listDevices } from '../device/devices.js';
import { KexaError } from '../errors.js';
import { fp8Format } from '../files/fp8.js';
import { limits } from '../limits.js';
import type { CacheType, LoadOptions, MemoryReport, RecipeName } from '../types.js';
import { longestContext, MemoryPlanner, type PlannedOptions, usableBytes } from './memory-plan.js';
import { cacheElementBytes, heldBytes } from './option-values.js';
import { recipes } from './recipes.js';
import { mainMemory } from './slow-memory.js';
import { partsOf, tokenTraffic } from './traffic.js';

/** Cards of one size, or the main memory of a machine without cards. */
export interface Machine {
  name: string;
  kind: 'gpu' | 'cpu';
  cards: number;
  /** The memory of each card (bytes). A card of 80 GB has 80 GiB. */
  bytes: number;
  /** The bytes that one card reads a second. Null if not known. */
  bandwidth: number | null;
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

/**
 * The machines that a verdict tells of. A bandwidth is that of a common card of the size: RTX 4090, RTX 5090, RTX 6000
 * Ada, A100, RTX PRO 6000, H200 and MI300X. Main memory is two channels of DDR5, from 256 GB on eight.
 */
export const machines: readonly Machine[] = [
  cards(1, 24, 1.0e12),
  cards(1, 32, 1.8e12),
  cards(1, 48, 0.96e12),
  ...[1, 2, 4, 8].map((count) => cards(count, 80, 2.0e12)),
  cards(1, 96, 1.8e12),
  ...[1, 2, 4].map((count) => cards(count, 141, 4.8e12)),
  ...[1, 2].map((count) => cards(count, 192, 5.3e12)),
  host(64, 0.08e12),
  host(128, 0.08e12),
  host(256, 0.3e12),
  host(512, 0.3e12),
];

/** This machine: its GPUs, those of one size together, and its main memory. */
export async function thisMachine(): Promise<Machine[]> {
  const gpus = (await listDevices()).filter(({ kind, isSoftware }) => kind === 'gpu' && !isSoftware);
  const sizes = [...new Set(gpus.flatMap(({ memoryBytes }) => memoryBytes ?? []))];
  return [
    ...sizes.map((bytes): Machine => {
      const count = gpus.filter(({ memoryBytes }) => memoryBytes === bytes).length;
      return { name: `here, ${count} GPU`, kind: 'gpu', cards: count, bytes, bandwidth: null };
    }),
    {
      name: 'here, CPU',
      kind: 'cpu',
      cards: 1,
      bytes: mainMemory(),
      bandwidth: null,
    },
  ];
}

/** The share of the bandwidth that decoding is assumed to reach. */
export const reachedShare = 0.6;
/** The position in a context for which the estimate is made, with a cache of f16 (tokens). */
export const estimateAt = 4096;
/** The context (tokens) that is planned when a card cannot hold all experts. */
export const contextBesideExperts: number = limits.defaultContext;

/** The weights of a verdict: the model's folder in bf16 or FP8, or a recipe of `kexa quantize`. */
export type VerdictWeights = 'bf16' | 'fp8' | RecipeName;
export const verdictWeights: readonly VerdictWeights[] = ['bf16', 'fp8', ...(Object.keys(recipes) as RecipeName[])];
export const verdictCaches: readonly ['f16', 'q8', 'q4'] = ['f16', 'q8', 'q4'];

/** The FP8 scheme of the publishers' folders: matrices are scaled in blocks, the head is not in FP8. */
const commonFp8: QuantizationScheme = {
  groups: [{ targets: ['Linear'], format: fp8Format('block') }],
  ignored: ['lm_head'],
  ignoredBy: 'name',
};

/** The verdict on one kind of weights on one machine. */
export interface Verdict {
  machine: Machine;
  weights: VerdictWeights;
  /** The size of the weights on one device. */
  weightBytes: number;
  /** The layers of each card with the longest f16 context, in the form of `layerSplit`. Empty if nothing fits. */
  layers: number[];
  /** The longest context for each type of cache (tokens). 0 if none fits. */
  longestContext: Record<(typeof verdictCaches)[number], number>;
  /**
   * `slots`: the routed experts of each layer that a card holds beside {@link contextBesideExperts} tokens of cache in
   * f16. `host`: the bytes that all routed experts take in main memory. Null if a card holds all experts.
   */
  experts: { slots: number; host: number } | null;
  /**
   * An estimate: {@link reachedShare} of the bandwidth, divided by the bytes that a token reads at {@link estimateAt}.
   * Null if nothing fits, or if the bandwidth or the share of experts found on the card is not known.
   */
  tokensPerSecond: number | null;
}

/**
 * The verdict on each kind of weights on each machine, by the plan that loading makes. Several cards share the model's
 * layers by the default of `layerSplit`. A card that is too small for all experts leaves some in main memory.
 */
export function planVerdicts(
  shape: StoredShape,
  options: Pick<LoadOptions, 'prefillChunk'>,
  among: readonly Machine[] = machines,
): Verdict[] {
  return verdictWeights.flatMap((weights) => {
    const planner = plannerOf(shape, weights);
    const traffic = trafficOf(planner.description);
    const weightBytes = { cpu: weightsOn(planner, 'cpu'), gpu: weightsOn(planner, 'gpu') };
    return among.map((machine): Verdict => {
      const { kind, cards: count, bytes, bandwidth } = machine;
      const device = count > 1 ? new Array<'gpu'>(count).fill('gpu') : kind;
      const longest = (cacheType: CacheType) => longestContext(planner, { ...options, cacheType, device }, bytes);
      const f16 = longest('f16');
      const isAll = f16 === planner.description.maxPositions;
      const longestContexts = { f16, q8: isAll ? f16 : longest('q8'), q4: isAll ? f16 : longest('q4') };
      const common = { machine, weights, weightBytes: weightBytes[kind] };
      const cacheType = verdictCaches.find((type) => longestContexts[type] > 0);
      if (cacheType === undefined) return { ...common, ...withSomeExperts(planner, machine, options) };
      const plan = planner.plan({ ...options, device, cacheType, contextSize: longestContexts[cacheType] });
      return {
        ...common,
        layers: plan.devices?.map(({ layers: [first, last] }) => last - first + 1) ?? [shape.layers.length],
        longestContext: longestContexts,
        experts: null,
        tokensPerSecond: bandwidth === null ? null : (reachedShare * bandwidth) / traffic,
      };
    });
  });
}

/** One card with some experts of each layer, or nothing. */
function withSomeExperts(
  planner: MemoryPlanner,
  { kind, cards: count, bytes }: Machine,
  options: Pick<LoadOptions, 'prefillChunk'>,
): Pick<Verdict, 'layers' | 'longestContext' | 'experts' | 'tokensPerSecond'> {
  const nothing = { layers: [], longestContext: { f16: 0, q8: 0, q4: 0 }, experts: null, tokensPerSecond: null };
  if (kind === 'cpu' || count > 1) return nothing;
  const contextSize = Math.min(contextBesideExperts, planner.description.maxPositions);
  const planOf = (cacheType: CacheType): MemoryReport | null => {
    const wanted: PlannedOptions = { ...options, device: 'gpu', cacheType, contextSize };
    try {
      return planner.plan({ ...wanted, gpuMemory: usableBytes('gpu', bytes) });
    } catch (error) {
      if (error instanceof KexaError && error.code === 'KEXA_OUT_OF_MEMORY') return null;
      throw error;
    }
  };
  const plans = { f16: planOf('f16'), q8: planOf('q8'), q4: planOf('q4') };
  const experts = (plans.f16 ?? plans.q8 ?? plans.q4)?.experts ?? null;
  if (experts === null) return nothing;
  const context = (plan: MemoryReport | null) => (plan === null ? 0 : contextSize);
  return {
    layers: [planner.description.layers.length],
    longestContext: { f16: context(plans.f16), q8: context(plans.q8), q4: context(plans.q4) },
    experts: { slots: experts.slots, host: experts.host },
    tokensPerSecond: null,
  };
}

function plannerOf(shape: StoredShape, weights: VerdictWeights): MemoryPlanner {
  const { quantization: own } = shape;
  const isFp8 = own?.groups.every(({ format }) => format.name === 'fp8');
  if (weights === 'fp8') return new MemoryPlanner({ ...shape, quantization: isFp8 ? own : commonFp8 });
  return new MemoryPlanner({ ...shape, quantization: null }, weights === 'bf16' ? 'auto' : weights);
}

/** The bytes that a token reads at {@link estimateAt}, with a cache of f16. */
function trafficOf(description: ModelDescription): number {
  const position = Math.min(estimateAt, description.maxPositions) - 1;
  const parts = partsOf(description, (tensor) => heldBytes(tensor, 'auto'));
  return tokenTraffic(description, parts, position, cacheElementBytes('f16', description.headDim)).total;
}

function weightsOn(planner: MemoryPlanner, device: 'cpu' | 'gpu'): number {
  return planner.plan({ device, contextSize: 1 }).weights.total;
}
