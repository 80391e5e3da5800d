import { open, stat } from 'node:fs/promises';
import test from 'tape';
import { openModelFolder, readConfigOnly } from '../../lib/files/model-folder.js';
import { wantedTensors } from '../../lib/files/wanted-tensors.js';
import { fullSizeConfigFolder, modelFolder } from '../support/models.js';
import { type TensorToWrite, zeros } from '../support/safetensors-writer.js';
import {
  exaone4Config,
  exaone4Tensors,
  moeConfig,
  moeTensors,
  refuses,
  type Tensors,
  writeModel,
} from '../support/small-model.js';

test('every tensor is bound under the core’s name', async (t) => {
  const folder = await writeModel(t, moeConfig(), moeTensors());
  const { description, config } = await openModelFolder(folder);
  const shapes = new Map(description.tensors.map(({ name, shape }) => [name, shape]));
  t.equal(shapes.size, Object.keys(moeTensors()).length);
  t.deepEqual(shapes.get('embed'), [10, 8]);
  t.deepEqual(shapes.get('head'), [10, 8]);
  t.deepEqual(shapes.get('layers.0.gate'), [6, 8]);
  t.deepEqual(shapes.get('layers.3.experts.3.down'), [8, 3]);
  t.deepEqual(shapes.get('layers.1.shared.up'), [3, 8]);
  t.deepEqual(shapes.get('mtp.fc'), [8, 16]);
  t.deepEqual(shapes.get('mtp.layer.ffn_norm'), [8]);
  const elements = Object.values(moeTensors()).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
  t.equal(config.parameters, elements);
  const bias = description.tensors.find(({ name }) => name === 'layers.1.router_bias');
  t.deepEqual([bias?.type, bias?.bytes], ['f32', 16]);
});

test('a pre-norm layer’s norms stand before its parts, a post-norm layer’s after', async (t) => {
  const pre = moeTensors();
  const post = exaone4Tensors();
  pre['model.layers.0.input_layernorm.weight'] = filled(8, 1);
  pre['model.layers.0.post_attention_layernorm.weight'] = filled(8, 2);
  post['model.layers.0.post_attention_layernorm.weight'] = filled(8, 3);
  post['model.layers.0.post_feedforward_layernorm.weight'] = filled(8, 4);
  const preFolder = await writeModel(t, moeConfig(), pre);
  const postFolder = await writeModel(t, exaone4Config(), post);
  t.equal(await firstElement(preFolder, 'layers.0.attention_norm'), 1);
  t.equal(await firstElement(preFolder, 'layers.0.ffn_norm'), 2);
  t.equal(await firstElement(postFolder, 'layers.0.attention_norm'), 3);
  t.equal(await firstElement(postFolder, 'layers.0.ffn_norm'), 4);
  const { description, config } = await openModelFolder(postFolder);
  t.equal(description.normPlacement, 'post');
  t.notOk(
    description.tensors.some(({ name }) => name === 'head'),
    'a tied head has no tensor of its own',
  );
  t.ok(config.activeParameters < config.parameters && config.activeParameters > 80, 'but counts as read');
});

test('fused experts are split into the same entries as separate ones', async (t) => {
  for (const suffix of ['', '.weight']) {
    const tensors = moeTensors();
    for (const layer of [1, 2, 3]) fuse(tensors, `model.layers.${layer}.mlp.`, suffix);
    const fused = await openModelFolder(await writeModel(t, moeConfig(), tensors));
    const separate = await openModelFolder(await writeModel(t, moeConfig(), moeTensors()));
    const meaning = ({ description }: typeof fused) =>
      description.tensors.map(({ name, bytes, shape, type }) => ({ name, bytes, shape, type }));
    t.deepEqual(meaning(fused), meaning(separate), `with suffix "${suffix}"`);
    const part = async (name: string) => await firstElement(fused.folder, `layers.2.experts.${name}`);
    // fuse() numbers the elements: gate and up are [4, 2 * 3, 8], down is [4, 8, 3].
    t.equal(await part('0.gate'), 0);
    t.equal(await part('0.up'), 24);
    t.equal(await part('3.gate'), 3 * 48);
    t.equal(await part('3.up'), 3 * 48 + 24);
    t.equal(await part('2.down'), 2 * 24);
  }
});

test('the correction bias is found in both places', async (t) => {
  const tensors = moeTensors();
  for (const layer of [1, 2, 3]) {
    rename(
      tensors,
      `model.layers.${layer}.mlp.e_score_correction_bias`,
      `model.layers.${layer}.mlp.gate.e_score_correction_bias`,
    );
  }
  const { description } = await openModelFolder(await writeModel(t, moeConfig(), tensors));
  t.equal(description.tensors.filter(({ name }) => name.endsWith('.router_bias')).length, 3);
});

