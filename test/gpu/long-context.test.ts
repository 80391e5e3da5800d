// Contexts of thousands of tokens on the GPU: keys that many workgroups look at. Without Dawn's checks, which take
// longer. Test gpu/long-context.long goes past 4,096.
import test from 'tape';
import { type LoadOptions, loadModel } from '../../lib/index.js';
import { twoLayers } from '../support/attention-model.js';
import { randomIds, show } from '../support/compare.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu: LoadOptions = { device: 'swiftshader' };

test('1,500 tokens, and a row at a time from there', async (t) => {
  const folder = twoLayers(t, { num_attention_heads: 4, num_key_value_heads: 1, head_dim: 32 }, 128);
  const answer = async (options: LoadOptions) => {
    const model = await loadModel(folder, { ...options, prefillChunk: 256 });
    const sampling = { temperature: 0, maxTokens: 4, ignoreEos: true, logprobs: 3 };
    const generated = await model.generate(randomIds(1500, 200, 8), sampling);
    await model.close();
    return generated;
  };
  const cpu = await answer({ device: 'cpu' });
  const gpu = await answer(onGpu);
  t.deepEqual(gpu.ids, cpu.ids);
  const off = gpu.logprobs!.map(({ logprob }, i) => Math.abs(logprob - cpu.logprobs![i]!.logprob));
  t.ok(Math.max(...off) < 1e-4, `log-probabilities within ${show(Math.max(...off))}`);
});
