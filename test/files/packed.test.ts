// Folders in int4, int8 and fp4: the values of every format, both kinds of experts, and what is refused.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { openModelFolder, readConfigOnly } from '../../lib/files/model-folder.js';
import { loadModel } from '../../lib/index.js';
import { planMemory } from '../../lib/plan/memory-plan.js';
import { recipes } from '../../lib/plan/recipes.js';
import { quantizeModel as quantizeFolder } from '../../lib/quantize/quantize-model.js';
import { kexa } from '../support/cli.js';
import { isSame, openModel, randomIds, rowDifference, show } from '../support/compare.js';
import { quantizeModel as quantizeToFp8 } from '../support/fp8-model.js';
import { readGguf } from '../support/gguf-file.js';
import { type HfModel, readHfModel } from '../support/goldens.js';
import {
  packedSizes as config,
  type PackedForm,
  packedConfig,
  packedGroup,
  packModel,
  writePackedFolder,
  writePackedModel,
} from '../support/packed-model.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { type HfConfig, reference } from '../support/reference.js';
import { type TensorToWrite, writeSafetensors } from '../support/safetensors-writer.js';
import { newFolder, refuses } from '../support/small-model.js';

const random = makeRandomModel(config, 2);

/** The forms, and the types that their matrices are held in. */
const forms: [PackedForm, ...string[]][] = [
  [{ format: 'pack-quantized', group: 128 }, 'int4_128', 'int4_32'],
  [{ format: 'pack-quantized', hasZeros: true, scales: 'F16' }, 'int4_32'],
  [{ format: 'pack-quantized', hasZeros: true, hasByteZeros: true, group: 64 }, 'int4_32'],
  [{ format: 'pack-quantized', bits: 8, group: 'row', experts: 'fused' }, 'int8_128', 'int8_32'],
  [{ format: 'pack-quantized', bits: 8, hasZeros: true, experts: 'fused' }, 'int8_32'],
  [{ format: 'pack-quantized', group: 'matrix', hasZeros: true, scales: 'F32' }, 'int4_128', 'int4_32'],
  [{ format: 'pack-quantized', group: 16, hasZeros: true }, 'f32'],
  [{ format: 'pack-quantized', index: 'shuffled', hasZeros: true }, 'f32'],
  [{ format: 'pack-quantized', index: 'in order' }, 'int4_32'],
  [{ format: 'pack-quantized', index: 'unset', group: 64 }, 'int4_32'],
  [{ format: 'int-quantized', bits: 8, group: 'row' }, 'int8_128', 'int8_32'],
  [{ format: 'int-quantized', bits: 8, group: 32, hasZeros: true, experts: 'fused' }, 'int8_32'],
  [{ format: 'awq', group: 64, hasZeros: true, scales: 'F16' }, 'int4_32'],
  [{ format: 'awq', group: 'row', hasZeros: true, scales: 'F16' }, 'int4_128', 'int4_32'],
  [{ format: 'gptq', index: 'in order', group: 128, scales: 'F16' }, 'int4_128', 'int4_32'],
  [{ format: 'gptq', bits: 8, hasZeros: true, scales: 'F16' }, 'int8_32'],
  [{ format: 'gptq', index: 'shuffled', scales: 'F16' }, 'f32'],
  [{ format: 'gptq_v2', bits: 4, hasZeros: true, scales: 'F16' }, 'int4_32'],
  [{ format: 'nvfp4-pack-quantized' }, 'fp4_64'],
  [{ format: 'modelopt' }, 'fp4_64'],
  [{ format: 'mxfp4-pack-quantized' }, 'mxfp4'],
  [{ format: 'mxfp4-pack-quantized', experts: 'fused' }, 'mxfp4'],
];

function nameOf({ format, bits = 4, group = 32, hasZeros, hasByteZeros, index, experts }: PackedForm): string {
  const isFloat = /fp4|modelopt/.test(format);
  const more = [hasZeros && 'zeros', hasByteZeros && 'in bytes', index, experts].filter(Boolean).join(', ');
  return `${format}${isFloat ? '' : `, ${bits} bits, ${group}`}${more === '' ? '' : `, ${more}`}`;
}

