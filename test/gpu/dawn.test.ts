// The layer between the kernels and Dawn: its Null backend, counts and times, the blob cache, uploads.
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'tape';
import { type KexaError, type LoadOptions, loadModel } from '../../lib/index.js';
import { kexa, temporaryFolder } from '../support/cli.js';
import { rowDifference } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';
import { testPlannedMemory } from '../support/planned-memory.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { softwareGpuEnvironment, useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu: LoadOptions = { device: 'swiftshader', gpuChecks: true };

test('every kernel, in f16 and f32, plain and with subgroups, passes Dawn’s front end (Null backend)', async (t) => {
  for (const name of ['tiny', 'edge', 'two', 'wide'] as const)
    for (const gpuKernels of ['plain', 'subgroups', 'matrices'] as const)
      for (const gpuElements of ['f16', 'f32'] as const) {
        const model = await loadModel(modelFolder(name), { device: 'null', gpuElements, gpuKernels, gpuChecks: true });
        // Encoded and validated, though nothing is computed: a short step, a long one, and the MTP block.
        for (const count of [3, 40]) {
          const ids = Array.from({ length: count }, (_, i) => i);
          const { logits } = await model.forward(ids, { mtp: model.config.mtp !== null });
          t.equal(
            logits.length,
            count * model.config.vocabSize,
            `${name}, ${gpuKernels}, ${gpuElements}: ${count} rows`,
          );
        }
        // The rows of a prompt take the same kernels, however many they are.
        for (const count of [1, 16, 17]) {
          const { profile } = await model.forward(Array(count).fill(1), { profile: true });
          t.equal(
            profile!.ops.some((op) => op.name === 'multiply_matrices'),
            gpuKernels === 'matrices',
            `${name}, ${gpuKernels}: by subgroup matrices or not, ${count} rows`,
          );
        }
        t.equal(model.device.name, 'null');
        await model.close();
      }
});

test('a weight beyond f16 is refused where matrices are multiplied in f16, and nowhere else', async (t) => {
  for (const [dtype, largest, beyond] of [
    ['BF16', 65280, -65536],
    ['F32', 65504, 65505],
  ] as const)
    for (const value of [largest, beyond]) {
      const folder = temporaryFolder(t);
      const random = makeRandomModel({ ...sisterConfigs.kExaone, num_hidden_layers: 4 }, 7, dtype);
      random.tensors.get('model.layers.1.self_attn.k_proj.weight')!.data[70] = value;
      writeRandomModel(folder, random, { dtype, experts: 'separate', biasUnderGate: false, shards: 1 });
      const outcome = async (options: LoadOptions) => {
        try {
          await (await loadModel(folder, { device: 'null', ...options })).close();
          return 'loaded';
        } catch (error) {
          return `${(error as KexaError).code}: ${(error as Error).message}`;
        }
      };
      const refusal = await outcome({ gpuKernels: 'matrices' });
      if (value === largest) t.equal(refusal, 'loaded', `${dtype}: ${value}`);
      else t.match(refusal, /^KEXA_UNSUPPORTED: layer 1 k: .*65504/, `${dtype}: ${value}`);
      t.equal(await outcome({ gpuKernels: 'subgroups' }), 'loaded');
    }
});

test('the Null backend is never listed nor taken for a GPU, though Dawn falls back to it where it has no driver', async (t) => {
  const run = await kexa(['doctor', '--json'], {
    env: { ...softwareGpuEnvironment(), VK_ICD_FILENAMES: '/no/such/driver.json' },
  });
  const { devices, dawn } = JSON.parse(run.stdout) as { devices: { name: string }[]; dawn: { adapters: object[] } };
  t.deepEqual(
    devices.map(({ name }) => name),
    ['cpu'],
  );
  t.deepEqual(dawn.adapters, []);
});

test('a step is one compute pass and one submit, with at most 8 dispatches a MoE layer and 7 a dense one', async (t) => {
  for (const name of ['edge', 'two'] as const) {
    const model = await loadModel(modelFolder(name), { ...onGpu, prefillChunk: 64 });
    const { layers, normPlacement, vocabSize } = model.config;
    t.equal(normPlacement, 'pre');
    // A prompt's rows, which are grouped by expert, may take more.
    const mostOf = (isPrompt: boolean) =>
      layers.reduce((sum, { ffn }) => sum + (isPrompt ? 14 : ffn === 'moe' ? 8 : 7), 3); // with embedding, final norm and head
    const answer = await model.generate([1, 2, 3], {
      temperature: 0,
      maxTokens: 4,
      mtp: false,
      ignoreEos: true,
      profile: true,
    });
    const { steps, gpu: decode } = answer.profile!.decode;
    // Two more kernels make a step's rows and choose.
    t.ok(
      decode!.dispatches <= steps * (mostOf(false) + 2),
      `${name}: ${decode!.dispatches} dispatches of ${steps} steps`,
    );
    for (const count of [1, 16, 40]) {
      const most = mostOf(true);
      const ids = Array.from({ length: count }, (_, i) => (7 * i) % vocabSize);
      const plain = await model.forward(ids, { logits: 'last' });
      const { profile, logits } = await model.forward(ids, { logits: 'last', profile: true });
      t.deepEqual(logits, plain.logits, 'the same logits as without');
      t.deepEqual([profile!.passes, profile!.submits], [1, 1], `${name}, ${count} rows: one pass, one submit`);
      t.ok(profile!.dispatches <= most, `${profile!.dispatches} dispatches of at most ${most}`);
      const sum = (key: 'dispatches' | 'nanoseconds') => profile!.ops.reduce((total, op) => total + op[key], 0);
      t.equal(sum('dispatches'), profile!.dispatches, 'each belongs to a kernel');
      t.ok(
        profile!.ops.every(({ nanoseconds }) => nanoseconds > 0),
        JSON.stringify(profile!.ops),
      );
      t.ok(sum('nanoseconds') < 60e9, 'in nanoseconds');
    }
    const chunks = (await model.forward(Array(130).fill(1), { logits: 'last', profile: true })).profile!;
    t.deepEqual([chunks.passes, chunks.submits], [3, 3], 'three chunks, three steps');
    const { profile } = await model.forward([1, 2], { mtp: true });
    t.equal(profile, undefined, 'only when asked for');
    await model.close();
  }
  const cpu = await loadModel(modelFolder('edge'), { device: 'cpu' });
  t.equal((await cpu.forward([1], { profile: true })).profile, null, 'the CPU device has none');
  await cpu.close();
});

