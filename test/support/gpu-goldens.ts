/** The goldens of a model on a software GPU. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { rowDifference } from './compare.js';
import { type GoldenName, loadGoldens, modelFolder } from './goldens.js';
import { useSoftwareGpu } from './software-gpu.js';

useSoftwareGpu();

/** A test of one model's prompts that have one of these `lengths` in tokens, and of the first prompt's greedy text. */
export function testGoldens(
  name: GoldenName,
  gpuKernels: 'plain' | 'subgroups',
  lengths: readonly number[],
  gpuChecks: boolean,
): void {
  test(`${name}: logits, MTP logits, layers, routes and greedy text are the goldens', ${gpuKernels}`, async (t) => {
    const { prompts, tensor } = loadGoldens(name);
    const model = await loadModel(modelFolder(name), { device: 'swiftshader', gpuKernels, gpuChecks });
    const { vocabSize, hiddenSize, moe } = model.config;
    for (const [index, prompt] of prompts.entries()) {
      const { ids } = prompt;
      if (!lengths.includes(ids.length)) continue;
      const mtp = ids.length > 1;
      const result = await model.forward(ids, { mtp, trace: true });
      const logits = rowDifference(result.logits, tensor(`prompt${index}.logits`), vocabSize);
      t.ok(logits < 1e-5, `prompt ${index}, ${ids.length} tokens: logits within ${logits.toExponential(1)}`);
      if (mtp) {
        const mtpLogits = rowDifference(result.mtpLogits!, tensor(`prompt${index}.mtp_logits`), vocabSize);
        t.ok(mtpLogits < 1e-5, `MTP logits within ${mtpLogits.toExponential(1)}`);
      }
      const layers = result.layers!.map((rows, i) =>
        rowDifference(rows, tensor(`prompt${index}.layer${i}`), hiddenSize),
      );
      t.ok(Math.max(...layers) < 1e-5, `residual streams within ${Math.max(...layers).toExponential(1)}`);
      const routes = result.routes!.map(({ experts }) => [...experts.slice(-moe!.topK)]);
      t.deepEqual(
        routes,
        prompt.routes.map(({ experts }) => experts),
        'the last token takes the same experts',
      );
    }
    const { ids, greedy, greedyMargin } = prompts[0]!;
    const certain = greedyMargin.findIndex((margin) => margin < 1e-3);
    const count = Math.min(12, certain < 0 ? greedy.length : certain);
    const generated = await model.generate(ids, { temperature: 0, maxTokens: count, ignoreEos: true });
    t.deepEqual(generated.ids, greedy.slice(0, count), 'greedy text');
    await model.close();
  });
}
