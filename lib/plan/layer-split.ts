/** Divides a model's layers among several devices, and reports each device's memory. */
import { KexaError } from '../errors.js';
import type { NativePart, NativePlan } from '../native.js';
import { invalid } from '../options.js';
import type { LoadOptions, MemoryReport } from '../types.js';

/**
 * How many of `layers` each device takes: in proportion to the numbers of `split`, and at least one each. Numbers that
 * add up to `layers` are the counts themselves. Without `split` every count is 0, and the core divides the layers by
 * bytes.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT
 */
export function layersOfDevices(split: LoadOptions['layerSplit'], devices: number, layers: number): number[] {
  if (split === undefined) return new Array<number>(devices).fill(0);
  const wanted = `${devices} positive numbers, one for each device`;
  if (!Array.isArray(split)) throw invalid('layerSplit', wanted, split);
  const isPositive = (share: unknown) => typeof share === 'number' && share > 0 && Number.isFinite(share);
  if (devices < 2 || split.length !== devices || !split.every(isPositive))
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `layerSplit: wanted ${devices < 2 ? 'none without several devices' : wanted}, found [${split.join(', ')}]`,
    );
  const total = split.reduce((sum, share) => sum + share, 0);
  let upTo = 0;
  let last = 0;
  return split.map((share, i) => {
    upTo += share;
    // The core refuses fewer layers than devices.
    const most = Math.max(last + 1, layers - (devices - 1 - i));
    const end = Math.min(most, Math.max(last + 1, Math.round((layers * upTo) / total)));
    const own = end - last;
    last = end;
    return own;
  });
}

/** The parts of a plan, for which only the kinds of the devices matter. */
export function plannedParts(
  kinds: readonly ('cpu' | 'gpu')[],
  split: LoadOptions['layerSplit'],
  layers: number,
): NativePart[] {
  return layersOfDevices(split, kinds.length, layers).map((own, i) => ({
    adapter: kinds[i] === 'gpu' ? 'gpu' : '',
    plainOps: [],
    layers: own,
    memoryBytes: 0,
  }));
}

/** A plan as a report, with the devices' names. A plan for one device has no list of devices. */
export function memoryReport({ parts, ...memory }: NativePlan, names: readonly string[]): MemoryReport {
  if (parts.length === 0) return memory;
  const devices = parts.map(({ firstLayer, layers, prefixCache: _, ...own }, i) => ({
    name: names[i]!,
    layers: [firstLayer, firstLayer + layers - 1] as [number, number],
    ...own,
  }));
  return { ...memory, devices };
}
