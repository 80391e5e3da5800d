/** How the GPU's attention is cut: prompts in chunks and answers in steps, in both ways its kernels are written. */
import test from 'tape';
import { type LoadOptions, loadModel } from '../../lib/index.js';
import { twoLayers } from './attention-model.js';
import { isSame, randomIds, rowDifference, show } from './compare.js';
import type { HfConfig } from './reference.js';
import { useSoftwareGpu } from './software-gpu.js';

useSoftwareGpu();
// Dawn checks these kernels in tests gpu/ops and gpu/goldens.
const onGpu: LoadOptions = { device: 'swiftshader' };
export const bothWays = ['plain', 'subgroups'] as const;

/** Runs `ids` as a prompt or, with `stepRows`, like an answer, in steps of that many rows. */
export async function forwardOf(
  folder: string,
  ids: number[],
  options: LoadOptions,
  stepRows = 0,
): Promise<Float32Array> {
  const model = await loadModel(folder, options);
  const { logits } = stepRows
    ? { logits: await model.replay(Uint32Array.from(ids), 0, stepRows) }
    : await model.forward(ids);
  await model.close();
  return logits;
}

/**
 * The shapes have tiles of heads that are not full, chunks that are not full, and results that are written in both
 * ways.
 */
export const attentionShapes: [string, Partial<HfConfig>, number][] = [
  ['heads of 24, 3 to a KV head', { num_attention_heads: 6, num_key_value_heads: 2, head_dim: 24 }, 70],
  ['heads of 6, 5 to a KV head', { num_attention_heads: 5, num_key_value_heads: 1, head_dim: 6 }, 64],
  ['heads of 136, 9 to a KV head', { num_attention_heads: 9, num_key_value_heads: 1, head_dim: 136 }, 128],
];
/**
 * A test of one shape. `rows`: rows a step; up to 16 the prompt is computed like an answer, beyond that in chunks of as
 * many.
 */
export function testCuts(
  [what, changes, window]: (typeof attentionShapes)[number],
  rows: Record<(typeof bothWays)[number], readonly number[]>,
): void {
  test(`${what}, window ${window}: prompts cut into ${rows.subgroups.join(', ')} rows`, async (t) => {
    const folder = twoLayers(t, changes, window);
    const ids = randomIds(window + 22, 200, 3);
    const cpu = await forwardOf(folder, ids, { device: 'cpu' });
    for (const gpuKernels of bothWays) {
      const firsts = new Map<boolean, Float32Array>();
      for (const count of rows[gpuKernels]) {
        const isPrompt = count > 16;
        const logits = await forwardOf(
          folder,
          ids,
          { ...onGpu, gpuKernels, prefillChunk: count },
          isPrompt ? 0 : count,
        );
        const difference = rowDifference(logits, cpu, 200);
        t.ok(difference < 1e-5, `${gpuKernels}, ${count} rows: within ${show(difference)}`);
        const first = firsts.get(isPrompt) ?? logits;
        firsts.set(isPrompt, first);
        t.ok(isSame(logits, first), `${count} rows: bits do not depend on the company`);
      }
    }
  });
}
