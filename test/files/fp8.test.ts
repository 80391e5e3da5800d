// Folders in FP8: every byte's value, every form that scales come in, and what is refused.
import { readFileSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { openModelFolder, readConfigOnly } from '../../lib/files/model-folder.js';
import { loadModel, type Model } from '../../lib/index.js';
import {
  checkPlanOptions,
  longestContext,
  MemoryPlanner,
  planMemory,
  usableShare,
} from '../../lib/plan/memory-plan.js';
import { planned as planOf } from '../../lib/plan/planned.js';
import { recipes } from '../../lib/plan/recipes.js';
import { quantizeModel as quantizeFolder } from '../../lib/quantize/quantize-model.js';
import { kexa } from '../support/cli.js';
import { isSame, openModel, randomIds, randomNumbers, rowDifference, show } from '../support/compare.js';
import {
  blockOf,
  e4m3Code,
  e4m3Value,
  type Fp8Options,
  quantizationConfig,
  type Strategy,
  writeFp8Model,
} from '../support/fp8-model.js';
import { readGguf } from '../support/gguf-file.js';
import { type HfModel, modelFolder, readHfModel } from '../support/goldens.js';
import { makeRandomModel, writeRandomModel } from '../support/random-model.js';
import { type HfConfig, reference } from '../support/reference.js';
import { type TensorToWrite, zeros } from '../support/safetensors-writer.js';
import {
  type Config,
  moeConfig,
  moeTensors,
  newFolder,
  refuses,
  type Tensors,
  writeModel,
} from '../support/small-model.js';

interface Scales {
  values: Float32Array;
  blockRows: number;
  blockColumns: number;
  skippedRows: number;
}
const { multiply, readFp8 } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node') as {
  readFp8(bytes: Uint8Array, rows: number, columns: number, scales: Scales): Float32Array;
  multiply(
    type: string,
    weights: Uint8Array,
    outputs: number,
    columns: number,
    x: Float32Array,
    rows: number,
    scales?: Scales,
  ): Float32Array;
};
const strategies: Strategy[] = ['block', 'channel', 'tensor'];

/** Hidden 140 and widths of 150 and 72: blocks end in the middle of rows and columns, two blocks and one. */
const ragged: Partial<HfConfig> = {
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
  { method: 'compressed-tensors', strategy: 'block', scales: 'BF16' },
  { method: 'compressed-tensors', strategy: 'channel', scales: 'F32' },
  { method: 'compressed-tensors', strategy: 'tensor', scales: 'F16', experts: 'fused' },
  { method: 'fp8', strategy: 'block', scales: 'F32', experts: 'fused' },
  { method: 'fp8', strategy: 'tensor', scales: 'BF16' },
  { method: 'fp8', strategy: 'block', scales: 'F16', stays: () => false },
];
const random = makeRandomModel(ragged, 2);
const nameOf = ({ method, strategy, scales, experts = 'separate', stays }: Fp8Options) =>
  `${method}, ${strategy}, scales in ${scales}, experts ${experts}${stays ? ', no matrix left out' : ''}`;

test('all 256 bytes stand for what the format says, times their scale', (t) => {
  // The formula itself, at the places that the format's paper names.
  const named: [number, number][] = [
    ...([
      [0x00, 0],
      [0x80, -0],
      [0x01, 2 ** -9],
      [0x07, 7 * 2 ** -9],
      [0x08, 2 ** -6],
    ] as [number, number][]),
    ...([
      [0x38, 1],
      [0xb8, -1],
      [0x7e, 448],
      [0xfe, -448],
      [0x7f, Number.NaN],
      [0xff, Number.NaN],
    ] as [number, number][]),
  ];
  for (const [code, value] of named) t.ok(Object.is(e4m3Value(code), value), `0x${code.toString(16)} is ${value}`);
  const all = Uint8Array.from({ length: 256 }, (_, code) => code);
  const scales = [1, 0.5, 3.1e-3, 2 ** -120, 1e38, 0, 300, 1.2345678e-5].map(Math.fround);
  for (const scale of scales) {
    const wanted = Float32Array.from(all, (code) => e4m3Value(code) * scale);
    const grid = { values: Float32Array.of(scale), blockRows: 1, blockColumns: 256, skippedRows: 0 };
    const found = readFp8(all, 1, 256, grid);
    t.ok(
      found.every((value, i) => Object.is(value, wanted[i])),
      `times ${scale}`,
    );
    // Seven columns are read one by one, not in lanes.
    const few = readFp8(all.slice(248), 1, 8, { ...grid, blockColumns: 8 });
    t.ok(
      few.every((value, i) => Object.is(value, wanted[248 + i])),
      `the last eight alone times ${scale}`,
    );
  }
  t.end();
});