for (const [form, ...types] of forms)
  test(`${nameOf(form)}: the logits of the values that the format defines`, async (t) => {
    const { folder, plainFolder, plain } = await bothWays(t, form);
    // The factor times a scale takes more digits than f32 has.
    await checkLogits(t, folder, plainFolder, plain, /nvfp4|modelopt/.test(form.format) ? 3e-6 : 0);
    const { description } = await openModelFolder(folder);
    const held = new Set(description.tensors.flatMap(({ type, packed }) => (packed ? type : [])));
    t.deepEqual([...held].sort(), types.sort(), 'the types that they are held in');
  });

test('sizes that fill no word, in every way to pack', async (t) => {
  const ragged = makeRandomModel({ ...config, intermediate_size: 100, moe_intermediate_size: 36 }, 4);
  const several: PackedForm[] = [
    { format: 'pack-quantized', group: 'row', hasZeros: true },
    { format: 'int-quantized', bits: 8, group: 'row', hasZeros: true, experts: 'fused' },
    { format: 'awq', group: 'row', hasZeros: true },
    { format: 'gptq', group: 'row', bits: 8, hasZeros: true },
  ];
  for (const form of several) {
    t.comment(nameOf(form));
    const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
    const plain = await writePackedModel(folder, ragged, form);
    writePlain(plainFolder, plain);
    await checkLogits(t, folder, plainFolder, plain);
  }
});

test('other families under their own names', async (t) => {
  const several: [Partial<HfConfig>, PackedForm][] = [
    [
      { ...sisterConfigs.exaone3, hidden_size: 96, num_attention_heads: 6 },
      { format: 'awq', hasZeros: true, scales: 'F16' },
    ],
    [{ ...sisterConfigs.exaone45, hidden_size: 64, num_attention_heads: 4 }, { format: 'pack-quantized' }],
  ];
  for (const [shape, form] of several) {
    const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
    writePlain(plainFolder, makeRandomModel(shape, 5));
    const stored = readHfModel(plainFolder);
    const isMatrix = (module: string) => /layers.*_proj$|\.h\..*(_proj|c_fc_\d)$/.test(module);
    const { files, plain } = packModel(stored, (module) => (isMatrix(module) ? form : null));
    await writePackedFolder(folder, stored, files, packedConfig(form));
    const values = Array.from(plain.tensors, ([name, { shape: sizes, data }]) => {
      return [name, { dtype: 'F32', shape: sizes, data: Buffer.from(Float32Array.from(data).buffer) }] as const;
    });
    await writeSafetensors(join(plainFolder, 'model.safetensors'), Object.fromEntries(values));
    const ids = randomIds(8, 200, 5);
    const made = await Promise.all(
      [folder, plainFolder].map(async (path) => {
        const model = await openModel(t, path, { contextSize: 16, onWarning: () => {} });
        return (await model.forward(ids)).logits;
      }),
    );
    t.ok(isSame(made[0], made[1]), `${shape.model_type}: the logits of its values`);
    const { description } = await openModelFolder(folder);
    t.ok(description.tensors.filter(({ type }) => type === 'int4_32').length >= 28, 'and its matrices are packed');
  }
});

test('a session of a packed model is saved and loaded', async (t) => {
  const { folder } = await bothWays(t, { format: 'gptq', index: 'shuffled', scales: 'F16' });
  const model = await openModel(t, folder, { contextSize: 64 });
  const options = { temperature: 0, maxTokens: 6, ignoreEos: true } as const;
  const session = model.createSession();
  const first = await session.generate([1, 2, 3], options);
  const path = join(folder, 'session.kexa');
  await session.save(path);
  const loaded = await model.loadSession(path);
  const ids = [1, 2, 3, ...first.ids, 4];
  const [wanted, found] = [await session.generate(ids, options), await loaded.generate(ids, options)];
  t.deepEqual(found.ids, wanted.ids, 'and goes on the same');
});

