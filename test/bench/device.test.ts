/** Made-up weights, ops measured by themselves, and the tuning file: on the CPU and on a software GPU. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { opGroups, opWork } from '../../lib/bench/op-work.js';
import { tuneFrom } from '../../lib/bench/tune.js';
import { chooseDevice } from '../../lib/device/devices.js';
import { readTuning, tunedPlainOps, tuningPath, writeTuning } from '../../lib/device/tuning.js';
import { blockBytes, blockTypes } from '../../lib/files/gguf/gguf-types.js';
import { openModelFolder } from '../../lib/files/model-folder.js';
import { elementsOf } from '../../lib/files/wanted-tensors.js';
import {
  benchmark,
  benchmarkOps,
  KexaError,
  loadModel,
  type OpBenchOptions,
  type OpBenchResult,
} from '../../lib/index.js';
import { loadSynthetic } from '../../lib/model/load.js';
import type { Model } from '../../lib/model/model.js';
import { native } from '../../lib/native.js';
import { checkPlanOptions, heldAs, planMemory } from '../../lib/plan/memory-plan.js';
import { cacheElementBytes, cacheTypes, heldBytes, weightTypes } from '../../lib/plan/option-values.js';
import { openSynthetic } from '../../lib/plan/synthetic.js';
import { partsOf, tokenTraffic } from '../../lib/plan/traffic.js';
import { kexa, kexaRuns, temporaryFolder, tiny } from '../support/cli.js';
import { rowDifference } from '../support/compare.js';
import { fullSizeConfigFolder } from '../support/models.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const ids = [3, 90, 14, 3000, 7];
/** A model with rows of 256, 32 and 20 weights, and an MTP block. */
const odd = {
  architectures: ['ExaoneMoeForCausalLM'],
  model_type: 'exaone_moe',
  vocab_size: 3001,
  hidden_size: 256,
  intermediate_size: 288,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 20,
  max_position_embeddings: 512,
  num_hidden_layers: 4,
  layer_types: ['sliding_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
  sliding_window: 3,
  first_k_dense_replace: 1,
  moe_intermediate_size: 64,
  num_experts: 8,
  num_experts_per_tok: 2,
  num_shared_experts: 1,
  n_group: 1,
  topk_group: 1,
  num_nextn_predict_layers: 1,
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  scoring_func: 'sigmoid',
  rms_norm_eps: 1e-5,
  rope_parameters: { rope_theta: 1000000, rope_type: 'default' },
  hidden_act: 'silu',
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
  dtype: 'bfloat16',
};

function oddConfig(t: Test): string {
  const file = join(temporaryFolder(t), 'odd.json');
  writeFileSync(file, JSON.stringify(odd));
  return file;
}

function isPlausible(t: Test, logits: Float32Array, name: string): void {
  const spread = Math.max(...logits) - Math.min(...logits);
  t.ok(logits.every(Number.isFinite) && spread > 1e-3, `${name}: finite logits, ${spread.toFixed(2)} apart`);
}

test('made-up weights: finite on the CPU in every type, as large as planned, of the layers that were asked for', async (t) => {
  const config = oddConfig(t);
  for (const weights of ['auto', 'f16', 'f32', 'q8', 'q4', 'q2'] as const) {
    const model = await loadSynthetic(config, { mtp: true }, { device: 'cpu', weights, contextSize: 64, threads: 1 });
    const { logits, mtpLogits } = await model.forward(ids, { mtp: true });
    isPlausible(t, logits, weights);
    isPlausible(t, mtpLogits!, `${weights}, MTP`);
    const bytes = model.description.tensors.reduce(
      (sum, { type, shape }) => sum + blockBytes(type, elementsOf(shape)),
      0,
    );
    t.equal(model.memory.weights.total, bytes, 'the plan is the sum of the tensors');
    t.equal(model.memory.weights.mapped, 0, 'no file is read');
    await model.close();
  }
  const two = await loadSynthetic(config, { layers: 2 }, { device: 'cpu', contextSize: 64, threads: 1 });
  t.deepEqual(
    two.config.layers.map(({ ffn, window }) => [ffn, window]),
    [
      ['dense', 3],
      ['moe', 3],
    ],
  );
  t.equal(two.config.mtp, null, 'no MTP block unless it is asked for');
  t.notOk((await two.forward([1], { logits: 'last' })).logits.every((logit) => logit === 0));
  await two.close();
});

test('made-up weights: every type of blocks is finite, small and near a mean of zero', (t) => {
  const { dequantize, syntheticRow } = createRequire(import.meta.url)('../../build/Release/kexa_checks.node') as {
    dequantize: (type: string, blocks: Uint8Array, elements: number) => Float32Array;
    syntheticRow: (type: string, seed: number, row: number, columns: number) => Uint8Array;
  };
  for (const [type, { elements, bytes }] of Object.entries(blockTypes)) {
    if (elements === 1) continue;
    const row = syntheticRow(type, 7, 5, 4096);
    t.equal(row.length, (4096 / elements) * bytes);
    const values = dequantize(type, row, 4096);
    const size = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    t.ok(
      size > 5e-3 && size < 0.2 && Math.abs(mean) < size / 2,
      `${type}: ${size.toFixed(3)}, mean ${mean.toFixed(4)}`,
    );
  }
  t.end();
});

test('made-up weights on a GPU: written there, the CPU’s values, and no more memory than planned', async (t) => {
  const config = oddConfig(t);
  // Steps of one row: a software GPU takes long to compile the kernels of larger ones.
  const options = { contextSize: 32, prefillChunk: 1, threads: 1 } as const;
  const onCpu = await loadSynthetic(config, { layers: 2 }, { ...options, device: 'cpu' });
  const wanted = (await onCpu.forward(ids)).logits;
  await onCpu.close();
  const run = async (weights: 'auto' | 'q2' | 'q4', check: (model: Model, logits: Float32Array) => void) => {
    const model = await loadSynthetic(config, { layers: 2 }, { ...options, device: 'swiftshader', weights });
    const { logits, profile } = await model.forward(ids, { profile: true });
    isPlausible(t, logits, `${weights} on a GPU`);
    t.equal(profile!.bufferBytes, model.memory.total, 'what is allocated is what was planned');
    check(model, logits);
    await model.close();
  };
  await run('auto', (model, logits) => {
    const worst = rowDifference(logits, wanted, model.config.vocabSize);
    t.ok(worst < 1e-5, `bf16: the CPU's logits within ${worst.toExponential(1)}`);
  });
  await run('q2', () => {});
  await run('q4', () => {});
});

test('a whole K-EXAONE-236B in q2 fits 80 GiB without its MTP block', async (t) => {
  const { planMemory } = await import('../../lib/plan/memory-plan.js');
  const { description } = await openSynthetic(fullSizeConfigFolder(), {}, 'q2');
  const { total } = planMemory(description, { device: 'gpu', contextSize: 4096 });
  t.ok(total < 80 * 2 ** 30, `${(total / 2 ** 30).toFixed(1)} GiB`);
});

test('bench --config: names itself, and refuses what makes no sense', async (t) => {
  const config = oddConfig(t);
  const run = await kexa([
    'bench',
    '--config',
    config,
    '--layers',
    '2',
    '--device',
    'cpu',
    '-p',
    '4',
    '-n',
    '2',
    '-r',
    '1',
    '-o',
    'json',
  ]);
  t.equal(run.code, 0);
  t.match(run.stderr, /made up.*means nothing/);
  const [prompt, answer] = JSON.parse(run.stdout);
  t.match(prompt.model_filename, /odd\.json, 2 layers, made-up weights$/);
  t.ok(answer.bytes_per_token.total > 0 && answer.avg_ts > 0);
  t.equal(answer.dispatches_per_token, null, 'the CPU has no kernels');
  for (const [args, code, pattern] of [
    [['--config', config, '-m', tiny], 2, /name one model/],
    [['-m', tiny, '--layers', '2'], 2, /--layers: only with --config/],
    [['--config', config, '--layers', '5'], 2, /'--layers <n>': wanted an integer from 1 to 4, found 5/],
    [['--config', `${config}.none`], 1, /no such file/],
  ] as const) {
    const wrong = await kexa(['bench', ...args, '-p', '1', '-n', '1']);
    t.equal(wrong.code, code);
    t.match(wrong.stderr, pattern);
  }
});

test('what ops must read and compute is the model’s own size', async (t) => {
  const { description, config } = await openSynthetic(fullSizeConfigFolder(), { layers: 8 }, 'q4');
  const groups = opGroups(description);
  const depth = 1000;
  const size = {
    rows: 1,
    depth,
    weights: 'auto' as const,
    elementBytes: 4,
    cacheBytes: 2,
    expertsRead: config.moe!.topK,
  };
  const traffic = tokenTraffic(
    description,
    partsOf(description, ({ bytes }) => bytes),
    depth,
    2,
  );
  const works = groups.map((group) => ({ ...group, ...opWork(description, group, size) }));
  const sum = (ops: readonly string[], of: (work: (typeof works)[number]) => number) =>
    works.filter(({ op }) => ops.includes(op)).reduce((total, work) => total + work.perStep * of(work), 0);
  const weights = ({ weightBytes }: { weightBytes: number }) => weightBytes;
  const isNear = (found: number, wanted: number, name: string) =>
    t.ok(Math.abs(found / wanted - 1) < 1e-9, `${name}: ${found}`);
  isNear(sum(['attention_input', 'attention_output'], weights), traffic.attention, 'attention');
  isNear(sum(['dense_ffn', 'route', 'experts'], weights), traffic.experts, 'experts');
  isNear(sum(['head'], weights), traffic.head, 'head');
  const rows = 2 * description.heads * description.headDim * 4;
  isNear(
    sum(['attention'], ({ bytes }) => bytes - rows),
    traffic.kv,
    'keys and values',
  );
  const active = config.activeParameters - 2 * config.hiddenSize;
  const flops = sum(
    ['attention_input', 'attention_output', 'dense_ffn', 'route', 'experts', 'head'],
    (work) => work.flops,
  );
  t.ok(Math.abs(flops / (2 * active) - 1) < 1e-3, `two operations a weight that is read: ${flops / 2 / active}`);
  const one = (rows: number) =>
    opWork(description, groups.find(({ op }) => op === 'attention_output')!, { ...size, rows });
  t.equal(one(16).weightBytes, one(1).weightBytes, 'weights are read once for all rows');
  t.equal(one(16).flops, 16 * one(1).flops);
});

/** Checks that the results are one of each op in the order of a step, then the step and the unaccounted rest. */
function checkResults(t: Test, results: readonly OpBenchResult[], rows: readonly number[]): void {
  for (const count of rows) {
    const own = results.filter((result) => result.rows === count);
    const [step, rest] = own.slice(-2) as [OpBenchResult, OpBenchResult];
    t.deepEqual([step.op, rest.op], ['step', 'unaccounted']);
    const parts = own.slice(0, -2);
    for (const { op, ms, floorMs, share, bytes, gbPerS } of parts)
      t.ok(
        ms > 0 && floorMs > 0 && Math.abs(share - floorMs / ms) < 1e-9 && Math.abs(gbPerS - bytes / ms / 1e6) < 1e-9,
        op,
      );
    const sum = (of: (part: OpBenchResult) => number) =>
      parts.reduce((total, part) => total + part.perStep * of(part), 0);
    t.ok(
      Math.abs(sum(({ ms }) => ms) + rest.ms - step.ms) < 1e-9 * step.ms,
      `parts and rest are the step: ${rest.shape}`,
    );
    t.equal(
      sum(({ bytes }) => bytes),
      step.bytes,
    );
    t.equal(
      sum(({ flops }) => flops),
      step.flops,
    );
  }
}

test('bench ops on the CPU: every op, the parts and the rest are the step', async (t) => {
  const args = ['-m', tiny, '--device', 'cpu', '-t', '1', '--rows', '1,2,20', '-r', '3', '--time', '4', '-d', '40'];
  const run = await kexa(['bench', 'ops', ...args, '-o', 'json']);
  t.equal(run.code, 0, run.stderr);
  const results = JSON.parse(run.stdout) as OpBenchResult[];
  checkResults(t, results, [1, 2, 20]);
  const named = (op: string) => results.filter((result) => result.op === op);
  for (const op of [
    'embed',
    'attention_input',
    'attention_output',
    'dense_ffn',
    'route',
    'final_norm',
    'head',
    'choose',
    'draft_input',
  ])
    t.equal(named(op).length, 3, op);
  t.equal(named('attention').length, 6, 'windows and global layers each');
  t.equal(named('step').length, 3);
  const { perStep, expertsRead, threads, variant, timedBy, depth } = named('experts')[0]!;
  t.deepEqual([perStep, expertsRead, threads, variant, timedBy, depth], [7, 4, 1, 'cpu', 'clock', 40]);
  t.ok(named('experts')[2]!.expertsRead! > 4, 'twenty rows go to more experts than one');
  const products = named('attention_input')[0]!;
  t.ok(products.share > 1e-3 && products.share < 20, `a product reaches ${products.share.toFixed(2)} of its floor`);
});

test('bench ops: formats, and wrong usage', async (t) => {
  const common = [
    'bench',
    'ops',
    '-m',
    tiny,
    '--device',
    'cpu',
    '-t',
    '1',
    '-r',
    '1',
    '--time',
    '0',
    '--rows',
    '1',
    '-d',
    '0',
  ];
  const md = await kexa([...common, '--ops', 'head,route']);
  t.match(md.stdout, /^the device itself: copy .*\n\n\| op +\| shape .*\n\| -+ \|.*\n\| route .*\n\| head .*\n\n/);
  t.match(md.stdout, /a cache may hold: .*head 1\.00 MiB|a cache may hold/);
  const csv = await kexa([...common, '-o', 'csv', '--ops', 'route']);
  const [header, ...rows] = csv.stdout.trim().split('\n');
  t.equal(rows.length, 1);
  t.ok(header!.startsWith('op,shape,rows,elements,variant,ms,msDeviation,'));
  const cases: [string[], number, RegExp][] = [
    [['--rows', '5000'], 2, /'--rows <n>': wanted an integer from 1 to 4096, found 5000\nSee kexa bench ops --help/],
    [['-d', '4096'], 2, /'-d, --n-depth <n>': 4096 tokens before and a step of 1 rows need too long a context/],
    [['--ops', 'tail'], 2, /It takes embed,/],
    [['--variant', 'plain'], 2, /'--variant <name>': wanted what cpu has, cpu; found plain/],
    [['--tune'], 2, /--tune: wanted a GPU, .* found the device cpu/],
    [['--tune', '--variant', 'plain'], 2, /leave out/],
  ];
  const runs = await kexaRuns(cases.map(([args]) => ({ args: [...common, ...args] })));
  for (const [i, [, code, pattern]] of cases.entries()) {
    const wrong = runs[i]!;
    t.equal(wrong.code, code, wrong.stderr);
    t.match(wrong.stderr, pattern);
    t.equal(wrong.stdout, '');
  }
});

test('every type of weights and cache is measured, in the bytes that it takes', async (t) => {
  const config = oddConfig(t);
  const { description } = await openSynthetic(config, {}, 'auto');
  const { headDim, kvHeads, layers } = description;
  const isGlobal = layers.filter(({ window }) => window === 0).length;
  for (const cacheType of cacheTypes) {
    const { bytesPerToken } = planMemory(description, { cacheType, contextSize: 64 }).cache;
    const bytes = isGlobal * 2 * kvHeads * headDim * cacheElementBytes(cacheType, headDim);
    t.ok(Math.abs(bytes / bytesPerToken - 1) < 1e-12, `cache ${cacheType}: ${bytes} bytes a token, as planned`);
  }
  const common = { ops: ['attention', 'head'], rows: [1], depth: 40, repetitions: 1, leastMs: 0, threads: 1 } as const;
  const bytesOf = async (types: Pick<OpBenchOptions, 'weights' | 'cacheType'>, op: string) => {
    const { results } = await benchmarkOps(tiny, { ...common, ...types, device: 'cpu' });
    return results.filter((result) => result.op === op).map(({ bytes }) => bytes);
  };
  const wide = await bytesOf({ cacheType: 'f32' }, 'attention');
  const model = await loadModel(tiny, { device: 'cpu' });
  const { heads, headDim: width } = model.config;
  await model.close();
  const queries = 2 * heads * width * 4;
  for (const [cacheType, share] of [
    ['f16', 1 / 2],
    ['q8', 34 / 128],
    ['q4', 20 / 128],
  ] as const)
    for (const [i, bytes] of (await bytesOf({ cacheType }, 'attention')).entries())
      t.equal(bytes, queries + (wide[i]! - queries) * share, `attention over ${cacheType}`);
  const [stored] = await bytesOf({}, 'head');
  const [doubled] = await bytesOf({ weights: 'f32' }, 'head');
  t.equal(doubled! - stored!, 4096 * 256 * 2, 'the head in f32 takes two bytes more a weight than in bf16');
  const run = await kexa([
    ...['bench', 'ops', '-m', tiny, '--device', 'cpu', '-t', '1', '--rows', '1', '-r', '1', '--time', '0', '-d', '8'],
    ...['--weights', 'q2k', '--cache-type', 'q4', '--ops', 'experts', '-o', 'json'],
  ]);
  t.equal(run.code, 0, run.stderr);
  const help = (await kexa(['bench', 'ops', '--help'])).stdout.replaceAll(/\s+/g, ' ');
  for (const types of [weightTypes, cacheTypes])
    t.ok(help.includes(types.map((type) => `"${type}"`).join(', ')), types.join(' '));
});

test('what models hold is counted as it is planned, for every type of weights', async (t) => {
  const { description } = await openModelFolder(tiny);
  for (const weights of weightTypes) {
    const counted = heldAs(description, weights).tensors.reduce((sum, tensor) => sum + heldBytes(tensor, weights), 0);
    t.equal(counted, planMemory(description, { weights }).weights.total, weights);
  }
});

test('the kernels that measure rates pass Dawn’s front end, those of matrices too (Null backend)', async (t) => {
  const { info: _, ...chosen } = await chooseDevice('null');
  const { copy, f32, matrices, matrixShape } = await native().rates({ ...checkPlanOptions({}, 1), ...chosen });
  t.ok(copy > 0 && f32 > 0 && matrices! > 0);
  t.equal(matrixShape, '16x16x16');
});

test('bench ops on a GPU, tuned: kernels named, and the file is what models are loaded with', async (t) => {
  const config = oddConfig(t);
  const file = join(temporaryFolder(t), 'deep/tuning.json');
  process.env.KEXA_TUNING = file;
  t.teardown(() => delete process.env.KEXA_TUNING);
  const common = {
    device: 'swiftshader',
    synthetic: { layers: 2 },
    rows: [1],
    depth: 8,
    repetitions: 1,
    leastMs: 0,
  };
  const { results, tuningKey } = await benchmarkOps(config, { ...common, variants: ['plain', 'subgroups'] });
  for (const variant of ['plain', 'subgroups'] as const)
    checkResults(
      t,
      results.filter((result) => result.variant === variant),
      [1],
    );
  const kernels = (op: string) => results.find((result) => result.op === op)!.kernels.map(({ name }) => name);
  t.deepEqual(kernels('experts').sort(), ['swiglu_input', 'swiglu_output']);
  t.ok(kernels('step').includes('choose'));

  const ops = { experts: { kernels: 'plain', ratio: 1.1 }, head: { kernels: 'subgroups', ratio: 1.2 } } as const;
  const { version } = await import('../../lib/package-root.js');
  const entry = { kexa: version(), measured: '2026-01-01T00:00:00.000Z', ops };
  await writeTuning(file, 'another driver', { ...entry, ops: { route: ops.experts } });
  t.deepEqual(await tunedPlainOps(await chooseDevice('swiftshader')), [], 'another driver’s entry is not this one’s');
  await writeTuning(file, tuningKey, entry);
  t.deepEqual(Object.keys(await readTuning(file)), ['another driver', tuningKey], 'entries stand side by side');
  t.deepEqual(await tunedPlainOps(await chooseDevice('swiftshader')), ['experts']);
  const tests = [{ prompt: 0, generated: 2, depth: 0, mtp: false as const }];
  // The work of the steps is counted in the warm-up.
  const synthetic = { layers: 2 };
  const bench = { tests, device: 'swiftshader', synthetic, prefillChunk: 1, repetitions: 1, rates: false };
  const [tuned] = await benchmark(config, bench);
  t.ok(
    tuned!.dispatches_per_token! > 10 && tuned!.encode_ms_per_token! > 0,
    `${tuned!.dispatches_per_token} dispatches`,
  );
  const plain = { kernels: 'plain', ratio: 1.1 } as const;
  await writeTuning(file, tuningKey, { ...entry, ops: { attention: plain, route: plain, attention_output: plain } });
  const logits: Buffer[] = [];
  for (const prefillChunk of [1, 4]) {
    const options = { device: 'swiftshader', contextSize: 16, prefillChunk };
    const model = await loadSynthetic(config, { layers: 2 }, options);
    logits.push(Buffer.from((await model.forward(ids)).logits.buffer));
    await model.close();
  }
  t.ok(logits[0]!.equals(logits[1]!), 'with some ops plain, a row alone has the bits that it has in company');
  await writeTuning(file, tuningKey, { ...entry, kexa: '0.0.1' });
  t.deepEqual(await tunedPlainOps(await chooseDevice('swiftshader')), [], 'nor is one of other kernels');

  writeFileSync(file, readFileSync(file, 'utf8').slice(0, -20));
  try {
    await benchmark(config, bench);
    t.fail('a damaged file is taken');
  } catch (error) {
    t.ok(error instanceof KexaError && error.code === 'KEXA_BAD_FILE', String(error));
    t.match(String(error), /tuning\.json: the tuning file cannot be read .*KEXA_TUNING=off/);
  }
  const doctor = await kexa(['doctor'], { env: { KEXA_TUNING: file } });
  t.match(doctor.stdout, /\ntuning +.*tuning\.json: the tuning file cannot be read/);
  process.env.KEXA_TUNING = 'off';
  t.equal(tuningPath(), null);
  t.deepEqual(await tunedPlainOps(await chooseDevice('swiftshader')), [], 'turned off, it is not looked at');
});

test('tuning takes one way for all small steps, and only where it gains', (t) => {
  const result = (op: string, rows: number, variant: string, ms: number) =>
    ({ op, rows, variant, ms, elements: 'f32', perStep: 2 }) as unknown as OpBenchResult;
  const results = [
    ...[1, 4].flatMap((rows) => [result('route', rows, 'plain', rows), result('route', rows, 'subgroups', 2)]),
    ...[64].flatMap((rows) => [result('route', rows, 'plain', 3), result('route', rows, 'subgroups', 4)]),
    ...[1].flatMap((rows) => [result('head', rows, 'plain', 0.99), result('head', rows, 'subgroups', 1)]),
  ];
  const found = tuneFrom(results);
  t.deepEqual(Object.keys(found), ['route', 'head', 'route large']);
  t.equal(found.route!.kernels, 'subgroups', 'a tie of 1 and 4 rows: the usual way');
  t.deepEqual(found['route large'], { kernels: 'plain', ratio: 4 / 3 });
  t.equal(found.head!.kernels, 'subgroups', 'one percent is noise');
  t.end();
});
