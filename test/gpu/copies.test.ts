/**
 * Rows of the cache that are copied on the GPU: for kept prefixes, forks and pages that two sessions share. The copies
 * have the right rows, and no step waits for them.
 */
import test from 'tape';
import { randomIds } from '../support/compare.js';
import { opShapes, probeOptions } from '../support/op-cases.js';
import { OpProbe } from '../support/op-probe.js';
import { alone, greedy, open } from '../support/session-turns.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

test('rows are copied and read back without a wait, and as they were at that time', async (t) => {
  const { config, dtype } = opShapes['groups of experts, two shared experts, window 5']!;
  for (const cacheType of ['bf16', 'q8'] as const) {
    const options = { ...probeOptions, slots: 4, prefillChunk: 64, contextSize: 192, cacheType } as const;
    const probe = await OpProbe.open(config, dtype, { ...options, device: 'swiftshader', gpuChecks: true });
    for (const layer of probe.description.layers.keys())
      t.deepEqual(probe.copyCache(layer, layer + 1), { wrongBytes: 0, waits: 0 }, `${cacheType}, layer ${layer}`);
    probe.close();
  }
});

test('a step that keeps a prefix waits for nothing, and the prefix is right', async (t) => {
  const options = { contextSize: 192, prefillChunk: 32 };
  const cpu = await open(t, 'edge', options);
  const prompt = randomIds(100, cpu.config.vocabSize, 1);
  const [other, longer] = [7, 8].map((id) => [...prompt, id]);
  const waits: number[] = [];
  for (const prefixCacheBytes of [0, 2 ** 26]) {
    const gpu = await open(t, 'edge', { ...options, device: 'swiftshader', prefixCacheBytes });
    const first = await gpu.generate(prompt, { ...greedy, maxTokens: 4, profile: true });
    waits.push(first.profile!.prefill.gpu!.waits);
    t.deepEqual(first.ids, (await alone(cpu, prompt, 4)).ids, `kept: ${prefixCacheBytes} bytes`);
    const second = await gpu.generate(other!, { ...greedy, maxTokens: 4 });
    t.equal(second.usage.cachedTokens, prefixCacheBytes ? prompt.length : 0);
    t.deepEqual(second.ids, (await alone(cpu, other!, 4)).ids, 'from the kept prefix');
    if (!prefixCacheBytes) continue;
    const session = gpu.createSession();
    await session.generate(prompt, { ...greedy, maxTokens: 4 });
    const fork = await session.fork();
    // Both write to the page that they share.
    t.deepEqual((await fork.generate(longer!, { ...greedy, maxTokens: 4 })).ids, (await alone(cpu, longer!, 4)).ids);
    t.deepEqual((await session.generate(other!, { ...greedy, maxTokens: 4 })).ids, second.ids, 'the parent goes on');
  }
  t.equal(waits[1], waits[0], `a prompt's steps waited ${waits[0]} times without keeping, ${waits[1]} with it`);
});
