/**
 * Tests the oracle itself. `reference` agrees with the goldens, which came from another implementation, and none of the
 * known mistakes in this architecture does. So results that agree with either are right.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { type GoldenName, goldenNames, loadGoldens, modelFolder, readHfModel } from '../support/goldens.js';
import { type Dtype, makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import {
  type HfConfig,
  layerWindows,
  type Mutation,
  mutations,
  type Reference,
  reference,
} from '../support/reference.js';

/**
 * The bound. Goldens are rounded to float32, which is 6e-8. The rest of the difference starts on the first rotated
 * layer and grows with the position, to 2.6e-6 at 160 tokens. The goldens' RoPE angles seem to be float32.
 */
const agreement = 5e-6;
/** The least error of a wrong engine on some golden. It is far above any float32 engine's error. */
const caught = 1e-3;

const models = new Map(
  goldenNames.map((name) => [name, { ...readHfModel(modelFolder(name)), goldens: loadGoldens(name) }]),
);

/**
 * The short prompts of all models, and prompts longer than the window: 5 in `edge`, 6 and 64 in `two`, 128 in `wide`.
 */
const compared: Record<GoldenName, number[]> = {
  tiny: [0, 1, 2, 3, 5],
  wide: [0, 1, 2, 3],
  edge: [0, 1, 2, 4],
  two: [0, 1, 2, 4],
};

/** The largest difference in any row, relative to the golden row's largest magnitude. */
function difference(rows: Float64Array[], golden: ArrayLike<number>): number {
  const columns = rows[0]!.length;
  if (golden.length !== rows.length * columns) throw new Error(`${golden.length} is not ${rows.length} x ${columns}`);
  let worst = 0;
  for (const [t, row] of rows.entries()) {
    const wanted = Array.from(row, (_, i) => golden[t * columns + i]!);
    const size = Math.max(...wanted.map(Math.abs));
    for (const [i, value] of row.entries()) {
      worst = Math.max(worst, Math.abs(value - wanted[i]!) / size); // a NaN stays
    }
  }
  return worst;
}

for (const [name, { config, tensors, goldens }] of models) {
  test(`the reference reproduces the goldens of ${name}`, (t) => {
    for (const p of compared[name]) {
      const { ids, routes } = goldens.prompts[p]!;
      const result = reference(config, tensors, ids);
      const outputs: [string, Float64Array[]][] = [
        ['logits', result.logits],
        ['hidden', result.hidden],
        ...result.layers.map((rows, i): [string, Float64Array[]] => [`layer${i}`, rows]),
      ];
      if (ids.length > 1) outputs.push(['mtp_logits', result.mtpLogits]);
      const off = outputs.map(([output, rows]) => difference(rows, goldens.tensor(`prompt${p}.${output}`)));
      const worst = Math.max(...off);
      t.ok(worst < agreement, `prompt ${p}, ${ids.length} tokens: within ${worst.toExponential(1)}`);

      const last = result.routes.map(({ layer, experts, weights }) => ({
        layer,
        experts: experts.at(-1)!,
        weights: weights.at(-1)!,
      }));
      t.deepEqual(
        last.map(({ layer, experts }) => ({ layer, experts })),
        routes.map(({ layer, experts }) => ({ layer, experts })),
        'the last token goes to the same experts',
      );
      const weightsOff = last.flatMap(({ weights }, i) => weights.map((w, j) => Math.abs(w - routes[i]!.weights[j]!)));
      t.ok(
        Math.max(...weightsOff) < agreement,
        `with the same weights, within ${Math.max(...weightsOff).toExponential(1)}`,
      );
    }
    t.end();
  });
}

test('each known mistake moves the logits of some golden', (t) => {
  const prompt = { edge: 2, two: 2 }; // 9 tokens, which is more than their windows
  for (const mutation of mutations) {
    const moved = (['edge', 'two'] as const).map((name) => {
      const { config, tensors, goldens } = models.get(name)!;
      const p = prompt[name];
      const wrong = reference(config, tensors, goldens.prompts[p]!.ids, mutation);
      const logits = difference(wrong.logits, goldens.tensor(`prompt${p}.logits`));
      const mtp = difference(wrong.mtpLogits, goldens.tensor(`prompt${p}.mtp_logits`));
      return { name, logits, mtp };
    });
    const show = (x: number) => x.toExponential(1);
    const table = moved.map(({ name, logits, mtp }) => `${name} ${show(logits)} (mtp ${show(mtp)})`).join(', ');
    const isMtp = mutation.startsWith('mtp');
    t.ok(
      moved.some(({ logits, mtp }) => (isMtp ? mtp : logits) > caught),
      `${mutation}: ${table}`,
    );
  }
  t.end();
});

