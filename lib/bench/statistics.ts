/** Figures of repeated measurements. */

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The standard deviation of what the values are a sample of; 0 for a single one. */
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

/** Runs that deviate by more than this share of their mean tell little: the machine was busy, or the test is too short. */
const noisyShare = 0.2;

/** Whether the values vary so much that their mean tells little. */
export function isNoisy(values: readonly number[]): boolean {
  return deviation(values) > noisyShare * mean(values);
}