test('what older tools wrote beside config.json', async (t) => {
  const beside: [PackedForm, string, Record<string, unknown>][] = [
    [
      { format: 'modelopt' },
      'hf_quant_config.json',
      {
        producer: { name: 'modelopt', version: '0.23.0' },
        quantization: { quant_algo: 'NVFP4', kv_cache_quant_algo: 'FP8', group_size: 16, exclude_modules: ['lm_head'] },
      },
    ],
    [{ format: 'gptq' }, 'quantize_config.json', { bits: 4, group_size: 32, desc_act: false, sym: true }],
    [
      { format: 'awq', hasZeros: true },
      'quant_config.json',
      { zero_point: true, q_group_size: 32, w_bit: 4, version: 'GEMM' },
    ],
  ];
  for (const [form, name, content] of beside) {
    const { folder } = await bothWays(t, form);
    const own = await openModelFolder(folder);
    const { quantization_config: _, ...bare } = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'));
    await writeFile(join(folder, 'config.json'), JSON.stringify(bare));
    await writeFile(join(folder, name), JSON.stringify(content));
    const found = await openModelFolder(folder);
    t.deepEqual(found.description, own.description, `${name}: the same weights`);
    t.ok(
      found.notes.some(({ message }) => message.includes(`that of ${name} is taken`)),
      'which is told',
    );
  }
});

test('groups of several formats in one config, and modules that are stored whole', async (t) => {
  const isAttention = (module: string) => /self_attn\.._proj$/.test(module);
  const isWhole = (module: string) => !/^model\.layers\.1\.(self_attn|mlp\.(experts|shared))/.test(module);
  const form: PackedForm = { format: 'pack-quantized', bits: 8, hasZeros: true };
  const inFp8 = quantizeToFp8(random, {
    strategy: 'channel',
    method: 'compressed-tensors',
    scales: 'BF16',
    stays: (module) => isWhole(module) || !isAttention(module),
  });
  const packed = packModel(inFp8.plain, (module) => (isWhole(module) || isAttention(module) ? null : form));
  const fp8Files = Object.entries(inFp8.files).filter(([name]) => /^model\.layers\.1\.self_attn\.._proj/.test(name));
  const weights = { num_bits: 8, type: 'float', symmetric: true, dynamic: false, strategy: 'channel' };
  const fp8Group = { targets: ['re:.*self_attn.*'], format: 'float-quantized', weights };
  const quantization = {
    ...packedConfig(form),
    format: 'mixed-precision',
    ignore: ['re:model\\.layers\\.0\\..*', 're:mtp\\..*', 'lm_head'],
    config_groups: { group_0: fp8Group, group_1: packedGroup(form, ['Linear']) },
  };
  const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
  await writePackedFolder(folder, random, { ...packed.files, ...Object.fromEntries(fp8Files) }, quantization);
  writePlain(plainFolder, packed.plain);
  await checkLogits(t, folder, plainFolder, packed.plain);
  const { description } = await openModelFolder(folder);
  const types = new Set(description.tensors.map(({ type }) => type));
  t.deepEqual([...types].sort(), ['f32', 'f8_e4m3', 'int8_32'], 'each in its own type');
});

test('weights of another type, and files of kexa quantize, are made from the exact values', async (t) => {
  const several: PackedForm[] = [
    { format: 'pack-quantized', hasZeros: true },
    { format: 'awq', hasZeros: true, scales: 'F16' },
    { format: 'gptq', index: 'shuffled', scales: 'F16' },
    { format: 'mxfp4-pack-quantized' },
  ];
  for (const form of several) {
    const { folder, plainFolder } = await bothWays(t, form);
    const ids = randomIds(8, 150, 5);
    const made = await Promise.all(
      [folder, plainFolder].map(async (path) => {
        const model = await openModel(t, path, { weights: 'q8', contextSize: 16 });
        const out = join(path, 'out.gguf');
        const report = await quantizeFolder(path, out, { recipe: recipes.q4 });
        return { logits: (await model.forward(ids)).logits, report, tensors: readGguf(out).tensors };
      }),
    );
    const [found, wanted] = [made[0]!, made[1]!];
    t.ok(isSame(found.logits, wanted.logits), `${nameOf(form)}: the logits with weights: 'q8'`);
    const differing = [...wanted.tensors].filter(([name, { bytes }]) => !bytes.equals(found.tensors.get(name)!.bytes));
    t.deepEqual(
      differing.map(([name]) => name),
      [],
      'every tensor of the file',
    );
    t.ok(found.report.packedTensors > 20, 'and the report says how many were packed');
  }
});