test('products are those of the values in f32, to the bit, in any company', (t) => {
  const next = randomNumbers(3);
  const rows = 18;
  for (const strategy of strategies)
    for (const [outputs, columns, skippedRows] of [
      [7, 16, 0],
      [130, 96, 0],
      [5, 139, 0],
      [9, 300, 124],
      [6, 1280, 2],
    ] as const) {
      const [blockRows, blockColumns] = blockOf(strategy, outputs + skippedRows, columns);
      const gridColumns = Math.ceil(columns / blockColumns);
      const count = Math.ceil((outputs + skippedRows) / blockRows) * gridColumns;
      const values = Float32Array.from({ length: count }, () => (0.5 + next()) / 300);
      const skip = strategy === 'channel' ? 0 : skippedRows;
      const scales = { values, blockRows, blockColumns, skippedRows: skip };
      const codes = Uint8Array.from({ length: outputs * columns }, () => e4m3Code(900 * (next() - 0.5)));
      const scaleOf = (row: number, column: number) =>
        values[Math.floor((row + skip) / blockRows) * gridColumns + Math.floor(column / blockColumns)]!;
      const plain = Float32Array.from(codes, (code, i) =>
        Math.fround(e4m3Value(code) * scaleOf(Math.floor(i / columns), i % columns)),
      );
      const x = Float32Array.from({ length: rows * columns }, () => next() - 0.5);
      const wanted = multiply('f32', new Uint8Array(plain.buffer), outputs, columns, x, rows);
      const about = `${strategy}, [${outputs}, ${columns}] after ${skip} rows`;
      t.ok(isSame(readFp8(codes, outputs, columns, scales), plain), `${about}: the values`);
      t.ok(isSame(multiply('f8_e4m3', codes, outputs, columns, x, rows, scales), wanted), `${about}: rows together`);
      for (let few = 1; few < rows; few++) {
        const some = multiply('f8_e4m3', codes, outputs, columns, x.slice(0, few * columns), few, scales);
        if (!isSame(some, wanted.slice(0, few * outputs))) t.fail(`${about}: ${few} rows`);
      }
      const alone = multiply('f8_e4m3', codes, outputs, columns, x.slice(17 * columns), 1, scales);
      t.ok(isSame(alone, wanted.slice(17 * outputs)), `${about}: a row alone`);
    }
  t.end();
});

for (const form of forms)
  test(`${nameOf(form)}: the logits of the same values in f32, to the bit`, async (t) => {
    const { folder, plainFolder, plain } = await bothWays(t, form);
    const ids = randomIds(24, 150, 3);
    const fp8 = await openModel(t, folder, { prefillChunk: 16 });
    const f32 = await openModel(t, plainFolder, { prefillChunk: 16 });
    const found = await fp8.forward(ids, { mtp: true });
    const wanted = await f32.forward(ids, { mtp: true });
    t.ok(isSame(found.logits, wanted.logits), 'logits');
    t.ok(isSame(found.mtpLogits, wanted.mtpLogits), 'MTP logits');
    const rows = reference(plain.config, plain.tensors, ids).logits;
    const far = rowDifference(
      found.logits,
      rows.flatMap((row) => [...row]),
      150,
    );
    t.ok(far < 1e-5, `the reference's logits within ${show(far)}`);
    const stepwise = await openModel(t, folder, { prefillChunk: 1 });
    t.ok(isSame((await stepwise.forward(ids)).logits, found.logits), 'a token at a time');
    const types = new Set((await openModelFolder(folder)).description.tensors.map(({ type }) => type));
    t.ok(types.has('f8_e4m3'), 'its matrices are held in FP8');
    t.equal(fp8.config.quantization?.groups[0]?.format.strategy, form.strategy, 'the config tells how');
  });

test('weights of another type are made from the values in f32', async (t) => {
  const { folder, plainFolder } = await bothWays(t, forms[3]!);
  const ids = randomIds(12, 150, 5);
  for (const weights of ['f32', 'bf16', 'f16', 'q8', 'q4'] as const) {
    const [found, wanted] = await Promise.all(
      [folder, plainFolder].map(async (path) => {
        const model = await openModel(t, path, { weights });
        return { logits: (await model.forward(ids)).logits, memory: model.memory };
      }),
    );
    t.ok(isSame(found!.logits, wanted!.logits), `${weights}: the same logits`);
    if (weights !== 'f32') continue;
    t.ok(found!.memory.weights.mapped < found!.memory.weights.total, 'stored anew');
  }
});

