// Attention on the GPU, in both ways its kernels are written: how prompts are cut, where rings, pages and windows end,
// head sizes that divide nothing.
import { join } from 'node:path';
import test from 'tape';
import { type LoadOptions, loadModel, type Model, type Session } from '../../lib/index.js';
import { twoLayers } from '../support/attention-model.js';
import { isSame, randomIds, rowDifference, show } from '../support/compare.js';
import { attentionShapes, bothWays, forwardOf, testCuts } from '../support/gpu-attention.js';
import { refuses } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu: LoadOptions = { device: 'swiftshader' };

// One row, a few, and chunks whose last one is not full. Test gpu/attention.long has more numbers of rows, and heads of
// 6 and 136.
testCuts(attentionShapes[0]!, { plain: [1, 16], subgroups: [1, 7, 17, 64] });

test('a window that is divided among workgroups', async (t) => {
  const folder = twoLayers(t, { rope_parameters: { rope_theta: 1e6, rope_type: 'default' } }, 300);
  const ids = randomIds(333, 200, 4);
  const cpu = await forwardOf(folder, ids, { device: 'cpu' });
  for (const gpuKernels of bothWays) {
    const difference = rowDifference(await forwardOf(folder, ids, { ...onGpu, gpuKernels }, 16), cpu, 200);
    t.ok(difference < 1e-5, `${gpuKernels}: within ${show(difference)}`);
  }
});

/** The most that one stored value, rounded the other way, may change in a row of logits. */
const cacheBounds = { f16: 1e-3, bf16: 1e-2, q8: 2e-2, q4: 0.2 } as const;

test('a smaller cache is the CPU device’s, whatever the size of steps', async (t) => {
  const folder = twoLayers(t, { head_dim: 20 }, 40);
  const ids = randomIds(80, 200, 5);
  for (const [i, [cacheType, bound]] of Object.entries(cacheBounds).entries()) {
    const options = { cacheType: cacheType as keyof typeof cacheBounds };
    const cpu = await forwardOf(folder, ids, { device: 'cpu', ...options });
    const few = await forwardOf(folder, ids, { ...onGpu, gpuKernels: 'subgroups', ...options }, 16);
    // Both kinds of steps read the cache with the same text, so plain kernels take small steps and large ones in turn.
    for (const [gpuKernels, rows] of [
      ['subgroups', 1],
      ['subgroups', 64],
      ['plain', i % 2 ? 16 : 64],
    ] as const) {
      const found = await forwardOf(folder, ids, { ...onGpu, gpuKernels, ...options }, rows < 64 ? rows : 0);
      const difference = rowDifference(found, cpu, 200);
      t.ok(difference < bound, `${gpuKernels}, ${cacheType}, ${rows} rows: within ${show(difference)}`);
      if (rows === 1) t.ok(isSame(found, few), `${gpuKernels}, ${cacheType}: one row at a time, to the bit`);
    }
  }
});

test('forks, files and kept prefixes hold what a GPU has cached', async (t) => {
  const folder = twoLayers(t, {}, 70);
  const file = join(folder, 'session');
  const ids = randomIds(150, 200, 8);
  const run = async (options: LoadOptions) => {
    const model = await loadModel(folder, { ...options, prefillChunk: 64, prefixCacheBytes: 2 ** 20, cacheType: 'q8' });
    const found: { ids: number[]; cached: number }[] = [];
    const ask = async (from: Model | Session, prompt: number[]) => {
      const answer = await from.generate(prompt, { temperature: 0, maxTokens: 3, ignoreEos: true });
      found.push({ ids: answer.ids, cached: answer.usage.cachedTokens });
    };
    const session = model.createSession();
    await ask(session, ids);
    const fork = await session.fork();
    await session.save(file);
    await ask(fork, [...ids, 1, 2]);
    await ask(session, [...ids, 3]);
    await ask(await model.loadSession(file), [...ids, 4]);
    await ask(model, [...ids, 5, 6, 7]);
    await model.close();
    return found;
  };
  const [gpu, cpu] = [await run(onGpu), await run({ device: 'cpu' })];
  t.deepEqual(gpu, cpu, `cached: ${gpu.map(({ cached }) => cached).join(', ')}`);
  const model = await loadModel(folder, { ...onGpu, cacheType: 'q8' });
  await refuses(t, 'KEXA_SESSION_MISMATCH', ['device', 'wanted gpu', 'found cpu'], () => model.loadSession(file));
  await model.close();
});

test('two sessions whose prompts are computed in turns, from other slots and pages', async (t) => {
  const folder = twoLayers(t, {}, 70);
  const run = async (options: LoadOptions) => {
    const model = await loadModel(folder, { ...options, prefillChunk: 64 });
    const answer = async (seed: number, length: number) => {
      const generated = await model.createSession().generate(randomIds(length, 200, seed), {
        temperature: 0,
        maxTokens: 6,
        ignoreEos: true,
      });
      return generated.ids;
    };
    const answers = await Promise.all([answer(6, 200), answer(7, 161)]);
    await model.close();
    return answers;
  };
  const wanted = await run({ device: 'cpu' });
  t.deepEqual(await run(onGpu), wanted);
  // A slot's table of pages is shorter than the pool.
  t.deepEqual(
    await run({ ...onGpu, contextSize: 256, slots: 6, cacheTokens: 1024 }),
    wanted,
    'six slots, four contexts',
  );
});