test('memory is planned as it is taken, from the config alone too', async (t) => {
  for (const form of [forms[1]![0], forms[11]![0], forms[12]![0], forms[18]![0], forms[20]![0]]) {
    const { folder } = await bothWays(t, { ...form, experts: 'separate' });
    const { description } = await openModelFolder(folder);
    const isPacked = ({ packed }: (typeof description)['tensors'][number]) => packed !== undefined;
    const bytesOf = (wanted: typeof description.tensors) => wanted.reduce((sum, { bytes }) => sum + bytes, 0);
    const plainBytes = bytesOf(description.tensors.filter((tensor) => !isPacked(tensor)));
    const whole = planMemory(description, { contextSize: 64 });
    t.equal(whole.weights.mapped, plainBytes, `${nameOf(form)}: what is repacked is not read in place`);
    t.equal(whole.weights.total, bytesOf(description.tensors), 'and counts with its own bytes');
    // A config tells of BF16 where this folder has F32.
    const planned = planMemory((await readConfigOnly(folder)).shape, { contextSize: 64 });
    t.equal(planned.weights.total, whole.weights.total - plainBytes / 2, 'the config alone says the same');
    const model = await openModel(t, folder, { contextSize: 64 });
    t.equal(model.memory.weights.total, whole.weights.total, 'and so does the loaded model');
  }
});

test('the commands tell what is packed', async (t) => {
  const { folder } = await bothWays(t, { format: 'pack-quantized', index: 'shuffled', hasZeros: true });
  const { stdout } = await kexa(['inspect', folder]);
  t.match(stdout, /stored in pack-quantized \(4 bits, groups of 32, zero points, columns reordered\)/, 'the format');
  t.match(stdout, /held in f32, as the columns of their groups are not side by side/, 'and what takes more memory');
  const quantized = await kexa(['quantize', folder, join(folder, 'out.gguf'), '--recipe', 'q8']);
  t.match(quantized.stdout, /\d+ matrices were in int4, int8 or fp4: what they had lost is lost here too/, 'quantize');
});

const small = makeRandomModel(
  { ...config, num_hidden_layers: 1, layer_types: ['full_attention'], vocab_size: 60, num_nextn_predict_layers: 0 },
  3,
);
const module = 'model.layers.0.self_attn.q_proj';

/** A small folder in a form. `change` gets its tensors by name and its quantization_config. */
async function changed(
  t: Test,
  form: PackedForm,
  change: (files: Record<string, TensorToWrite>, quantization: Record<string, unknown>) => void,
): Promise<string> {
  const folder = await newFolder(t);
  const { files } = packModel(small, (name) => (/_proj$/.test(name) ? form : null));
  const quantization = packedConfig(form);
  change(files, quantization);
  await writePackedFolder(folder, small, files, quantization);
  return folder;
}

/** A part of a module in a form: its bytes as they are in the small folder, some of them set. */
type Damage = [form: PackedForm, part: string, offset: number, bytes: number[], ...words: string[]];

