// A context past 4,096 tokens on the GPU, where a workgroup looks at more keys than before.
// Without Dawn's checks, which take longer.
import test from 'tape';
import type { LoadOptions } from '../../lib/index.js';
import { twoLayers } from '../support/attention-model.js';
import { openModel, randomIds, show } from '../support/compare.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu: LoadOptions = { device: 'swiftshader' };

test('4,090 tokens, and drafts that change no answer where the next row’s keys are parted otherwise', async (t) => {
  // Past 4,096 keys a part is two blocks of 64 where it was one: rows of one step are then parted in two ways.
  const folder = twoLayers(
    t,
    {
      num_hidden_layers: 1,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      mlp_layer_types: ['dense'],
      sliding_windows: [0],
      num_nextn_predict_layers: 1,
      mtp_layer_types: ['sliding_attention'],
      mtp_sliding_windows: [16],
    },
    0,
  );
  const model = await openModel(t, folder, { ...onGpu, prefillChunk: 256 });
  const session = model.createSession();
  const ids = randomIds(4090, 200, 9);
  const options = { temperature: 0.8, seed: 2, maxTokens: 12, ignoreEos: true, logprobs: 1 };
  const answer = async (mtp: false | number, length = ids.length) =>
    session.generate(ids.slice(0, length), { ...options, mtp });
  // All of the prompt, so that what is compared has no large step in it.
  await answer(1);
  const drafted = await answer(8);
  const plain = await answer(false);
  t.deepEqual(drafted.ids, plain.ids);
  t.deepEqual(drafted.logprobs, plain.logprobs, 'to the last bit');
  t.ok(drafted.speculation.drafted > 0, `${drafted.speculation.drafted} drafts`);
  const cpu = await openModel(t, folder, { device: 'cpu', prefillChunk: 256 });
  const wanted = await cpu.generate(ids, options);
  t.deepEqual(plain.ids, wanted.ids, 'the CPU device’s');
  const off = plain.logprobs!.map(({ logprob }, i) => Math.abs(logprob - wanted.logprobs![i]!.logprob));
  t.ok(Math.max(...off) < 1e-4, `log-probabilities within ${show(Math.max(...off))}`);
});
