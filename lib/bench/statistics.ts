/** Computes the statistics of repeated measurements. */

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The standard deviation, estimated from a sample. 0 for a single value. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The value below which a share of the values lies, by the nearest rank: 0.99 is the 99th percentile. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/**
 * The deviation, as a share of the mean, above which runs tell little: the machine was busy, or the test is too short.
 */
const noisyShare = 0.2;

/** Whether the values vary so much that their mean tells little. */
export function isNoisy(values: readonly number[]): boolean {
  return deviation(values) > noisyShare * mean(values);
}

/**
 * The 95 % confidence interval of mean(after) / mean(before), by Welch from the logarithms; null with fewer than two
 * runs on a side.
 */
export function ratioInterval(before: readonly number[], after: readonly number[]): [number, number] | null {
  if (before.length < 2 || after.length < 2) return null;
  const [a, b] = [before, after].map((values) => values.map(Math.log)) as [number[], number[]];
  const [varianceA, varianceB] = [a, b].map((values) => deviation(values) ** 2 / values.length) as [number, number];
  const variance = varianceA + varianceB;
  const middle = mean(b) - mean(a);
  if (variance === 0) return [Math.exp(middle), Math.exp(middle)];
  // Welch and Satterthwaite's degrees of freedom.
  const freedom = variance ** 2 / (varianceA ** 2 / (a.length - 1) + varianceB ** 2 / (b.length - 1));
  const reach = studentQuantile(freedom) * Math.sqrt(variance);
  return [Math.exp(middle - reach), Math.exp(middle + reach)];
}

/**
 * The 0.975 quantile of Student's t distribution: Abramowitz and Stegun, 26.7.5, to 0.003 from 5 degrees of freedom on.
 */
function studentQuantile(freedom: number): number {
  const exact: Readonly<Record<number, number>> = { 1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776 };
  // Rounding down makes the interval wider, never narrower.
  const n = Math.max(1, Math.floor(freedom));
  if (exact[n] !== undefined) return exact[n];
  const z = 1.959964;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
  ];
  return terms.reduce((sum, term, i) => sum + term / n ** (i + 1), z);
}
