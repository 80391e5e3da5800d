/** Sampling options at the ends of their ranges, where sums and products of floats overflow. */
import type { GenerateOptions } from '../../lib/index.js';

const largest = 3.4028234e38;
const biases: Record<number, number>[] = [
  {},
  { 5: 3e38 },
  { 5: 3e38, 7: 3e38, 300: -3e38 },
  { 5: largest, 9: -largest, 11: Number.NEGATIVE_INFINITY },
  { 5: -1e39, 6: 1e-45, 7: 1e20 },
  // Every token but three, at and beyond the lowest float, and just above it.
  Object.fromEntries(
    Array.from({ length: 512 }, (_, id) => [id, [-1e39, -largest, Number.NEGATIVE_INFINITY][id % 3]!]),
  ),
];
const ranges = {
  temperature: [0, Number.MIN_VALUE, 1e-30, 1e-3, 1, 100],
  topK: [0, 1, 2, 100, 2 ** 31 - 1],
  topP: [Number.MIN_VALUE, 1e-6, 0.5, 1 - 2 ** -24, 1],
  minP: [0, 1e-38, 0.5, 1],
  repeatPenalty: [0.01, 1, 100],
  repeatLastN: [-1, 0, 1, 2 ** 31 - 1],
  presencePenalty: [-2, 0, 2],
  frequencyPenalty: [-2, 0, 2],
} as const;

/** `count` combinations, drawn with `next`, numbers in [0, 1). Ids are below 512. */
export function* extremeOptions(count: number, next: () => number): Generator<GenerateOptions> {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)]!;
  for (let i = 0; i < count; i++)
    yield {
      temperature: pick(ranges.temperature),
      topK: pick(ranges.topK),
      topP: pick(ranges.topP),
      minP: pick(ranges.minP),
      repeatPenalty: pick(ranges.repeatPenalty),
      repeatLastN: pick(ranges.repeatLastN),
      presencePenalty: pick(ranges.presencePenalty),
      frequencyPenalty: pick(ranges.frequencyPenalty),
      logitBias: pick(biases),
      seed: Math.floor(next() * 2 ** 32),
    };
}
