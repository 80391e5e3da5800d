/**
 * Folders in int4, int8 and fp4 on a software GPU: the logits of their values in f32, and the plan of their buffers.
 */
import test from 'tape';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { loadModel } from '../../lib/index.js';
import { isSame, openModel, randomIds, rowDifference, show } from '../support/compare.js';
import {
  packedSizes as config,
  type PackedForm,
  packedConfig,
  packedGroup,
  packModel,
  writePackedFolder,
} from '../support/packed-model.js';
import { makeRandomModel, writeRandomModel } from '../support/random-model.js';
import { newFolder, refuses } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

/** A form for each type that matrices are repacked to, by the ends of their modules' names. */
const forms: readonly [modules: string, form: PackedForm, type: string][] = [
  ['self_attn\\.q_proj', { format: 'pack-quantized', group: 128, hasZeros: true }, 'int4_128'],
  ['self_attn\\.k_proj', { format: 'pack-quantized', index: 'shuffled' }, 'f32'],
  ['self_attn\\.v_proj', { format: 'int-quantized', bits: 8, group: 'row' }, 'int8_128'],
  ['self_attn\\.o_proj', { format: 'mxfp4-pack-quantized' }, 'mxfp4'],
  ['(gate|up)_proj', { format: 'nvfp4-pack-quantized' }, 'fp4_64'],
  ['0\\.mlp\\.down_proj', { format: 'pack-quantized', bits: 8 }, 'int8_32'],
  ['down_proj', { format: 'pack-quantized', hasZeros: true }, 'int4_32'],
];

test('a config of all formats: logits, drafts, experts in main memory, and the plan', async (t) => {
  const model = makeRandomModel(config, 2);
  const formOf = (module: string) =>
    forms.find(([modules]) => new RegExp(`(^|\\.)${modules}$`).test(module))?.[1] ?? null;
  const { files, plain } = packModel(model, formOf);
  const groups = forms.map(([modules, form], i) => [`group_${i}`, packedGroup(form, [`re:.*${modules}$`])] as const);
  const quantization = {
    ...packedConfig(forms[0]![1]),
    format: 'mixed-precision',
    ignore: ['lm_head'],
    config_groups: Object.fromEntries(groups),
  };
  const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
  await writePackedFolder(folder, model, files, quantization);
  const tensors = new Map(
    Array.from(plain.tensors, ([name, { shape, data }]) => [name, { shape, data: data.map(Math.fround) }]),
  );
  const options = { dtype: 'F32', experts: 'separate', biasUnderGate: false, shards: 1 } as const;
  writeRandomModel(plainFolder, { ...plain, tensors }, options);
  const { description } = await openModelFolder(folder);
  const types = new Set(description.tensors.flatMap(({ type, packed }) => (packed ? type : [])));
  t.deepEqual([...types].sort(), [...new Set(forms.map(([, , type]) => type))].sort(), 'every type is there');

  const ids = randomIds(20, 150, 3);
  const { logits: wanted } = await (await openModel(t, plainFolder, { contextSize: 64 })).forward(ids);
  const gpu = await openModel(t, folder, { device: 'swiftshader', contextSize: 64, prefillChunk: 20 });
  const { logits, profile } = await gpu.forward(ids, { profile: true });
  const far = rowDifference(logits, wanted, 150);
  t.ok(far < 1e-4, `logits of 20 rows within ${show(far)}`);
  t.equal(profile!.bufferBytes, gpu.memory.total, 'the plan is what was allocated, to the byte');
  const answers = ([false, 3] as const).map((mtp) =>
    gpu.generate(ids, { temperature: 0, maxTokens: 8, ignoreEos: true, mtp }),
  );
  const [without, withDrafts] = await Promise.all(answers);
  t.deepEqual(withDrafts!.ids, without!.ids, 'drafts change nothing');
  const slots = await openModel(t, folder, {
    device: 'swiftshader',
    contextSize: 64,
    prefillChunk: 20,
    expertSlots: 2,
  });
  t.ok(isSame((await slots.forward(ids)).logits, logits), 'experts in main memory: the same bits');
});

test('a scale that is none is found at load', async (t) => {
  const folder = await newFolder(t);
  const model = makeRandomModel(config, 2);
  const form: PackedForm = { format: 'awq', hasZeros: true, scales: 'F16' };
  const { files } = packModel(model, (module) => (/_proj$/.test(module) ? form : null));
  const name = 'model.layers.1.mlp.experts.3.down_proj.scales';
  files[name]!.data.writeUInt16LE(0x7e00, 6);
  await writePackedFolder(folder, model, files, packedConfig(form));
  await refuses(t, 'KEXA_BAD_FILE', [name, 'found NaN for row and group [3, 0]'], () =>
    loadModel(folder, { device: 'null', contextSize: 64 }),
  );
});
