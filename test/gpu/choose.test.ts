/**
 * Tokens chosen on the GPU, with the next step begun before they are read: the CPU device's tokens, for every setting.
 */
import test from 'tape';
import { loadModel, type Model } from '../../lib/index.js';
import { randomIds, randomNumbers } from '../support/compare.js';
import { bf16, damagedCopy } from '../support/damaged-model.js';
import { settingCount, testChoices } from '../support/gpu-choices.js';
import { modelFolder } from '../support/models.js';
import { extremeOptions } from '../support/sampling-extremes.js';
import { refuses } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

// Models are closed here with a step under way, so each has a device of its own.
useSoftwareGpu({ keepsDevices: false });

/** One model of edge on the GPU, with Dawn's checks, serves all tests: compiling its kernels takes longest. */
let edgeOnGpu: Promise<Model> | undefined;
function openEdge(): Promise<Model> {
  edgeOnGpu ??= loadModel(modelFolder('edge'), { device: 'swiftshader', gpuChecks: true });
  return edgeOnGpu;
}
test.onFinish(async () => (await edgeOnGpu)?.close());

testChoices('edge', { mtps: [[false], [2], [8]], most: 20, count: settingCount, open: openEdge });

test('ties go to the lowest id, greedy and at the edge of top-k', async (t) => {
  const gpu = await openEdge();
  const cpu = await loadModel(modelFolder('edge'), { device: 'cpu' });
  // A bias this large swallows the logits: 512 + 1e9 is 1e9 in 32 bits, so all three are equal.
  const logitBias = { 300: 1e9, 44: 1e9, 400: 1e9 };
  const options = { maxTokens: 3, ignoreEos: true, logitBias };
  t.deepEqual((await gpu.generate([1, 2, 3], { ...options, temperature: 0 })).ids, [44, 44, 44]);
  for (const topK of [1, 2, 3])
    for (let seed = 0; seed < 2; seed++) {
      const sampled = { ...options, temperature: 1, topK, seed };
      // Top-p looks at what top-k has left, not at what has the same logit.
      for (const topP of [1, 0.999])
        t.deepEqual(
          (await gpu.generate([1, 2, 3], { ...sampled, topP })).ids,
          (await cpu.generate([1, 2, 3], { ...sampled, topP })).ids,
          `top ${topK}, ${topP}, seed ${seed}`,
        );
    }
  await cpu.close();
});

test('log-probabilities, stop texts, the end of the context and an end-of-turn token, with the next step under way', async (t) => {
  const gpu = await loadModel(modelFolder('tiny'), { device: 'swiftshader', contextSize: 40, prefillChunk: 16 });
  const cpu = await loadModel(modelFolder('tiny'), { device: 'cpu', contextSize: 40, prefillChunk: 16 });
  for (const mtp of [false, 8] as const) {
    const prompt = randomIds(mtp ? 33 : 32, cpu.config.vocabSize, 5);
    const toTheEnd = { temperature: 0, ignoreEos: true, mtp };
    const found = await gpu.generate(prompt, toTheEnd);
    t.deepEqual(found.ids, (await cpu.generate(prompt, { ...toTheEnd, mtp: false })).ids, `to the end, mtp ${mtp}`);
    t.equal(found.finishReason, 'length');
    t.equal(prompt.length + found.ids.length, 40);
  }
  const question = 'Insert Fields';
  const base = { temperature: 0, thinking: false, maxTokens: 12, logprobs: 2, seed: 1 };
  const wanted = await cpu.generate(question, base);
  for (const mtp of [false, 3] as const) {
    const found = await gpu.generate(question, { ...base, mtp });
    t.equal(found.text, wanted.text);
    const apart = found.logprobs!.map(({ logprob }, i) => Math.abs(logprob - wanted.logprobs![i]!.logprob));
    t.ok(Math.max(...apart) < 1e-4, `log-probabilities within ${Math.max(...apart)}`);
    t.deepEqual(
      found.logprobs!.map(({ id, top }) => [id, top.map(({ id }) => id)]),
      wanted.logprobs!.map(({ id, top }) => [id, top.map(({ id }) => id)]),
    );
    const stop = wanted.text.slice(5, 9);
    const stopped = await gpu.generate(question, { ...base, stop, mtp });
    t.equal(stopped.text, wanted.text.slice(0, wanted.text.indexOf(stop)), 'stopped before the stop text');
    // The session goes on from what was said, whatever had been computed beyond it.
    const session = gpu.createSession();
    const first = await session.generate([5, 6, 7, 8], { temperature: 0, maxTokens: 4, ignoreEos: true, mtp });
    const again = await session.generate([5, 6, 7, 8, ...first.ids, 9], { temperature: 0, maxTokens: 4, mtp });
    const fresh = await cpu.generate([5, 6, 7, 8, ...first.ids, 9], { temperature: 0, maxTokens: 4 });
    t.deepEqual(again.ids, fresh.ids, 'a second turn');
    t.ok(again.usage.cachedTokens >= 6, `${again.usage.cachedTokens} tokens were kept`);
  }
  await gpu.close();
  await cpu.close();
});

