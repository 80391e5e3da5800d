/**
 * GGUF files on a software GPU: the goldens of files that llama.cpp's quantiser made, and the plan of their buffers.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { rowDifference, show } from './compare.js';
import { useSoftwareGpu } from './software-gpu.js';

useSoftwareGpu();
const folder = new URL('../models/gguf', import.meta.url).pathname;
const files = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Record<
  string,
  { ids: number[]; greedy: number[]; margin: number[]; logits: string; vocab: number }
>;

export const fileNames: readonly string[] = Object.keys(files);

/** A test of each file. `isWhole`: with more kinds of steps, and rows in company. */
export function testFiles(names: readonly string[], isWhole: boolean): void {
  for (const name of names) testFile(name, isWhole);
}

function testFile(name: string, isWhole: boolean): void {
  const { ids, greedy, margin, logits, vocab } = files[name]!;
  test(`${name}: logits, continuation, row-invariance and plan`, async (t) => {
    await using model = await loadModel(join(folder, name), { device: 'swiftshader', contextSize: 256 });
    const { logits: rows, profile } = await model.forward(ids, { profile: true });
    const bytes = readFileSync(join(folder, logits));
    const wanted = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const difference = rowDifference(rows, wanted, vocab);
    t.ok(difference < 1e-4, `logits within ${show(difference)}`);
    t.equal(profile!.bufferBytes, model.memory.total, 'the plan is what was allocated, to the byte');
    const near = margin.findIndex((value) => value < 1e-3);
    const maxTokens = near < 0 ? greedy.length : near;
    // Steps of one row and of nine, or also of four. The prompt, computed in large steps, is cached but for its end.
    const session = model.createSession();
    for (const mtp of isWhole ? ([8, 3, false] as const) : ([8, false] as const)) {
      const answer = await session.generate(ids, { temperature: 0, maxTokens, ignoreEos: true, mtp });
      t.deepEqual(answer.ids, greedy.slice(0, maxTokens), `mtp ${mtp}: the continuation`);
    }
    // Else rows in company are compared by what is drafted alone: this computes the prompt seventeen times.
    if (!isWhole) return;
    const { divergence } = await model.verify(ids.slice(0, 10), { maxTokens: 6 });
    t.equal(divergence, null, 'rows have the same bits in company');
  });
}