test('kexa quantize makes the same file of FP8 as of the same values in f32', async (t) => {
  for (const form of [forms[1]!, forms[3]!]) {
    const { folder, plainFolder } = await bothWays(t, form);
    const files = await Promise.all(
      [folder, plainFolder].map(async (path) => {
        const out = join(path, 'out.gguf');
        return { report: await quantizeFolder(path, out, { recipe: recipes.q4 }), out };
      }),
    );
    const [fp8, f32] = files.map(({ out }) => readGguf(out).tensors);
    const differing = [...f32!].filter(([name, { bytes }]) => !bytes.equals(fp8!.get(name)!.bytes));
    t.deepEqual(
      differing.map(([name]) => name),
      [],
      `${nameOf(form)}: every tensor`,
    );
    t.ok(files[0]!.report.fp8Tensors > 20, 'and the report says what was in FP8');
  }
});

test('the command tells what is in FP8', async (t) => {
  const { folder } = await bothWays(t, forms[0]!);
  const inspected = await kexa(['inspect', folder]);
  t.match(inspected.stdout, /\n +\d+ f8_e4m3, \d+ KiB\n/, 'inspect, by type');
  const { config } = JSON.parse((await kexa(['inspect', folder, '--json'])).stdout) as { config: Model['config'] };
  const [group] = config.quantization!.groups;
  t.deepEqual(group!.targets, ['Linear'], 'inspect --json, as config.json says');
  t.deepEqual([group!.format.name, group!.format.strategy], ['fp8', 'block'], 'and in which format');
  const quantized = await kexa(['quantize', folder, join(folder, 'out.gguf'), '--recipe', 'q8']);
  t.match(quantized.stdout, /\d+ matrices were in FP8: what they had lost is lost here too/, 'quantize');
});

test('memory is planned from the config alone as it is taken', async (t) => {
  for (const form of forms.filter(({ experts, stays }) => experts === undefined && stays === undefined)) {
    const { folder } = await bothWays(t, form);
    const bare = await readConfigOnly(folder);
    const { description } = await openModelFolder(folder);
    const names = (wanted: (typeof description)['tensors']) =>
      wanted.filter(({ type }) => type === 'f8_e4m3').reduce((sum, { bytes }) => sum + bytes, 0);
    const plain = description.tensors.filter(({ type }) => type !== 'f8_e4m3');
    // A config tells of BF16 where this folder has F32.
    const plainBytes = plain.reduce((sum, { bytes }) => sum + bytes, 0);
    const whole = planMemory(description, { contextSize: 64 });
    const planned = planMemory(bare.shape, { contextSize: 64 });
    t.equal(planned.weights.total, whole.weights.total - plainBytes / 2, `${nameOf(form)}: weights`);
    t.equal(
      whole.weights.mapped,
      names(description.tensors) + plainBytes,
      'the bytes are read in place, scales are not',
    );
    const memory = Math.ceil(planned.total / usableShare.cpu) + 1;
    t.ok(longestContext(new MemoryPlanner(bare.shape), {}, memory) >= 64, 'and the longest context is found');
    for (const device of ['cpu', 'gpu'] as const) {
      const options = checkPlanOptions({ contextSize: 64 }, description.maxPositions);
      const adapter = device === 'cpu' ? '' : 'gpu';
      const { total } = planOf(description, { ...options, adapter });
      t.equal(planMemory(description, { contextSize: 64, device }).total, total, `${device}: experts one by one`);
    }
    const onGpu = [bare.shape, description].map((shape) => planMemory(shape, { contextSize: 64, device: 'gpu' }));
    t.ok(onGpu[0]!.weights.total < onGpu[1]!.weights.total, 'on a GPU too');
  }
});