test('a tensor of another shape or type is refused with both sides and the file', async (t) => {
  const bad = async (name: string, tensor: TensorToWrite, ...words: string[]) => {
    const folder = await writeModel(t, moeConfig(), { ...moeTensors(), [name]: tensor });
    await refuses(t, 'KEXA_TENSOR_MISMATCH', [`${name}: wanted`, '\n  in model.safetensors', ...words], () =>
      openModelFolder(folder),
    );
  };
  await bad(
    'model.layers.3.mlp.gate.weight',
    zeros('F8_E4M3', [8, 4]),
    'model.layers.3.mlp.gate.weight: wanted bf16, f16 or f32 [4, 8], found f8_e4m3 [8, 4]',
  );
  await bad('model.embed_tokens.weight', zeros('BF16', [11, 8]), '[10, 8]', 'bf16 [11, 8]');
  await bad('mtp.fc.weight', zeros('BF16', [16, 8]), '[8, 16]', 'bf16 [16, 8]');
  await bad('model.norm.weight', zeros('BF16', [8, 1]), '[8]', 'bf16 [8, 1]');
  await bad('lm_head.weight', { dtype: 'I16', shape: [10, 8], data: Buffer.alloc(160) }, 'i16 [10, 8]');
  const tensors = moeTensors();
  fuse(tensors, 'model.layers.1.mlp.', '');
  tensors['model.layers.1.mlp.experts.gate_up_proj'] = zeros('BF16', [4, 8, 6]);
  const folder = await writeModel(t, moeConfig(), tensors);
  await refuses(t, 'KEXA_TENSOR_MISMATCH', ['gate_up_proj: wanted', '[4, 6, 8]', 'found bf16 [4, 8, 6]'], () =>
    openModelFolder(folder),
  );
});

test('f16 and f32 weights are as good as bf16', async (t) => {
  const tensors = { ...moeTensors(), 'mtp.norm.weight': zeros('F32', [8]), 'lm_head.weight': zeros('F16', [10, 8]) };
  const { description } = await openModelFolder(await writeModel(t, moeConfig(), tensors));
  const type = (wanted: string) => description.tensors.find(({ name }) => name === wanted)?.type;
  t.deepEqual([type('mtp.norm'), type('head'), type('norm')], ['f32', 'f16', 'bf16']);
});

test('a missing tensor is named, with its shape and where it was looked for', async (t) => {
  for (const name of Object.keys(moeTensors())) {
    // Without the MTP block a model runs all the same.
    if (name.startsWith('mtp.')) continue;
    // The many experts are alike.
    if (name.includes('experts.') && !name.includes('layers.2.mlp.experts.2.')) continue;
    const tensors = moeTensors();
    const shape = tensors[name]!.shape.join(', ');
    delete tensors[name];
    const folder = await writeModel(t, moeConfig(), tensors);
    await refuses(t, 'KEXA_TENSOR_MISMATCH', [name, `[${shape}]`, 'found nothing', 'looked in model.safetensors'], () =>
      openModelFolder(folder),
    );
  }
});

test('weights that the model has no use for are refused when they could matter', async (t) => {
  const withExtra = (name: string) => writeModel(t, moeConfig(), { ...moeTensors(), [name]: zeros('BF16', [8]) });
  const harmful = [
    'model.layers.0.self_attn.q_proj.bias',
    'model.layers.4.input_layernorm.weight',
    'model.layers.1.mlp.experts.4.gate_proj.weight',
    'model.layers.1.mlp.gate.e_score_correction_bias',
    'lm_head.bias',
  ];
  for (const name of harmful) {
    const folder = await withExtra(name);
    await refuses(t, 'KEXA_UNSUPPORTED', [`${name}: bf16 [8]`, 'in model.safetensors'], () => openModelFolder(folder));
  }
  for (const name of ['model.layers.0.self_attn.rotary_emb.inv_freq', 'vision_tower.x']) {
    t.ok((await openModelFolder(await withExtra(name))).description, `${name} is let through`);
  }
  const { description, notes } = await openModelFolder(await withExtra('mtp.layers.1.input_layernorm.weight'));
  t.ok(description.mtp !== null, 'what drafts changes no answer');
  t.deepEqual(notes, [{ code: null, message: 'not used for drafts: mtp.layers.1.input_layernorm.weight' }]);
});