test('a bias that bans every token is an error, and the model goes on', async (t) => {
  const gpu = await openEdge();
  const logitBias = Object.fromEntries(
    Array.from({ length: gpu.config.vocabSize }, (_, id) => [id, Number.NEGATIVE_INFINITY]),
  );
  for (const temperature of [0, 1])
    try {
      await gpu.generate([1, 2], { temperature, logitBias, maxTokens: 2 });
      t.fail('it was accepted');
    } catch (error) {
      t.match(String(error), /logitBias bans every token/);
    }
  t.equal((await gpu.generate([1, 2], { temperature: 0, maxTokens: 2, ignoreEos: true })).ids.length, 2);
});

test('options at the ends of their ranges: a token is one of the vocabulary, and the CPU device chooses the same', async (t) => {
  const gpu = await openEdge();
  const cpu = await loadModel(modelFolder('edge'), { device: 'cpu' });
  const wrong: unknown[] = [];
  for (const [i, options] of [...extremeOptions(24, randomNumbers(12))].entries()) {
    const own = { ...options, maxTokens: 3, ignoreEos: true };
    const wanted = await cpu.generate([5, 6, 7], { ...own, mtp: false });
    const found = await gpu.generate([5, 6, 7], { ...own, mtp: i % 2 ? 2 : false });
    if (found.ids.join() !== wanted.ids.join()) wrong.push({ options, found: found.ids, wanted: wanted.ids });
  }
  t.deepEqual(wrong, [], '24 combinations');
  await cpu.close();
});

test('a logit that is not finite is KEXA_BAD_FILE, and the steps begun after it do no harm', async (t) => {
  const element = 100 * 96 + 7; // of the head's row for token 100
  const greedy = { temperature: 0 };
  for (const [bits, settings] of [
    [bf16.nan, [greedy, { temperature: 1, mtp: 2 }]],
    [bf16.infinity, [greedy, { temperature: 1, frequencyPenalty: 1 }]],
    [bf16.minusInfinity, [greedy]],
  ] as const) {
    const folder = await damagedCopy(t, modelFolder('edge'), 'lm_head.weight', element, bits);
    const gpu = await loadModel(folder, { device: 'swiftshader', gpuChecks: true });
    for (const options of settings)
      await refuses(t, 'KEXA_BAD_FILE', ['logit of token 100', 'weights are damaged'], () =>
        gpu.generate([1, 2, 3], { ...options, seed: 1, maxTokens: 8, ignoreEos: true }),
      );
    await refuses(t, 'KEXA_BAD_FILE', ['logit of token 100'], () => gpu.score([1, 2, 3]));
    await gpu.close();
  }
  const folder = await damagedCopy(t, modelFolder('edge'), 'mtp.norm.weight', 7, bf16.infinity);
  const gpu = await loadModel(folder, { device: 'swiftshader', gpuChecks: true });
  const options = { temperature: 1, seed: 1, maxTokens: 4, ignoreEos: true };
  t.equal(
    (await gpu.generate([1, 2, 3], { ...options, mtp: false })).ids.length,
    4,
    'an unused MTP block does no harm',
  );
  await refuses(t, 'KEXA_BAD_FILE', ['not a finite number'], () => gpu.generate([1, 2, 3], { ...options, mtp: 2 }));
  await gpu.close();
});