test('tiny in FP8 still writes text', async (t) => {
  const folder = await newFolder(t);
  await cp(modelFolder('tiny'), folder, { recursive: true, filter: (path) => !path.endsWith('.safetensors') });
  const tiny = readHfModel(modelFolder('tiny'));
  await writeFp8Model(folder, tiny, { method: 'compressed-tensors', strategy: 'block', scales: 'BF16' });
  const fp8 = await openModel(t, folder);
  const own = await openModel(t, 'tiny');
  const { text } = await fp8.generate('In the beginning', { temperature: 0, maxTokens: 24 });
  t.ok(/[a-z]{3,}/.test(text), JSON.stringify(text));
  const ids = own.tokenizer.encode('In the beginning God created the heaven and the earth.');
  const [found, wanted] = [
    (await fp8.score(ids)).reduce((a, b) => a + b),
    (await own.score(ids)).reduce((a, b) => a + b),
  ];
  t.ok(
    Math.abs(found - wanted) < 0.1 * Math.abs(wanted),
    `a text is as likely: ${found.toFixed(2)}, ${wanted.toFixed(2)}`,
  );
});

test('scales that are damaged, and weights that are no numbers', async (t) => {
  const name = 'model.layers.1.self_attn.q_proj.weight';
  const bad = async (dtype: 'F32' | 'BF16' | 'F16', bytes: number[], words: string) => {
    const scale = { dtype, shape: [], data: Buffer.from(bytes) };
    const folder = await writeModel(t, fp8Config('tensor'), { ...fp8Tensors('tensor'), [`${name}_scale`]: scale });
    for (const weights of ['auto', 'bf16'] as const)
      await refuses(t, 'KEXA_BAD_FILE', [`${name}_scale`, words, 'model.safetensors'], () =>
        loadModel(folder, { weights }),
      );
  };
  await bad('F32', [0, 0, 0xc0, 0x7f], 'found NaN');
  await bad('F32', [0, 0, 0x80, 0x7f], 'found infinity');
  await bad('BF16', [0x80, 0xff], 'found -infinity');
  await bad('F16', [0, 0xbc], 'found -1');
  const zero = { dtype: 'F32', shape: [], data: Buffer.alloc(4) };
  const allZero = await writeModel(t, fp8Config('tensor'), { ...fp8Tensors('tensor'), [`${name}_scale`]: zero });
  await (await loadModel(allZero)).close();
  t.pass('a scale of 0 is one');

  const tensors = fp8Tensors('tensor');
  for (const at of ['model.layers.3.mlp.experts.2.down_proj.weight', 'lm_head.weight']) {
    const damaged = { ...tensors[at]!, data: Buffer.alloc(tensors[at]!.data.length, 0x7f) };
    const others = at === 'lm_head.weight' ? {} : allExperts(tensors, damaged);
    const folder = await writeModel(t, fp8Config('tensor'), { ...tensors, ...others, [at]: damaged });
    const model = await openModel(t, folder);
    await refuses(t, 'KEXA_BAD_FILE', ['is not a finite number'], () => model.generate([1, 2, 3], { maxTokens: 2 }));
  }
});

test('scales that are missing, too many, or of another shape or type', async (t) => {
  const name = 'model.layers.2.mlp.experts.1.up_proj.weight';
  const bad = async (strategy: Strategy, changes: Record<string, TensorToWrite | null>, ...words: string[]) => {
    const tensors = { ...fp8Tensors(strategy), ...changes };
    const kept = Object.fromEntries(Object.entries(tensors).filter(([, tensor]) => tensor !== null)) as Tensors;
    const folder = await writeModel(t, fp8Config(strategy), kept);
    await refuses(t, 'KEXA_TENSOR_MISMATCH', [name, '\n  in model.safetensors', ...words], () =>
      openModelFolder(folder),
    );
  };
  await bad('block', { [`${name}_scale`]: null }, `${name}_scale: wanted f32, bf16 or f16 [1, 1]`, 'found nothing');
  await bad('channel', { [`${name}_scale`]: zeros('F32', [1, 3]) }, 'f32, bf16 or f16 [3, 1]', 'found f32 [1, 3]');
  await bad('tensor', { [`${name}_scale`]: zeros('F32', [3, 1]) }, 'f32, bf16 or f16 []', 'found f32 [3, 1]');
  await bad(
    'block',
    { [`${name}_scale`]: zeros('F8_E4M3', [1, 1]) },
    'f32, bf16 or f16 [1, 1]',
    'found f8_e4m3 [1, 1]',
  );
  await bad('block', { [`${name}_scale_inv`]: zeros('F32', [1, 1]) }, 'scales once', `${name}_scale_inv`);
  await bad('block', { [name]: zeros('BF16', [3, 8]) }, `${name}_scale: wanted no scales`, 'bf16 [3, 8]');
  await bad('block', { [name]: zeros('F8_E4M3', [8, 3]) }, 'wanted bf16, f16, f32 or f8_e4m3 [3, 8]', 'found f8_e4m3');
  const e5m2 = { dtype: 'F8_E5M2', shape: [3, 8], data: Buffer.alloc(24) };
  await bad('block', { [name]: e5m2 }, 'wanted bf16, f16, f32 or f8_e4m3 [3, 8], found f8_e5m2 [3, 8]');
  const norm = 'model.norm.weight';
  const normed = await writeModel(t, fp8Config('block'), { ...fp8Tensors('block'), [norm]: zeros('F8_E4M3', [8]) });
  await refuses(t, 'KEXA_TENSOR_MISMATCH', [norm, 'bf16, f16 or f32 [8]'], () => openModelFolder(normed));

  // Scales for rounding activations change nothing here. Scales of a KV cache that no config asks for are a riddle.
  const scalar = zeros('F32', []);
  const static_ = { ...fp8Tensors('tensor'), [name.replace(/weight$/, 'input_scale')]: scalar };
  t.ok(await openModelFolder(await writeModel(t, fp8Config('tensor'), static_)), 'input_scale is let be');
  const cached = { ...fp8Tensors('tensor'), 'model.layers.0.self_attn.k_scale': scalar };
  await refuses(t, 'KEXA_UNSUPPORTED', ['k_scale'], async () =>
    openModelFolder(await writeModel(t, fp8Config('tensor'), cached)),
  );
});