test('the sister models are neither degenerate nor indifferent to what sets them apart', (t) => {
  const ids = Array.from({ length: 24 }, (_, i) => (i * i * 7 + 3) % 200);
  for (const [name, overrides] of Object.entries(sisterConfigs)) {
    const { config, tensors } = makeRandomModel(overrides, 1);
    const right = reference(config, tensors, ids);
    const tops = right.logits.map((row) => Math.max(...row.map(Math.abs)));
    t.ok(Math.min(...tops) > 1 && Math.max(...tops) < 30, `${name}: logits reach ${Math.max(...tops).toFixed(1)}`);
    const moves = (what: string, changed: Reference, output: 'logits' | 'mtpLogits' = 'logits') => {
      const off = difference(
        changed[output],
        right[output].flatMap((row) => [...row]),
      );
      t.ok(off > 0.01, `${name}: ${what} matters, ${off.toFixed(2)}`);
    };
    const without = (change: Partial<HfConfig>) => reference({ ...config, ...change }, tensors, ids);
    const wrong = (mutation: Mutation) => reference(config, tensors, ids, mutation);

    const windows = layerWindows(config);
    if (windows.some((window) => window > 1) || windows.every((window) => window === 0)) {
      moves('the pairing of RoPE', wrong('interleaved-rope'));
      // EXAONE 3 has no norm of q and k.
      if (config.model_type !== 'exaone') moves('norming q and k before it', wrong('qk-norm-after-rope'));
    }
    if (config.rope_parameters?.rope_type === 'llama3')
      moves('its scaling', without({ rope_parameters: { rope_theta: 1e6 } }));
    if (config.rope_scaling) moves('its scaling', without({ rope_scaling: null, rope_theta: 1e6 }));
    if (windows.some((window) => window > 0)) {
      moves('the exact window', wrong('window-off-by-one'));
      moves('leaving global layers unrotated', wrong('rope-on-global'));
    }
    if (config.num_nextn_predict_layers) {
      moves('the order of the MTP halves', wrong('mtp-hidden-first'), 'mtpLogits');
      moves('the norm of its hidden half', wrong('mtp-pre-norm-hidden'), 'mtpLogits');
    } else t.equal(right.mtpLogits.length, 0, `${name}: no MTP block`);
    if (config.model_type === 'exaone4_5')
      moves('the window of the MTP layer', without({ mtp_layer_types: ['full_attention'] }), 'mtpLogits');
    if (config.model_type !== 'exaone_moe') continue;

    const unbiased = new Map(
      [...tensors].map(([key, tensor]) => [key, key.endsWith('_bias') ? zeros(tensor) : tensor]),
    );
    moves('the correction bias', reference(config, unbiased, ids));
    moves('not weighing by it', wrong('bias-in-weights'));
    moves('the scale', wrong('no-routed-scale'));
    if (config.num_shared_experts) moves('not scaling the shared expert', wrong('shared-scaled'));
    if (config.n_group! > 1) moves('the limit on groups', without({ n_group: 1, topk_group: 1 }));
    if (config.norm_topk_prob === false) moves('leaving weights as they are', without({ norm_topk_prob: true }));
    if (config.swiglu_limits) moves('the clamp', without({ swiglu_limits: [] }));
    if (config.mtp_layer_types) moves('the window of the MTP layer', without({ mtp_layer_types: [] }), 'mtpLogits');
    const used = right.routes.map(({ experts }) => new Set(experts.flat()).size);
    t.ok(Math.min(...used) > config.num_experts! / 2, `${name}: ${used.join(', ')} experts used`);
  }
  t.end();
});

test('a written random model reads back as it was', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-reference-'));
  const forms = [
    { dtype: 'BF16' as Dtype, experts: 'separate' as const, biasUnderGate: false, shards: 1 },
    { dtype: 'F16' as Dtype, experts: 'fused' as const, biasUnderGate: true, shards: 3 },
    { dtype: 'F32' as Dtype, experts: 'fused' as const, biasUnderGate: false, shards: 1 },
  ];
  for (const [i, form] of forms.entries()) {
    const model = makeRandomModel({ num_hidden_layers: 2 }, 7, form.dtype);
    writeRandomModel(join(folder, `${i}`), model, form);
    const read = readHfModel(join(folder, `${i}`));
    t.deepEqual(read.config, model.config, `${form.dtype}, ${form.experts}: the same config`);
    t.deepEqual([...read.tensors.keys()].sort(), [...model.tensors.keys()].sort(), 'the same names');
    const same = [...model.tensors].every(([name, { shape, data }]) => {
      const other = read.tensors.get(name)!;
      return `${shape}` === `${other.shape}` && data.every((value, at) => value === other.data[at]);
    });
    t.ok(same, 'the same values');
  }
  rmSync(folder, { recursive: true });
  t.end();
});

function zeros({ shape, data }: { shape: number[]; data: Float64Array }): { shape: number[]; data: Float64Array } {
  return { shape, data: new Float64Array(data.length) };
}
