/**
 * Gate and up of different types in one model on a software GPU: the CPU device's logits, experts in slots and parts.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { blockBytes } from '../../lib/files/gguf/gguf-types.js';
import { elementsOf } from '../../lib/files/wanted-tensors.js';
import { type LoadOptions, loadModel } from '../../lib/index.js';
import { openSynthetic } from '../../lib/plan/synthetic.js';
import { isSame, openModel, randomIds, rowDifference, show } from '../support/compare.js';
import { writeFp8Model } from '../support/fp8-model.js';
import { OpProbe, type OpResult } from '../support/op-probe.js';
import { makeRandomModel } from '../support/random-model.js';
import { moeConfig, newFolder } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

/** An expert's bytes: gate and down in FP8 with a scale a row, up in f32. */
const [hidden, width, experts] = [40, 24, 8];
const inputBytes = width * (Math.ceil((hidden + 4) / 16) * 16 + hidden * 4);
const outputBytes = hidden * Math.ceil((width + 4) / 16) * 16;

test('gate in FP8, up in f32: logits, plan, slots and parts', async (t) => {
  const folder = await newFolder(t);
  const config = {
    ...{ model_type: 'exaone_moe' as const, vocab_size: 60, hidden_size: hidden, intermediate_size: 52 },
    ...{ num_attention_heads: 2, num_key_value_heads: 1, num_hidden_layers: 2, sliding_window: 6 },
    ...{ layer_types: ['sliding_attention', 'full_attention'], mlp_layer_types: ['dense', 'sparse'] },
    ...{ moe_intermediate_size: width, num_experts: experts, num_experts_per_tok: 2 },
  };
  const stays = (module: string) => /embed_tokens$|mlp\.gate$|^lm_head$|up_proj$/.test(module);
  await writeFp8Model(folder, makeRandomModel(config, 3), {
    method: 'compressed-tensors',
    strategy: 'channel',
    scales: 'F32',
    stays,
  });
  const ids = randomIds(40, 60, 5);
  const wanted = (await (await openModel(t, folder)).forward(ids)).logits;
  const run = async (options: LoadOptions = {}) => {
    await using gpu = await loadModel(folder, { device: 'swiftshader', contextSize: 64, prefillChunk: 24, ...options });
    const { logits, mtpLogits, profile } = await gpu.forward(ids, { mtp: true, profile: true });
    t.equal(profile!.bufferBytes, gpu.memory.total, 'the plan is what was allocated, to the byte');
    const few = await gpu.replay(Uint32Array.from(ids.slice(0, 9)), 0, 9);
    const answer = await gpu.generate(ids.slice(0, 20), { temperature: 0, maxTokens: 8, ignoreEos: true, mtp: 2 });
    return { logits, few, mtpLogits: mtpLogits!, answer, slotBytes: gpu.memory.experts?.slotBytes };
  };
  const whole = await run();
  const far = rowDifference(whole.logits, wanted, 60);
  t.ok(far < 1e-5, `large steps and small: logits within ${show(far)} of the CPU's`);
  process.env.KEXA_GPU_BUFFER_BYTES = String(3 * inputBytes);
  try {
    // Four slots in two buffers.
    const found = await run({ expertSlots: 4, expertMisses: 'copy' });
    const isSameAs = (a: Float32Array, b: Float32Array) =>
      t.ok(isSame(a, b), 'four slots: the bits of all in one buffer');
    isSameAs(found.logits, whole.logits);
    isSameAs(found.mtpLogits, whole.mtpLogits);
    isSameAs(found.few, whole.few);
    t.deepEqual(found.answer.ids, whole.answer.ids, 'the same answer, with drafts');
    const { copies, copiedBytes, computed } = found.answer.experts!;
    t.ok(copies > 0 && computed === 0, `${copies} experts copied`);
    t.equal(copiedBytes, copies * (inputBytes + outputBytes), 'each as large as it is');
    t.equal(found.slotBytes, 4 * (inputBytes + outputBytes), 'and so are the slots');
  } finally {
    delete process.env.KEXA_GPU_BUFFER_BYTES;
  }
});

test('made-up gates in bf16 beside ups in f32: written on the GPU, the CPU’s values', async (t) => {
  const file = join(await newFolder(t), 'config.json');
  writeFileSync(
    file,
    JSON.stringify(moeConfig({ hidden_size: 256, intermediate_size: 288, moe_intermediate_size: 64 })),
  );
  const { description } = await openSynthetic(file, { layers: 2 }, 'auto');
  for (const tensor of description.tensors)
    if (tensor.name.endsWith('.up')) Object.assign(tensor, { type: 'f32', bytes: tensor.bytes * 2 });
  const options = { contextSize: 64, prefillChunk: 1, device: 'swiftshader' };
  const probe = await OpProbe.ofDescription(description, options);
  for (const [layer, op] of (['dense_ffn', 'experts'] as const).entries())
    for (const { name, cpu, gpu, columns } of probe.run({
      op,
      layer,
      rows: [{ slot: 0, position: 0 }],
      experts: [1, 3],
      seed: 2,
    })) {
      const far = rowDifference(gpu, cpu, columns);
      t.ok(far < 1e-5, `${op}, ${name}: within ${show(far)}`);
    }
  probe.close();
});

test('made-up blocks with tails of eight bytes, and those of tq1_0: numbers as large as the CPU’s', async (t) => {
  const file = join(await newFolder(t), 'config.json');
  writeFileSync(file, JSON.stringify({ ...moeConfig({ hidden_size: 256 }), tie_word_embeddings: false }));
  const sizeOf = (values: Float32Array) => Math.hypot(...values) / Math.sqrt(values.length);
  for (const types of [
    { embed: 'int4_128', head: 'fp4_64' },
    { embed: 'int8_32', head: 'tq1_0' },
  ] as const) {
    const { description } = await openSynthetic(file, { layers: 1 }, 'auto');
    for (const tensor of description.tensors)
      if (tensor.name === 'embed' || tensor.name === 'head') {
        const type = types[tensor.name];
        Object.assign(tensor, { type, bytes: blockBytes(type, elementsOf(tensor.shape)) });
      }
    const options = { contextSize: 64, prefillChunk: 1, device: 'swiftshader' };
    const probe = await OpProbe.ofDescription(description, options);
    for (const op of ['embed', 'head'] as const) {
      const rows = [{ slot: 0, position: 0 }];
      const [{ cpu, gpu }] = probe.run({ op, rows, logitRows: [0], seed: 2 }) as [OpResult];
      const ratio = sizeOf(gpu) / sizeOf(cpu);
      t.ok(ratio > 0.7 && ratio < 1.4, `${op} in ${types[op]}: ${ratio.toFixed(2)} of the CPU’s`);
    }
    probe.close();
  }
});
