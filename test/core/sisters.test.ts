/**
 * Compares every member of the EXAONE family, small and with random weights, with the float64 reference: all switches
 * of a layer, in every form of a model's files.
 */
import { join } from 'node:path';
import test from 'tape';
import type { ForwardResult, RouteTrace } from '../../lib/index.js';
import { isSame, openModel, randomIds, rowDifference, show } from '../support/compare.js';
import { bf16, setElement } from '../support/damaged-model.js';
import type { HfModel } from '../support/goldens.js';
import {
  type Dtype,
  makeRandomModel,
  sisterConfigs,
  type WriteOptions,
  writeRandomModel,
} from '../support/random-model.js';
import { layerWindows, type Reference, reference, roundToBf16 } from '../support/reference.js';
import { newFolder, refuses } from '../support/small-model.js';

/** The bound relative to a row's largest magnitude: float32 against float64. */
const agreement = 1e-5;
/** Just more tokens than every window: the reference takes most of the time here. */
const tokens = 44;

/**
 * Eight layers, so that the pattern of K-EXAONE's older config ends on a global one: kexa refuses to guess otherwise.
 */
const configs = { ...sisterConfigs, kExaone: { ...sisterConfigs.kExaone, num_hidden_layers: 8 } };
/** K-EXAONE as small as its pattern lets it be, for what does not depend on depth. */
const fourLayers = { ...sisterConfigs.kExaone, num_hidden_layers: 4 };
type Sister = keyof typeof configs;
const sisters = Object.keys(configs) as Sister[];
/** Seeds with which no expert is chosen by less than float32 can tell; then routes must agree everywhere. */
const seeds: Record<Sister, number> = {
  exaone4Small: 1,
  exaone4Large: 1,
  kExaone: 1,
  kExaone2: 1,
  unnormalized: 1,
  windowOfOne: 1,
  exaone45: 1,
  exaone3: 1,
};
const forms: WriteOptions[] = [
  { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 },
  { dtype: 'F16', experts: 'fused', biasUnderGate: true, shards: 3 },
  { dtype: 'F32', experts: 'separate', biasUnderGate: true, shards: 3 },
];

for (const sister of sisters) {
  for (const form of forms) {
    const { dtype, experts, biasUnderGate, shards } = form;
    const bias = biasUnderGate ? 'its bias under gate' : 'its bias under mlp';
    const files = shards === 1 ? 'one file' : `${shards} files`;
    test(`${sister} in ${dtype}, experts ${experts}, ${bias}, ${files}: as the reference`, async (t) => {
      const model = makeRandomModel(configs[sister], seeds[sister], dtype);
      const ids = randomIds(tokens, model.config.vocab_size, 3);
      t.ok(Math.max(...layerWindows(model.config)) < tokens, `${tokens} tokens are past every window`);
      const folder = await newFolder(t);
      writeRandomModel(folder, model, form);
      const engine = await openModel(t, folder, { threads: 1, prefillChunk: 16 });
      const hasMtp = engine.config.mtp !== null;
      compare(t, await engine.forward(ids, { mtp: hasMtp, trace: true }), reference(model.config, model.tensors, ids));
      if (!hasMtp)
        await refuses(t, 'KEXA_UNSUPPORTED', ['mtp', 'no MTP block'], () => engine.forward(ids, { mtp: true }));
    });
  }
}

function compare(t: test.Test, found: ForwardResult, wanted: Reference): void {
  const check = (what: string, matrix: Float32Array, rows: Float64Array[]) => {
    const off = rowDifference(
      matrix,
      rows.flatMap((row) => [...row]),
      rows[0]!.length,
    );
    t.ok(off < agreement, `${what}: within ${show(off)}`);
  };
  t.deepEqual(
    found.routes!.map(({ layer, experts }) => ({ layer, experts: [...experts] })),
    wanted.routes.map(({ layer, experts }) => ({ layer, experts: experts.flat() })),
    `${wanted.routes.length} layers send every token to the same experts, in the same order`,
  );
  for (const [i, { weights, layer }] of wanted.routes.entries())
    check(
      `weights of layer ${layer}'s experts`,
      (found.routes as RouteTrace[])[i]!.weights,
      weights.map((row) => Float64Array.from(row)),
    );
  for (const [i, rows] of wanted.layers.entries()) check(`layer ${i}`, found.layers![i]!, rows);
  check('hidden', found.hidden!, wanted.hidden);
  check('logits', found.logits, wanted.logits);
  if (found.mtpLogits) check('MTP logits', found.mtpLogits, wanted.mtpLogits);
  else t.equal(wanted.mtpLogits.length, 0, 'neither has an MTP block');
}

