import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'tape';
import { readConfigOnly } from '../../lib/files/model-folder.js';
import { KexaError, loadModel } from '../../lib/index.js';
import { planMemory } from '../../lib/plan/memory-plan.js';
import { mainMemory, slowMemory } from '../../lib/plan/slow-memory.js';
import type { CacheType } from '../../lib/types.js';
import { randomIds, rowDifference, show } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';
import { fullSizeConfigFolder } from '../support/models.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { bigVocabularyFolder, realVocabulary } from '../support/real-size.js';

const gib = 2 ** 30;

test('K-EXAONE-236B at 262,144 tokens is planned from its config alone', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  const plan = planMemory(shape, { contextSize: 262144, cacheType: 'bf16', prefillChunk: 128 });
  t.equal(plan.cache.global, 12 * gib, 'twelve global layers of 4 KiB a token are 12 GiB');
  t.equal(plan.cache.mtp, 1 * gib, 'the MTP layer is global: 1 GiB');
  t.equal(plan.cache.sliding, 36 * 4 * (128 + 128 - 1) * 4096, 'sliding layers: four rings of window + chunk - 1 rows');
  t.equal(plan.cache.bytesPerToken, 13 * 4096, 'a token more costs 4 KiB in each global layer');
  t.equal(plan.cache.total, plan.cache.global + plan.cache.sliding + plan.cache.mtp);
  t.equal(plan.weights.total, 2 * 237_099_669_632, 'weights in bf16');
  // 36 layers with a window and one row more, keys and values in bf16; then ids and pages.
  const turn = 36 * 129 * 4096 + (262144 + 4096) * 4;
  t.equal(plan.prefixCache, 4 * turn, 'a turn of each of four conversations is kept');
  t.equal(
    plan.total,
    plan.weights.total + plan.cache.total + plan.scratch + plan.prefixCache,
    'the parts are the whole',
  );
  const short = planMemory(shape, { contextSize: 4096, cacheType: 'bf16', prefillChunk: 128 });
  t.equal(short.cache.sliding, plan.cache.sliding, 'sliding layers cost the same at any context');
  t.equal(plan.cache.global / short.cache.global, 64, 'global layers grow with the context');
});

test('slots and cacheTokens: rings for each sequence, pages for all, and no more than that', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  const options = { contextSize: 65536, cacheType: 'bf16' } as const;
  for (const device of ['cpu', 'gpu'] as const) {
    const plan = (more: { slots?: number; cacheTokens?: number }) => planMemory(shape, { ...options, ...more, device });
    const four = plan({});
    t.deepEqual(plan({ slots: 4, cacheTokens: 65536 }), four, `${device}: four, and the context's tokens by default`);
    const sixteen = plan({ slots: 16 });
    t.equal(sixteen.cache.sliding, 4 * four.cache.sliding, `${device}: 16 rings take four times as much as 4`);
    t.equal(sixteen.cache.global, four.cache.global, `${device}: and pages the same`);
    t.equal(sixteen.prefixCache, 4 * four.prefixCache, `${device}: the turns of 16 conversations`);
    const large = plan({ slots: 16, cacheTokens: 262144 });
    t.equal(large.cache.global, 4 * four.cache.global, `${device}: four times the tokens, four times the pages`);
    t.equal(large.cache.sliding, sixteen.cache.sliding, `${device}: and rings the same`);
    t.equal(large.cache.mtp, 4 * four.cache.mtp);
    t.equal(large.prefixCache, sixteen.prefixCache, `${device}: a turn is as long as before`);
    if (device === 'cpu') t.equal(large.scratch, four.scratch, 'a step is no larger');
  }
  t.throws(
    () => planMemory(shape, { ...options, cacheTokens: 65535 }),
    /cacheTokens: wanted at least contextSize, 65536/,
  );
  t.throws(() => planMemory(shape, { ...options, slots: 0 }), /slots: wanted an integer from 1 to 256, found 0/);
});

