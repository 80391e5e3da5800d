/** Computes distributions of tokens, and tests draws against them by Pearson's chi-square. */
import type { SamplingOptions } from '../../lib/index.js';

/** The probabilities the documented order of operations gives: temperature, top-k, top-p of what is left, min-p. */
export function probabilities(
  logits: ArrayLike<number>,
  { temperature = 1, topK = 0, topP = 1, minP = 0 }: SamplingOptions,
): number[] {
  const all = Array.from(logits);
  const most = all.reduce((a, b) => Math.max(a, b));
  const weights = all.map((logit) => Math.exp((logit - most) / temperature));
  const ranked = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b).slice(0, topK || Infinity);
  const total = ranked.reduce((sum, id) => sum + weights[id]!, 0);
  let reached = 0;
  const kept = new Set(
    ranked.filter((id) => {
      const isKept = reached < topP * total && weights[id]! >= minP;
      reached += weights[id]!;
      return isKept;
    }),
  );
  const keptTotal = [...kept].reduce((sum, id) => sum + weights[id]!, 0);
  return weights.map((weight, id) => (kept.has(id) ? weight / keptTotal : 0));
}

/** Numbers in [0, 1) of 32 bits from mulberry32, equal for equal seeds. */
export function uniforms(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The index that a number in [0, 1) chooses among weights with any sum. */
export function drawFrom(weights: readonly number[], uniform: number): number {
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  let last = 0;
  for (const [index, weight] of weights.entries()) {
    if (weight <= 0) continue;
    if (left < weight) return index;
    left -= weight;
    last = index;
  }
  return last;
}

/** The least expected number of draws of a cell. Rarer tokens share a cell. */
const fewest = 10;

/**
 * Pearson's statistic of `counts` against `wanted` probabilities, divided by its critical value. Above 1 the draws are
 * not of this distribution. `quantile` is the normal quantile of 1 - the level. A draw of a token without probability
 * is infinite.
 */
export function againstExact(counts: readonly number[], wanted: readonly number[], quantile: number): number {
  const draws = counts.reduce((sum, count) => sum + count, 0);
  const cells: [number, number][] = [];
  const rare: [number, number] = [0, 0];
  for (const [i, count] of counts.entries()) {
    const expected = wanted[i]! * draws;
    if (count > 0 && expected === 0) return Number.POSITIVE_INFINITY;
    if (expected >= fewest) {
      cells.push([count, expected]);
    } else {
      rare[0] += count;
      rare[1] += expected;
    }
  }
  if (rare[1] >= 1) cells.push(rare);
  return overCritical(
    cells.map(([found, expected]) => (found - expected) ** 2 / expected),
    quantile,
  );
}

/** Pearson's statistic of two samples of one size, divided by its critical value. */
export function againstEachOther(one: readonly number[], other: readonly number[], quantile: number): number {
  const cells: [number, number][] = [];
  const rare: [number, number] = [0, 0];
  for (const [i, a] of one.entries()) {
    const b = other[i]!;
    if (a + b >= 2 * fewest) {
      cells.push([a, b]);
    } else {
      rare[0] += a;
      rare[1] += b;
    }
  }
  if (rare[0] + rare[1] > 0) cells.push(rare);
  return overCritical(
    cells.map(([a, b]) => (a - b) ** 2 / (a + b)),
    quantile,
  );
}

/**
 * A sum of squares divided by its critical value, by Wilson and Hilferty (1931). It has one degree of freedom less than
 * terms.
 */
function overCritical(terms: readonly number[], quantile: number): number {
  const freedom = terms.length - 1;
  if (freedom < 1) throw new Error(`wanted two cells or more, found ${terms.length}`);
  const step = 2 / (9 * freedom);
  return terms.reduce((sum, term) => sum + term, 0) / (freedom * (1 - step + quantile * Math.sqrt(step)) ** 3);
}