test('experts stored fused and bias, shards and names stored otherwise give the same logits, to the bit', async (t) => {
  const model = makeRandomModel(fourLayers, 2);
  const ids = randomIds(tokens, model.config.vocab_size, 4);
  let first: Float32Array | undefined;
  for (const [experts, biasUnderGate, shards] of [
    ['separate', false, 1],
    ['separate', true, 3],
    ['fused', false, 3],
    ['fused', true, 1],
  ] as const) {
    const folder = await newFolder(t);
    writeRandomModel(folder, model, { dtype: 'BF16', experts, biasUnderGate, shards });
    const { logits } = await (await openModel(t, folder)).forward(ids);
    first ??= logits;
    t.ok(isSame(logits, first), `${experts}, ${biasUnderGate ? 'gate' : 'mlp'}, ${shards} files`);
  }
});

test('weights held in another type are rounded once, as the reference rounds them', async (t) => {
  const model = makeRandomModel(configs.kExaone2, 1, 'F32');
  const ids = randomIds(tokens, model.config.vocab_size, 5);
  const folder = await newFolder(t);
  writeRandomModel(folder, model, { dtype: 'F32', experts: 'separate', biasUnderGate: false, shards: 1 });
  const rounded = new Map(
    [...model.tensors].map(([name, { shape, data }]) => [
      name,
      { shape, data: shape.length > 1 ? data.map(roundToBf16) : data },
    ]),
  );
  const wanted = reference(model.config, rounded, ids);
  const inBf16 = await openModel(t, folder, { weights: 'bf16' });
  compare(t, await inBf16.forward(ids, { mtp: true, trace: true }), wanted);
  t.ok(inBf16.memory.weights.mapped < inBf16.memory.weights.total / 10, 'nearly all of them are stored anew');
});

test('weights too large for f16 are refused by name, not made infinite', async (t) => {
  for (const [value, dtype] of [
    [70144, 'BF16'],
    [-65536, 'F32'],
  ] as [number, Dtype][]) {
    const model = makeRandomModel(fourLayers, 1, dtype);
    const name = 'model.layers.2.mlp.experts.3.up_proj.weight';
    model.tensors.get(name)!.data[17] = value;
    const folder = await newFolder(t);
    writeRandomModel(folder, model, { dtype, experts: 'separate', biasUnderGate: false, shards: 1 });
    await refuses(t, 'KEXA_UNSUPPORTED', ['layers.2.experts.3.up', 'f16'], () =>
      openModel(t, folder, { weights: 'f16' }),
    );
    const asStored = await openModel(t, folder);
    t.ok((await asStored.forward([1, 2, 3])).logits.every(Number.isFinite), `${value}: as they are stored, they run`);
  }
  const folder = await newFolder(t);
  const model = makeRandomModel(fourLayers, 1);
  model.tensors.get('lm_head.weight')!.data[17] = 65504 - 224; // exact in bf16
  writeRandomModel(folder, model, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  const held = await openModel(t, folder, { weights: 'f16' });
  t.ok((await held.forward([1, 2, 3])).logits.every(Number.isFinite), 'the largest that fit are taken');
});

test('weights that are not numbers fail an answer with KEXA_BAD_FILE instead of giving a wrong one', async (t) => {
  const ids = [1, 2, 3];
  for (const name of ['lm_head.weight', 'model.layers.1.self_attn.o_proj.weight', 'model.norm.weight']) {
    const model = makeRandomModel(fourLayers, 1);
    const folder = await newFolder(t);
    writeRandomModel(folder, model, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
    const options = { temperature: 0, maxTokens: 2 };
    t.ok((await (await openModel(t, folder)).generate(ids, options)).ids.length > 0, `${name}: whole, it answers`);
    damage(folder, model, name);
    const damaged = await openModel(t, folder);
    await refuses(t, 'KEXA_BAD_FILE', ['not a finite number', 'damaged'], () => damaged.generate(ids, options));
    await refuses(t, 'KEXA_BAD_FILE', ['not a finite number'], () =>
      damaged.generate(ids, { ...options, temperature: 1 }),
    );
  }
});

/** Puts a NaN into the middle of a tensor of a model written in one file of BF16. */
function damage(folder: string, model: HfModel, name: string): void {
  setElement(join(folder, 'model.safetensors'), name, model.tensors.get(name)!.data.length >> 1, bf16.nan);
}
