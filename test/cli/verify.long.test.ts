/**
 * `model.verify` and `kexa verify` on a software GPU, with as many rows and drafts as they check. Test cli/verify has
 * fewer.
 */
import { join } from 'node:path';
import test from 'tape';
import { kexa, root } from '../support/cli.js';
import { openModel, randomIds } from '../support/compare.js';
import { softwareGpuEnvironment, useSoftwareGpu } from '../support/software-gpu.js';

test('SwiftShader: no divergence on edge in steps of up to nine rows, and by the command', async (t) => {
  useSoftwareGpu();
  const model = await openModel(t, 'edge', { device: 'swiftshader' });
  const { drafts, rows, divergence } = await model.verify(randomIds(9, model.config.vocabSize, 4), { maxTokens: 9 });
  t.deepEqual([drafts.sizes, rows.sizes, divergence], [[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9], null]);
  const run = await kexa(
    ['verify', '-m', join(root, 'test/models/edge'), '--ids', '-p', '5', '-n', '2', '--device', 'swiftshader'],
    { env: softwareGpuEnvironment() },
  );
  t.equal(run.code, 0);
  t.match(run.stdout, /no divergence: 1 prompt, 2 tokens, on SwiftShader/);
});
