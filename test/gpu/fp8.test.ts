/** Folders in FP8 on a software GPU: the logits of their values in f32, and the plan of their buffers. */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { openModel, randomIds, rowDifference, show } from '../support/compare.js';
import { type Fp8Options, writeFp8Model } from '../support/fp8-model.js';
import { makeRandomModel, writeRandomModel } from '../support/random-model.js';
import type { HfConfig } from '../support/reference.js';
import { newFolder, refuses } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

/** Two blocks to a row of the hidden state, the second cut off; one to a row of an expert's. */
const config: Partial<HfConfig> = {
  model_type: 'exaone_moe',
  vocab_size: 150,
  hidden_size: 140,
  intermediate_size: 150,
  num_hidden_layers: 2,
  first_k_dense_replace: 1,
  layer_types: ['sliding_attention', 'full_attention'],
  num_experts: 4,
  moe_intermediate_size: 72,
};
const forms: Fp8Options[] = [
  { method: 'fp8', strategy: 'block', scales: 'F32', experts: 'fused' },
  { method: 'compressed-tensors', strategy: 'channel', scales: 'BF16' },
  { method: 'fp8', strategy: 'tensor', scales: 'F32' },
];

for (const form of forms)
  test(`${form.method}, ${form.strategy}: logits, drafts and plan`, async (t) => {
    const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
    const plain = await writeFp8Model(folder, makeRandomModel(config, 2), form);
    writeRandomModel(plainFolder, plain, { dtype: 'F32', experts: 'separate', biasUnderGate: false, shards: 1 });
    const ids = randomIds(20, 150, 3);
    const { logits: wanted } = await (await openModel(t, plainFolder)).forward(ids);
    // The kernels of large steps read rows as the others do, and take long to compile: once will do.
    const prefillChunk = form.strategy === 'block' ? 20 : 10;
    const gpu = await openModel(t, folder, { device: 'swiftshader', contextSize: 64, prefillChunk });
    const { logits, profile } = await gpu.forward(ids, { profile: true });
    const far = rowDifference(logits, wanted, 150);
    t.ok(far < 1e-5, `logits of 20 rows within ${show(far)}`);
    t.equal(profile!.bufferBytes, gpu.memory.total, 'the plan is what was allocated, to the byte');
    if (form.strategy !== 'block') return;
    const answers = ([false, 3] as const).map((mtp) =>
      gpu.generate(ids, { temperature: 0, maxTokens: 8, ignoreEos: true, mtp }),
    );
    const [without, withDrafts] = await Promise.all(answers);
    t.deepEqual(withDrafts!.ids, without!.ids, 'drafts change nothing');
  });

test('a weight that is no number is found at load', async (t) => {
  const folder = await newFolder(t);
  const model = makeRandomModel(config, 2);
  await writeFp8Model(folder, model, forms[0]!, 'model.layers.1.mlp.experts.down_proj');
  await refuses(t, 'KEXA_BAD_FILE', ["layer 1 experts' down", 'not a number'], () =>
    loadModel(folder, { device: 'null', contextSize: 64 }),
  );
});
