/** Compares two recorded benchmarks. */
import type { BenchResult } from './result.js';
import { ratioInterval } from './statistics.js';

/** One test of both recordings. */
export interface BenchComparison {
  test: string;
  /** The mean rates (tokens a second). */
  before: number;
  after: number;
  /** after / before. */
  ratio: number;
  /**
   * The 95 % confidence interval of the ratio, if runs vary at random about their mean: Welch's interval for the
   * difference of the logarithms. Null with fewer than two runs on a side.
   */
  interval: [number, number] | null;
  /** Whether the interval leaves no doubt that the rates differ. */
  isClear: boolean;
  /** Whether both generated the same tokens. Null if settings or lengths differ, so that it cannot be told. */
  sameTokens: boolean | null;
  /**
   * Whether the last token's logits are the same to the bit. Two builds may agree so, two devices seldom do. Null if it
   * cannot be told, or if a recording has no logits.
   */
  sameLogits: boolean | null;
  /** The settings that differ, and the device's own rates that differ by more than 15 %. */
  changed: { field: string; before: unknown; after: unknown }[];
}

const settings = [
  'build_commit',
  'model_filename',
  'model_size',
  'model_n_params',
  'backend',
  'n_threads',
  'n_batch',
  'weights',
  'type_k',
  'type_v',
  'n_sessions',
  'text_hash',
] as const;

/** The device's own rates. They show whether the machine was busy or is another one. */
const rates = ['copy_gb_per_s', 'f32_gflop_per_s', 'matrix_gflop_per_s'] as const;
/** The ratio by which two measurements of one rate may differ. */
const sameRate = 1.15;

/** The tests that both recordings have, in the order of the first; and the names of tests that only one of them has. */
export function compareBenchmarks(
  before: readonly BenchResult[],
  after: readonly BenchResult[],
): { comparisons: BenchComparison[]; onlyBefore: string[]; onlyAfter: string[] } {
  const named = new Map(after.map((result) => [result.test, result]));
  const names = new Set(before.map(({ test }) => test));
  return {
    comparisons: before.flatMap((result) => {
      const other = named.get(result.test);
      return other === undefined ? [] : [compare(result, other)];
    }),
    onlyBefore: before.filter(({ test }) => !named.has(test)).map(({ test }) => test),
    onlyAfter: after.filter(({ test }) => !names.has(test)).map(({ test }) => test),
  };
}

function compare(before: BenchResult, after: BenchResult): BenchComparison {
  const interval = ratioInterval(before.samples_ts, after.samples_ts);
  const sameModel = before.model_n_params === after.model_n_params && before.model_size === after.model_size;
  return {
    test: before.test,
    before: before.avg_ts,
    after: after.avg_ts,
    ratio: after.avg_ts / before.avg_ts,
    interval,
    isClear: interval !== null && (interval[0] > 1 || interval[1] < 1),
    sameTokens: sameModel ? before.ids_hash === after.ids_hash : null,
    sameLogits: sameModel && before.logits_hash && after.logits_hash ? before.logits_hash === after.logits_hash : null,
    changed: [
      ...settings.filter((field) => before[field] !== after[field]),
      // Older recordings lack the field: they had no choice.
      ...(['activations'] as const).filter((field) => (before[field] ?? 'f32') !== (after[field] ?? 'f32')),
      ...rates.filter((field) => !areNear(before[field], after[field])),
    ].map((field) => ({ field, before: before[field], after: after[field] })),
  };
}

/** Whether two rates are near. True if one is missing, as it is in recordings of older builds. */
function areNear(before: number | null | undefined, after: number | null | undefined): boolean {
  if (typeof before !== 'number' || typeof after !== 'number') return true;
  return Math.max(before, after) <= sameRate * Math.min(before, after);
}