test('what quantization_config may say', async (t) => {
  const compressed = quantizationConfig({ method: 'compressed-tensors', strategy: 'block' }, []);
  const group = compressed.config_groups!.group_0;
  const withWeights = (changes: Config) => ({
    ...compressed,
    config_groups: { group_0: { ...group, weights: { ...group.weights, ...changes } } },
  });
  const fp8 = quantizationConfig({ method: 'fp8', strategy: 'block' }, []);
  const refused = async (value: unknown, ...words: string[]) => {
    const folder = await writeModel(t, { ...moeConfig(), quantization_config: value }, fp8Tensors('block'));
    await refuses(t, 'KEXA_UNSUPPORTED', [...words, 'config.json'], () => openModelFolder(folder));
  };
  await refused({ quant_method: 'bitsandbytes' }, '"bitsandbytes"', 'bf16 model');
  await refused({ quant_algo: 'FP8' }, '"FP8"');
  await refused({ ...compressed, format: 'marlin-24' }, 'format "marlin-24"', '"float-quantized"');
  await refused({ ...compressed, transform_config: { config_groups: 1 } }, 'transform_config');
  await refused(withWeights({ num_bits: 4 }), 'weights.num_bits 4');
  await refused(withWeights({ type: 'int' }), 'weights.type "int"');
  await refused(withWeights({ symmetric: false }), 'weights.symmetric false');
  await refused(withWeights({ dynamic: true }), 'weights.dynamic true');
  await refused(withWeights({ strategy: 'group', group_size: 128 }), 'weights.strategy "group"');
  await refused(withWeights({ block_structure: [64, 128] }), 'block_structure [64,128]', '[128, 128]');
  await refused(withWeights({ actorder: 'group' }), 'actorder');
  await refused({ ...fp8, fmt: 'e5m2' }, 'fmt "e5m2"');
  await refused({ ...fp8, weight_block_size: [1, 128] }, 'weight_block_size [1,128]');
  await refused({ ...fp8, kv_cache_quant_method: 'fp8' }, 'kv_cache_quant_method');
  const bad = async (value: unknown, ...words: string[]) => {
    const folder = await writeModel(t, { ...moeConfig(), quantization_config: value }, fp8Tensors('block'));
    await refuses(t, 'KEXA_BAD_CONFIG', [...words, 'config.json'], () => openModelFolder(folder));
  };
  await bad({ quant_method: 'compressed-tensors' }, 'quantization_config.format: missing');
  await bad({ ...compressed, ignore: 'lm_head' }, 'ignore: wanted a list of names');
  await bad({ ...compressed, ignore: ['re:('] }, 'ignore', '"re:("');
  await bad({ ...compressed, config_groups: {} }, 'config_groups: wanted at least one group');
});

