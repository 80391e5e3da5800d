/** Two recorded benchmarks next to each other. */
import type { BenchResult } from './result.js';
import { ratioInterval } from './statistics.js';

/** One test of both recordings. */
export interface BenchComparison {
  test: string;
  /** Tokens a second, the means. */
  before: number;
  after: number;
  /** after / before. */
  ratio: number;
  /**
   * Where the ratio lies with 95 % confidence, if runs vary at random about their mean: Welch's interval for the
   * difference of the logarithms. Null with fewer than two runs on a side.
   */
  interval: [number, number] | null;
  /** Whether the interval leaves no doubt that the rates differ. */
  isClear: boolean;
  /** Whether both generated the same tokens; null where settings or lengths differ so that nobody can tell. */
  sameTokens: boolean | null;
  /**
   * Whether the last token's logits are the same to the last bit: of two builds they may be, of two devices seldom. Null as
   * for `sameTokens`, and where they were not kept.
   */
  sameLogits: boolean | null;
  /** Settings that are not the same, and rates of the device itself that differ by more than 15 %. */
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

/** The device's own rates, which show that a machine was busy, or is another. */
const rates = ['copy_gb_per_s', 'f32_gflop_per_s', 'matrix_gflop_per_s'] as const;
/** How far measuring them twice may be apart. */
const sameRate = 1.15;

/** The tests that both have, by name, in the order of the first; and the names that only one of them has. */
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
      // Older recordings had no choice.
      ...(['activations'] as const).filter((field) => (before[field] ?? 'f32') !== (after[field] ?? 'f32')),
      ...rates.filter((field) => !areNear(before[field], after[field])),
    ].map((field) => ({ field, before: before[field], after: after[field] })),
  };
}

/** Recordings of older builds lack what was not measured then: nothing to compare. */
function areNear(before: number | null | undefined, after: number | null | undefined): boolean {
  if (typeof before !== 'number' || typeof after !== 'number') return true;
  return Math.max(before, after) <= sameRate * Math.min(before, after);
}
