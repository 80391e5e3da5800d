/**
 * GGUF files on a software GPU: the goldens of files that llama.cpp's quantiser made, and the plan of their buffers.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { rowDifference, show } from '../support/compare.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const folder = new URL('../models/gguf', import.meta.url).pathname;
const files = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Record<
  string,
  { ids: number[]; greedy: number[]; margin: number[]; logits: string; vocab: number }
>;

for (const [name, { ids, greedy, margin, logits, vocab }] of Object.entries(files)) {
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
    // Steps of one row and of nine, in one file also of four. The prompt, computed in large steps, is cached but for
    // its end.
    const session = model.createSession();
    const isWhole = name === 'q4_k_m.gguf';
    for (const mtp of isWhole ? ([8, 3, false] as const) : ([8, false] as const)) {
      const answer = await session.generate(ids, { temperature: 0, maxTokens, ignoreEos: true, mtp });
      t.deepEqual(answer.ids, greedy.slice(0, maxTokens), `mtp ${mtp}: the continuation`);
    }
    // The others' rows in company are compared by what is drafted alone: this computes the prompt seventeen times.
    if (!isWhole) return;
    const { divergence } = await model.verify(ids.slice(0, 5), { maxTokens: 4 });
    t.equal(divergence, null, 'rows have the same bits in company');
  });
}