test('targets and ignored modules say what is in FP8, where there are no weights to look at', async (t) => {
  const planned = async (changes: Config) => {
    const { folder } = await configFolder(t, changes);
    const { shape } = await readConfigOnly(folder);
    return planMemory(shape, { contextSize: 8 }).weights.total;
  };
  const elements = (await readConfigOnly((await configFolder(t, {})).folder)).config.parameters;
  const bytes = async (quantization_config: Config) => 2 * elements - (await planned({ quantization_config }));
  const compressed = quantizationConfig({ method: 'compressed-tensors', strategy: 'tensor' }, []);
  const { group_0: group } = compressed.config_groups!;
  // Each matrix in FP8 saves a byte for each weight, less four for its scale.
  const qs = 5 * (64 - 4);
  const [head, fc, dense] = [80 - 4, 128 - 4, 3 * (48 - 4)];
  const targets = (...names: string[]) => ({ ...compressed, config_groups: { group_0: { ...group, targets: names } } });
  t.equal(await bytes(targets('re:.*q_proj')), qs, 'a pattern');
  t.equal(await bytes(targets('lm_head', 'mtp.fc')), head + fc, 'names');
  t.equal(await bytes(targets('re:q_proj')), 0, 'a pattern begins where the name does');
  const linear = await bytes(targets('Linear'));
  t.equal(await bytes({ ...compressed, ignore: ['lm_head', 're:.*\\.q_proj'] }), linear - head - qs, 'ignored');
  t.equal(await bytes({ ...compressed, ignore: ['model.layers.0.mlp'] }), linear, 'an ignored name is a whole one');
  const fp8 = quantizationConfig({ method: 'fp8', strategy: 'tensor' }, ['lm_head']);
  t.equal(await bytes(fp8), linear - head, 'fp8');
  t.equal(await bytes({ ...fp8, modules_to_not_convert: undefined }), linear - head, 'the head is left out by itself');
  t.equal(
    await bytes({ ...fp8, ignored_layers: ['model.layers.0.mlp'] }),
    linear - head - dense,
    'and what is below an ignored name',
  );
  const byRow = { ...group, weights: { ...group.weights, strategy: 'channel' as const } };
  const one = { ...group, targets: ['re:.*up'] };
  const two = { ...compressed, config_groups: { a: one, b: { ...byRow, targets: ['lm_head'] } } };
  const folder = await writeModel(t, { ...moeConfig(), quantization_config: two }, fp8Tensors('tensor'));
  await refuses(t, 'KEXA_UNSUPPORTED', ['none of their targets names it'], () => openModelFolder(folder));
});

/** A random model in a form of FP8, and the folder of the same values in F32. */
async function bothWays(t: Test, form: Fp8Options): Promise<{ folder: string; plainFolder: string; plain: HfModel }> {
  const [folder, plainFolder] = [await newFolder(t), await newFolder(t)];
  const plain = await writeFp8Model(folder, random, form);
  writeRandomModel(plainFolder, plain, { dtype: 'F32', experts: 'separate', biasUnderGate: false, shards: 1 });
  return { folder, plainFolder, plain };
}

function fp8Config(strategy: Strategy): Config {
  return { ...moeConfig(), quantization_config: quantizationConfig({ method: 'compressed-tensors', strategy }, []) };
}

/** {@link moeTensors} with every matrix in FP8. */
function fp8Tensors(strategy: Strategy): Tensors {
  const tensors: Tensors = {};
  for (const [name, { shape, ...rest }] of Object.entries(moeTensors())) {
    if (shape.length !== 2) {
      tensors[name] = { shape, ...rest };
      continue;
    }
    const grid = { block: [1, 1], channel: [shape[0]!, 1], tensor: [] }[strategy];
    tensors[name] = { dtype: 'F8_E4M3', shape, data: Buffer.alloc(shape[0]! * shape[1]!, 0x38) };
    const one = Buffer.from(Float32Array.of(1).buffer);
    tensors[`${name}_scale`] = { dtype: 'F32', shape: grid, data: Buffer.concat(Array(grid[0] ?? 1).fill(one)) };
  }
  return tensors;
}

function allExperts(tensors: Tensors, damaged: TensorToWrite): Tensors {
  const names = Object.keys(tensors).filter((name) => /layers\.3\.mlp\.experts\.\d+\.down_proj\.weight$/.test(name));
  return Object.fromEntries(names.map((name) => [name, damaged]));
}

async function configFolder(t: Test, changes: Config): Promise<{ folder: string }> {
  const folder = await newFolder(t);
  const text = JSON.stringify({ ...moeConfig(), ...changes });
  writeFileSync(join(folder, 'config.json'), text);
  if (readFileSync(join(folder, 'config.json'), 'utf8') !== text) throw new Error('not written');
  return { folder };
}