test('compiled kernels are kept on disk; a broken or unwritable cache is none', async (t) => {
  const folder = temporaryFolder(t);
  t.teardown(() => {
    Object.assign(process.env, { KEXA_CACHE_DIR: '', KEXA_KEEP_DEVICES: '1' });
  });
  // A kept device would not ask the cache again.
  delete process.env.KEXA_KEEP_DEVICES;
  const cache = join(folder, 'kexa');
  process.env.KEXA_CACHE_DIR = cache;
  const run = async () => {
    const model = await loadModel(modelFolder('edge'), onGpu);
    const { logits } = await model.forward([1, 2, 3]);
    await model.close();
    return logits;
  };
  const files = () =>
    readdirSync(join(cache, 'dawn'))
      .sort()
      .map((name) => join(cache, 'dawn', name));
  const fresh = await run();
  const names = files();
  t.ok(names.length > 8 && names.every((name) => /[0-9a-f]{32}\.blob$/.test(name)), `${names.length} blobs`);
  const written = names.map((name) => readFileSync(name));
  t.deepEqual(await run(), fresh, 'the same from the cache');
  t.deepEqual(files(), names, 'where everything was found');

  // Cut short, altered, emptied, of another key: none is taken for what it was, all are written anew.
  for (const [i, name] of names.entries()) {
    const bytes = Buffer.from(written[i]!);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(name, [bytes, bytes.subarray(0, -1), Buffer.alloc(0), written[(i + 1) % written.length]!][i % 4]!);
  }
  t.deepEqual(await run(), fresh, 'the same from a broken cache');
  const mended = names.filter((name, i) => readFileSync(name).equals(written[i]!));
  t.equal(mended.length, names.length, 'which is mended');

  // Code that drivers run is neither taken from a place that others can write to, nor put there.
  chmodSync(join(cache, 'dawn'), 0o777);
  for (const name of names) rmSync(name);
  t.deepEqual(await run(), fresh, 'the same where others may write');
  t.deepEqual(files(), [], 'where nothing is kept');
  chmodSync(join(cache, 'dawn'), 0o700);

  writeFileSync(join(folder, 'file'), '');
  process.env.KEXA_CACHE_DIR = join(folder, 'file', 'below');
  t.deepEqual(await run(), fresh, 'the same where nothing can be written');
});

test('a load is stopped in the middle of its upload, and the next one is whole', async (t) => {
  const folder = temporaryFolder(t);
  // 40 MiB: more than the blocks it goes through.
  const config = { ...sisterConfigs.kExaone, vocab_size: 20480, hidden_size: 256, num_hidden_layers: 4 };
  writeRandomModel(folder, makeRandomModel(config, 7, 'F32'), {
    dtype: 'F32',
    experts: 'separate',
    biasUnderGate: false,
    shards: 1,
  });
  for (let round = 0; round < 2; round++) {
    const stop = new AbortController();
    const seen: number[] = [];
    try {
      await loadModel(folder, {
        ...onGpu,
        signal: stop.signal,
        onProgress: ({ fraction }) => {
          seen.push(fraction);
          // The files have been read once by then, which is told from 0 to 1 too.
          if (fraction < (seen.at(-2) ?? 0)) stop.abort();
        },
      });
      t.fail('it was loaded');
    } catch (error) {
      t.equal((error as Error).name, 'AbortError');
    }
    t.ok(seen.at(-1)! > 0 && seen.at(-1)! < 1, `after ${seen.join(' ')}`);
  }
  const outcomes = [];
  for (const options of [{ device: 'cpu' }, onGpu]) {
    const fractions: number[] = [];
    const model = await loadModel(folder, { ...options, onProgress: ({ fraction }) => fractions.push(fraction) });
    outcomes.push(await model.forward([1, 20000, 15000], { logits: 'all' }));
    if (model.device.kind === 'gpu') t.equal(fractions.at(-1), 1, fractions.join(' '));
    await model.close();
  }
  const difference = rowDifference(outcomes[1]!.logits, outcomes[0]!.logits, 20480);
  t.ok(difference < 1e-5, `logits within ${difference.toExponential(1)} of the CPU device's`);
});

testPlannedMemory([
  ['tiny', {}],
  ['tiny', { contextSize: 1000, prefillChunk: 16, cacheType: 'f16', weights: 'f32' }],
  ['edge', { prefillChunk: 200, contextSize: 700, cacheType: 'q8' }],
]);
