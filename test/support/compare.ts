/** Compares results of the core, and opens the models and prompts that its tests share. */
import type { Test } from 'tape';
import { type LoadOptions, loadModel, type Model } from '../../lib/index.js';
import { type GoldenName, loadGoldens, modelFolder } from './goldens.js';

/** Opens a golden model, or the model in a folder. It is closed when the test ends. */
export async function openModel(t: Test, nameOrFolder: string, options: LoadOptions = {}): Promise<Model> {
  const folder = nameOrFolder.includes('/') ? nameOrFolder : modelFolder(nameOrFolder as GoldenName);
  const model = await loadModel(folder, options);
  t.teardown(() => model.close());
  return model;
}

/**
 * The largest difference in any row, relative to the wanted row's largest magnitude. A NaN, a row too many or a row too
 * few is an infinite difference.
 */
export function rowDifference(found: ArrayLike<number>, wanted: ArrayLike<number>, columns: number): number {
  if (found.length !== wanted.length || found.length % columns !== 0) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let start = 0; start < wanted.length; start += columns) {
    let size = 0;
    let off = 0;
    for (let i = start; i < start + columns; i++) {
      size = Math.max(size, Math.abs(wanted[i]!));
      const difference = Math.abs(found[i]! - wanted[i]!);
      off = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(off, difference);
    }
    if (off > 0) worst = Math.max(worst, off / size);
  }
  return worst;
}

/** Whether two arrays hold the same numbers to the last bit, and hold any at all. */
export function isSame(a: Float32Array | undefined, b: Float32Array | undefined): boolean {
  const bytes = (array: Float32Array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  return a !== undefined && b !== undefined && a.length > 0 && bytes(a).equals(bytes(b));
}

/** Numbers in [0, 1), equal for equal seeds: a linear congruential generator of 32 bits, its high half. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 16) / 2 ** 16;
  };
}

/** Random token ids, equal for equal seeds. */
export function randomIds(count: number, vocabSize: number, seed: number): number[] {
  const next = randomNumbers(seed);
  return Array.from({ length: count }, () => Math.floor(next() * vocabSize));
}

/**
 * A model's longest prompt, which is longer than its windows. For `tiny`, whose goldens are short, it is several in a
 * row.
 */
export function longPrompt(name: GoldenName): number[] {
  const { prompts } = loadGoldens(name);
  if (name !== 'tiny') return prompts.at(-1)!.ids;
  return prompts.flatMap(({ ids, greedy }) => [...ids, ...greedy]).slice(0, 100);
}

export function show(difference: number): string {
  return difference.toExponential(1);
}