const int4: PackedForm = { format: 'pack-quantized', hasZeros: true };
const damages: Damage[] = [
  [int4, 'weight_scale', 0, [0xc0, 0x7f], 'finite scales of 0 or more', 'found NaN for row and group [0, 0]'],
  [int4, 'weight_scale', 10, [0x80, 0x7f], 'found infinity for row and group [1, 1]'],
  [int4, 'weight_scale', 2, [0x80, 0xbf], 'found -1.000000 for row and group [0, 1]'],
  [int4, 'weight_shape', 0, [64], 'wanted [128, 128], found [64, 128]'],
  [{ ...int4, hasByteZeros: true }, 'weight_zero_point', 1, [8], 'zeros from 0 to 15', 'found 16', '[0, 1]'],
  [{ ...int4, index: 'shuffled' }, 'weight_g_idx', 4, [4, 0, 0, 0], 'groups from 0 to 3', '4 for column 1'],
  [{ ...int4, index: 'in order' }, 'weight_g_idx', 0, [1, 0, 0, 0], '32 columns in group 0, found 31'],
  [{ format: 'gptq' }, 'qzeros', 0, [0x7f], 'zeros from 0 to 15', 'found 16', '[0, 0]', 'gptq_v2'],
  [{ format: 'awq', hasZeros: true }, 'scales', 2, [0xc0, 0x7f], 'found NaN for row and group [1, 0]'],
  [{ format: 'nvfp4-pack-quantized' }, 'weight_scale', 8, [0x7f], 'found NaN for row and group [1, 0]'],
  [{ format: 'nvfp4-pack-quantized' }, 'weight_global_scale', 0, [0, 0, 0, 0], 'a finite factor above 0', '0.000000'],
  [{ format: 'modelopt' }, 'weight_scale_2', 0, [0, 0, 0xc0, 0x7f], 'a finite factor above 0', 'nan'],
  [{ format: 'mxfp4-pack-quantized' }, 'weight_scale', 0, [255], 'found NaN for row and group [0, 0]'],
];

test('scales, zeros, factors, shapes and groups that are damaged', async (t) => {
  for (const [form, part, offset, bytes, ...words] of damages) {
    const folder = await changed(t, form, (files) => files[`${module}.${part}`]!.data.set(bytes, offset));
    for (const weights of ['auto', 'q8'] as const)
      await refuses(t, 'KEXA_BAD_FILE', [`${module}.${part}: wanted`, ...words, 'model.safetensors'], () =>
        loadModel(folder, { weights, contextSize: 16 }),
      );
    await refuses(t, 'KEXA_BAD_FILE', [`${module}.${part}`], () =>
      quantizeFolder(folder, join(folder, 'out.gguf'), { recipe: recipes.q8 }),
    );
  }
});

test('parts that are missing, too many, or of another shape or type', async (t) => {
  const bad = async (form: PackedForm, part: string, tensor: TensorToWrite | null, ...words: string[]) => {
    const name = `${module}.${part}`;
    const folder = await changed(t, form, (files) => {
      if (tensor === null) delete files[name];
      else files[name] = tensor;
    });
    const code = words[0]!.startsWith('KEXA_') ? words.shift()! : 'KEXA_TENSOR_MISMATCH';
    await refuses(t, code, [name, ...words, '\n  in model.safetensors'], () => openModelFolder(folder));
  };
  const tensor = (dtype: string, shape: number[], size: number) => ({
    dtype,
    shape,
    data: Buffer.alloc(shape.reduce((a, b) => a * b, size)),
  });
  const of = `of ${module}.weight`;
  await bad(int4, 'weight_scale', null, `wanted bf16 or f16 or f32 [128, 4], the scales ${of}, found nothing`);
  await bad(int4, 'weight_scale', tensor('BF16', [4, 128], 2), 'found bf16 [4, 128]');
  await bad(int4, 'weight_scale', tensor('F8_E4M3', [128, 4], 1), 'found f8_e4m3 [128, 4]');
  await bad(int4, 'weight_packed', tensor('I32', [128, 15], 4), `wanted i32 [128, 16], the codes ${of}`);
  await bad(int4, 'weight_zero_point', null, `wanted i32 [16, 4], the zero points ${of}, found nothing`);
  await bad(int4, 'weight_shape', tensor('I64', [3], 8), 'wanted i64 [2]');
  await bad(
    { ...int4, hasZeros: false },
    'weight_zero_point',
    tensor('I8', [128, 4], 1),
    'KEXA_UNSUPPORTED',
    'no use for',
  );
  await bad(int4, 'weight', tensor('BF16', [128, 128], 2), 'KEXA_UNSUPPORTED', 'no use for');
  await bad({ ...int4, index: 'shuffled' }, 'weight_g_idx', null, `wanted i32 [128], the groups of the columns ${of}`);
  await bad({ format: 'gptq', index: 'shuffled' }, 'g_idx', null, 'wanted i32 [128]', 'found nothing');
  await bad({ format: 'gptq' }, 'qweight', tensor('I32', [128, 16], 4), 'wanted i32 [16, 128]');
  await bad({ format: 'awq', hasZeros: true }, 'qweight', tensor('I32', [16, 128], 4), 'wanted i32 [128, 16]');
  await bad({ format: 'awq', hasZeros: true }, 'qzeros', null, 'wanted i32 [4, 16]', 'found nothing');
  await bad({ format: 'nvfp4-pack-quantized' }, 'weight_global_scale', null, 'wanted f32 [1]', 'found nothing');
  await bad({ format: 'int-quantized', bits: 8 }, 'weight', tensor('I8', [128, 64], 1), 'wanted i8 [128, 128]');
  const uneven = await changed(t, int4, (_, quantization) => {
    const group = packedGroup(int4, ['Linear']);
    quantization.config_groups = { group_0: { ...group, weights: { ...group.weights, group_size: 48 } } };
  });
  await refuses(t, 'KEXA_UNSUPPORTED', [module, '128 columns in groups of 48', 'bf16 model'], () =>
    openModelFolder(uneven),
  );
});