test('K-EXAONE-236B in chunks of 4,096 rows: logits of some hundred rows at a time, in 256 MiB', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  for (const device of ['cpu', 'gpu'] as const) {
    const scratch = (prefillChunk: number) => planMemory(shape, { contextSize: 8192, prefillChunk, device }).scratch;
    const logits = 153_600 * 4;
    t.ok(scratch(400) - scratch(399) > logits, `${device}: up to 436 rows another row has logits`);
    t.ok(scratch(4096) - scratch(2048) < 2048 * logits, `${device}: further ones have none`);
    t.ok(scratch(4096) < 2.5 * gib, `${device}: ${(scratch(4096) / gib).toFixed(2)} GiB in all`);
  }
});

test('a chunk of more rows than logits are held of at a time gives the same scores', async (t) => {
  const folder = await bigVocabularyFolder();
  const ids = randomIds(450, realVocabulary, 3);
  const scores: Float32Array[] = [];
  for (const prefillChunk of [512, 64]) {
    const model = await loadModel(folder, { threads: 1, contextSize: 512, prefillChunk });
    scores.push(await model.score(ids));
    await model.close();
  }
  t.equal(scores[0]!.length, 449);
  t.deepEqual(scores[0], scores[1], 'to the bit');
});

test('a cache in 16 bits takes half of one in 32, blocks of 32 their 34 and 20 bytes', async (t) => {
  const { shape } = await readConfigOnly(modelFolder('tiny'));
  const bytes = (cacheType: CacheType, device: 'cpu' | 'gpu' = 'cpu') => planMemory(shape, { cacheType, device }).cache;
  t.equal(bytes('f32').total, 2 * bytes('f16').total);
  t.equal(bytes('q8').total, (bytes('f16').total * 34) / 64);
  t.equal(bytes('q4').total, (bytes('f16').total * 20) / 64);
  for (const cacheType of ['f32', 'f16', 'q8', 'q4'] as const)
    t.deepEqual(bytes(cacheType, 'gpu'), bytes(cacheType), `${cacheType}: heads of 64 take the same on a GPU`);
});

test('K-EXAONE-236B at 262,144 tokens: the global layers take 12 GiB in f16, 6.375 in q8, 3.75 in q4', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  for (const [cacheType, gibs] of [
    ['f16', 12],
    ['q8', 6.375],
    ['q4', 3.75],
  ] as const)
    for (const device of ['cpu', 'gpu'] as const) {
      const { cache } = planMemory(shape, { contextSize: 262144, cacheType, device });
      t.equal(cache.global, gibs * gib, `${cacheType}, ${device}`);
    }
});

test('a head that is no whole number of blocks is filled up with zeros, and that is planned', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-memory-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const random = makeRandomModel({ ...sisterConfigs.kExaone2, head_dim: 24, num_nextn_predict_layers: 0 }, 1);
  writeRandomModel(folder, random, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  for (const [cacheType, blockBytes] of [
    ['q8', 34],
    ['q4', 20],
  ] as const) {
    const model = await loadModel(folder, { contextSize: 128, cacheType });
    t.equal(model.memory.cache.global, 2 * 128 * 2 * 2 * blockBytes, `${cacheType}: two global layers, two heads`);
    const ids = Array.from({ length: 100 }, (_, i) => (i * 37) % 200);
    const found = await model.forward(ids, { logits: 'last' });
    await model.close();
    const exact = await loadModel(folder, { contextSize: 128 });
    const { logits } = await exact.forward(ids, { logits: 'last' });
    await exact.close();
    const off = rowDifference(found.logits, logits, logits.length);
    t.ok(off > 0 && off < (cacheType === 'q8' ? 0.2 : 1), `${cacheType}: logits within ${show(off)} of f32's`);
  }
});

test('a loaded model reports its plan, and weights read in place are mapped', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { contextSize: 512 });
  t.equal(model.contextSize, 512);
  t.equal(model.memory.weights.mapped, model.memory.weights.total, 'all of the file is read in place');
  t.equal(model.memory.cache.global, 2 * 512 * 2 * 2 * 64 * 4, 'two global layers of 512 rows of K and V');
  await model.close();
  const wide = await loadModel(modelFolder('tiny'), { weights: 'f32' });
  t.ok(wide.memory.weights.mapped < wide.memory.weights.total / 100, 'only vectors are left in the file');
  t.ok(wide.memory.weights.total > 1.98 * model.memory.weights.total, 'f32 takes twice the room of bf16');
  await wide.close();
});