test('a tied head ignores a head that is there anyway', async (t) => {
  const tensors = { ...exaone4Tensors(), 'lm_head.weight': zeros('BF16', [10, 8]) };
  const { description } = await openModelFolder(await writeModel(t, exaone4Config(), tensors));
  t.ok(description.tiedHead && !description.tensors.some(({ name }) => name === 'head'));
});

test('a model without its MTP block, or with a part of it, loads without drafts and says so', async (t) => {
  const without: Tensors = Object.fromEntries(
    Object.entries(moeTensors()).filter(([name]) => !name.startsWith('mtp.')),
  );
  const warned = async (tensors: Tensors, what: string) => {
    const { description, config, notes } = await openModelFolder(await writeModel(t, moeConfig(), tensors));
    t.equal(description.mtp, null, what);
    t.equal(config.mtpParameters, 0);
    t.ok(!description.tensors.some(({ name }) => name.startsWith('mtp.')));
    t.equal(notes[0]?.code, 'KEXA_NO_DRAFTS');
    t.ok(notes[0]?.message.includes(what), notes[0]?.message);
  };
  await warned(without, 'the tensors of the MTP block are missing');
  for (const name of ['mtp.norm.weight', 'mtp.layers.0.mlp.up_proj.weight']) {
    const { [name]: _, ...others } = moeTensors();
    await warned(others, `${name} of the MTP block is missing`);
  }
  const mistyped = { ...moeTensors(), 'mtp.norm.weight': zeros('BF16', [9]) };
  await refuses(t, 'KEXA_TENSOR_MISMATCH', ['mtp.norm.weight', '[8]', '[9]'], async () =>
    openModelFolder(await writeModel(t, moeConfig(), mistyped)),
  );
  const silent = moeConfig({ num_nextn_predict_layers: undefined });
  const plain = await openModelFolder(await writeModel(t, silent, without));
  t.equal(plain.description.mtp, null);
  t.equal(plain.config.mtpParameters, 0);
  t.deepEqual(plain.notes, [], 'an old config that leaves it open is no fault');
  t.ok((await openModelFolder(await writeModel(t, silent, moeTensors()))).description.mtp);
  const off = await openModelFolder(await writeModel(t, moeConfig({ num_nextn_predict_layers: 0 }), moeTensors()));
  t.equal(off.description.mtp, null, 'and left alone when the config turns it off');
});

test('the full-size model wants as many tensors as its release has', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  t.equal([...wantedTensors(shape)].length, 18_688);
});

test('the bytes of every bound tensor lie inside its file', async (t) => {
  for (const name of ['tiny', 'wide', 'edge', 'two'] as const) {
    const { description } = await openModelFolder(modelFolder(name));
    const sizes = await Promise.all(description.files.map(sizeOf));
    const outside = description.tensors.filter(({ file, offset, bytes }) => offset + bytes > sizes[file]!);
    t.deepEqual(outside, [], name);
  }
});

/** A bf16 vector of one value, which must be exact in bf16. */
function filled(length: number, value: number): TensorToWrite {
  return { dtype: 'BF16', shape: [length], data: bf16(new Array<number>(length).fill(value)) };
}

/** Replaces a layer's experts by fused tensors whose elements are numbered from 0, exactly up to 256. */
function fuse(tensors: Tensors, from: string, suffix: string): void {
  for (const name of Object.keys(tensors)) if (name.startsWith(`${from}experts.`)) delete tensors[name];
  const numbered = (shape: number[]): TensorToWrite => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { dtype: 'BF16', shape, data: bf16(Array.from({ length: count }, (_, i) => i)) };
  };
  tensors[`${from}experts.gate_up_proj${suffix}`] = numbered([4, 6, 8]);
  tensors[`${from}experts.down_proj${suffix}`] = numbered([4, 8, 3]);
}

function bf16(values: number[]): Buffer {
  const data = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => {
    const wide = Buffer.alloc(4);
    wide.writeFloatLE(value);
    wide.copy(data, i * 2, 2, 4);
  });
  return data;
}

function rename(tensors: Tensors, from: string, to: string): void {
  tensors[to] = tensors[from]!;
  delete tensors[from];
}

/** The first element of a bound bf16 tensor, read from its file. */
async function firstElement(folder: string, name: string): Promise<number> {
  const { description } = await openModelFolder(folder);
  const entry = description.tensors.find((tensor) => tensor.name === name)!;
  const file = await open(description.files[entry.file]!);
  const wide = Buffer.alloc(4);
  await file.read(wide, 2, 2, entry.offset);
  await file.close();
  return wide.readFloatLE();
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size;
}