/** Fields that other programs write, and that change nothing. */
const passed: [PackedForm, Record<string, unknown>][] = [
  [{ format: 'awq' }, { format: 'gemm', checkpoint_format: 'gemm', method: 'awq', pack_dtype: 'int32', sym: true }],
  [{ format: 'awq' }, { version: 'GEMM', do_fuse: false, modules_to_not_convert: null }],
  [{ format: 'gptq' }, { autoround_version: '0.4', data_type: 'int', iters: 200, nsamples: 128, seqlen: 2048 }],
  [{ format: 'gptq' }, { use_exllama: true, exllama_config: { version: 1 }, tokenizer: null, damp_percent: 0.1 }],
  [{ format: 'modelopt' }, { kv_cache_scheme: { num_bits: 8, type: 'float', dynamic: false } }],
  [int4, { sparsity_config: { format: 'dense', ignore: [] }, global_compression_ratio: 1.5 }],
];

/** A form's quantization_config with some fields changed, and what the refusal says. */
const refusals: [PackedForm, Record<string, unknown>, ...string[]][] = [
  [{ format: 'awq' }, { version: 'gemv' }, 'version "gemv"', '"gemm" only', 'bf16 model'],
  [{ format: 'awq' }, { version: 'marlin' }, 'version "marlin"'],
  [{ format: 'awq' }, { bits: 8 }, 'bits 8'],
  [{ format: 'awq' }, { zero_point: false }, 'zero_point false'],
  [{ format: 'awq' }, { pre_scale: 2 }, 'pre_scale'],
  [{ format: 'gptq' }, { bits: 3 }, 'bits 3'],
  [{ format: 'gptq' }, { checkpoint_format: 'marlin' }, 'checkpoint_format "marlin"', '"gptq" and "gptq_v2"'],
  [{ format: 'gptq' }, { pack_dtype: 'int16' }, 'pack_dtype "int16"'],
  [{ format: 'gptq' }, { data_type: 'fp' }, 'data_type "fp"'],
  [{ format: 'awq' }, { checkpoint_format: 'gemv_fast' }, 'checkpoint_format "gemv_fast"', '"gemm" only'],
  [{ format: 'gptq' }, { dynamic: { '+:.*down.*': { bits: 8 } } }, 'dynamic "+:.*down.*"', 'stored alike'],
  [{ format: 'gptq' }, { adapter: { rank: 8 } }, 'adapter'],
  [{ format: 'gptq' }, { is_marlin_format: true }, 'is_marlin_format'],
  [{ format: 'modelopt' }, { quant_algo: 'W4A8_AWQ' }, 'quant_algo "W4A8_AWQ"', '"NVFP4"'],
  [{ format: 'modelopt' }, { group_size: 32 }, 'group_size 32'],
  [int4, { format: 'marlin-24' }, 'format "marlin-24"'],
  [int4, { sparsity_config: { format: 'sparse-bitmask' } }, 'sparsity_config.format "sparse-bitmask"', '"dense"'],
  [int4, { transform_config: { config_groups: 1 } }, 'transform_config'],
  [int4, { quant_method: 'bitsandbytes' }, 'bitsandbytes', 'are not read', 'use the bf16 model'],
  [int4, { quant_method: 'hqq' }, 'hqq', 'use the bf16 model'],
];
const weightRefusals: [PackedForm, Record<string, unknown>, ...string[]][] = [
  [int4, { num_bits: 3 }, 'num_bits 3', '4 or 8'],
  [int4, { type: 'float' }, 'type "float"'],
  [int4, { dynamic: true }, 'dynamic true'],
  [int4, { strategy: 'block', block_structure: [128, 128] }, 'strategy "block"'],
  [int4, { actorder: 'other' }, 'actorder "other"', '"static"'],
  [int4, { block_structure: [2, 2] }, 'block_structure'],
  [{ format: 'nvfp4-pack-quantized' }, { group_size: 32 }, 'group_size 32'],
  [{ format: 'nvfp4-pack-quantized' }, { symmetric: false }, 'symmetric false'],
  [{ format: 'mxfp4-pack-quantized' }, { num_bits: 8 }, 'num_bits 8'],
];