test('resident memory is what was planned, within 2 percent', { skip: process.platform !== 'linux' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-memory-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const config = {
    ...makeRandomModel({ ...sisterConfigs.kExaone2, num_nextn_predict_layers: 0 }, 1).config,
    hidden_size: 256,
    intermediate_size: 256,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    head_dim: 128,
    // Many layers and a short context take more cache for less time than few layers and a long one.
    num_hidden_layers: 10,
    sliding_windows: [64, 64, ...Array(8).fill(0)],
    mlp_layer_types: Array(10).fill('dense'),
    swiglu_limits: undefined,
    max_position_embeddings: 4096,
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const cacheTypes = ['f32', 'f16', 'q8', 'q4'] as const;
  const args = ['--expose-gc', join('test', 'support', 'resident-bytes.mjs'), folder, ...cacheTypes];
  // Without the variable malloc keeps freed memory, and a load seems to cost less than it does.
  const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: '65536' };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  const measured = JSON.parse(stdout) as Record<string, number>[];
  for (const [i, cacheType] of cacheTypes.entries()) {
    const { loaded, plannedLoaded, grown, plannedGrown } = measured[i]!;
    const isNear = (what: string, found = Number.NaN, planned = 0) =>
      t.ok(
        Math.abs(found - planned) < 0.02 * planned,
        `${cacheType}, ${what}: ${found} of ${planned} planned (${(found / planned).toFixed(4)})`,
      );
    isNear('loaded, 128 tokens', loaded, plannedLoaded);
    isNear('512 tokens more', grown, plannedGrown);
  }
});

test('a plan that does not fit is refused before anything is allocated, with what would fit', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-memory-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const positions = 1_000_000_000;
  const model = makeRandomModel({ ...sisterConfigs.kExaone2, max_position_embeddings: positions }, 1);
  writeRandomModel(folder, model, { dtype: 'BF16', experts: 'separate', biasUnderGate: false, shards: 1 });
  try {
    await loadModel(folder, { contextSize: positions });
    t.fail('it was loaded');
  } catch (error) {
    t.ok(error instanceof KexaError && error.code === 'KEXA_OUT_OF_MEMORY', String(error));
    const fits = Number(/contextSize (\d+) would fit/.exec((error as Error).message)?.[1]);
    t.ok(fits > 0 && fits < positions, `a smaller context is named: ${fits}`);
  }
  const small = await loadModel(folder, { contextSize: 1000 });
  t.equal((await small.generate([1, 2, 3], { maxTokens: 2 })).ids.length, 2, 'a context that fits runs');
  await small.close();
});

test('a missing addon is named with every place that was tried', async (t) => {
  const { spawnSync } = await import('node:child_process');
  const script = `import('./lib/native.ts').then(({ native }) => native()).catch((error) => { console.log(error.code, error.message); })`;
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, KEXA_BINARY: '/nowhere/kexa.node' },
  });
  t.match(stdout, /KEXA_NO_BINARY/);
  t.match(stdout, /\/nowhere\/kexa\.node: no such file/);
  t.match(stdout, /KEXA_BINARY/);
});

test('weights larger than main memory are told of, with the recipe that would fit', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  const description = { ...shape, files: ['x'], tensors: [] };
  const total = 2 * 237_099_669_632;
  const plan = { total: total + gib, weights: { total, mapped: total } };
  t.equal(slowMemory(description, plan, 512 * gib), null);
  t.match(
    slowMemory(description, plan, 400 * gib)!,
    /weights take 441.6\d GiB, and main memory has 400.00 GiB.*recipe q8 /,
  );
  t.match(slowMemory(description, plan, 180 * gib)!, /recipe q4 .*--recipe q4/);
  t.match(slowMemory(description, plan, 23 * gib)!, /even in the smallest recipe, q2, they would take \d\d/);
  const held = { total: total + gib, weights: { total, mapped: 0 } };
  t.equal(slowMemory(description, held, 23 * gib), null, 'what is held anew is refused where it does not fit');
  t.ok(mainMemory() > 0 && mainMemory() <= totalmem());
});