test('what quantization_config may say', async (t) => {
  const refused = async (quantization: Record<string, unknown>, words: string[]) => {
    const folder = await newFolder(t);
    await writePackedFolder(folder, small, {}, quantization);
    await refuses(t, 'KEXA_UNSUPPORTED', [...words, 'config.json'], () => readConfigOnly(folder));
  };
  for (const [form, changes] of passed) {
    const folder = await newFolder(t);
    await writePackedFolder(folder, small, {}, { ...packedConfig(form), ...changes });
    const { shape } = await readConfigOnly(folder);
    t.ok(shape.quantization, `${form.format}: ${Object.keys(changes).join(', ')}`);
  }
  for (const [form, changes, ...words] of refusals) await refused({ ...packedConfig(form), ...changes }, words);
  for (const [form, changes, ...words] of weightRefusals) {
    const group = packedGroup(form, ['Linear']);
    const groups = { group_0: { ...group, weights: { ...group.weights, ...changes } } };
    await refused({ ...packedConfig(form), config_groups: groups }, words);
  }
});

async function checkLogits(t: Test, folder: string, plainFolder: string, plain: HfModel, most = 0): Promise<void> {
  const ids = randomIds(20, 150, 3);
  const [found, wanted] = await Promise.all(
    [folder, plainFolder].map(async (path) => {
      const model = await openModel(t, path, { prefillChunk: 16, contextSize: 64 });
      return await model.forward(ids, { mtp: true });
    }),
  );
  const near = rowDifference(found!.logits, wanted!.logits, 150);
  t.ok(near <= most, `those of the values in f32 within ${show(near)}`);
  const drafts = rowDifference(found!.mtpLogits!, wanted!.mtpLogits!, 150);
  t.ok(drafts <= most, `MTP logits within ${show(drafts)}`);
  const rows = reference(plain.config, plain.tensors, ids).logits;
  const far = rowDifference(
    found!.logits,
    rows.flatMap((row) => [...row]),
    150,
  );
  t.ok(far < 1e-5, `the reference's logits in float64 within ${show(far)}`);
}

/** A random model in a form, and the folder of the same values in F32. */
async function bothWays(t: Test, form: PackedForm): Promise<{ folder: string; plainFolder: string; plain: HfModel }> {
  const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
  const plain = await writePackedModel(folder, random, form);
  writePlain(plainFolder, plain);
  return { folder, plainFolder, plain };
}

/** Writes the values in F32. */
function writePlain(folder: string, plain: HfModel): void {
  const tensors = new Map(
    Array.from(plain.tensors, ([name, { shape, data }]) => [name, { shape, data: data.map(Math.fround) }]),
  );
  const options = { dtype: 'F32', experts: 'separate', biasUnderGate: false, shards: 1 } as const;
  writeRandomModel(folder, { ...plain, tensors }, options);
}
