/** How a token is chosen: probabilities, filters, penalties, bias, seeds and the model's own defaults. */
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { type GenerateOptions, loadModel, type Model, type SamplingOptions } from '../../lib/index.js';
import { randomNumbers } from '../support/compare.js';
import { bf16, damagedCopy } from '../support/damaged-model.js';
import { probabilities } from '../support/distribution.js';
import { modelFolder } from '../support/models.js';
import { extremeOptions } from '../support/sampling-extremes.js';
import { newFolder, refuses } from '../support/small-model.js';

const prompt = [5, 6, 7];

/** On one thread: the steps are small, and two threads would wait for each other on a busy machine. */
async function open(t: Test, path = modelFolder('edge')): Promise<Model> {
  const model = await loadModel(path, { threads: 1 });
  t.teardown(() => model.close());
  return model;
}

async function idsOf(model: Model, options: GenerateOptions, ids = prompt): Promise<number[]> {
  return (await model.generate(ids, { maxTokens: 12, ignoreEos: true, ...options })).ids;
}

async function nextLogits(model: Model, ids: readonly number[]): Promise<number[]> {
  return [...(await model.forward(ids, { logits: 'last' })).logits];
}

/** Pearson's statistic over its critical value: above 1, chance does this once in 10,000. Rare tokens share a bin. */
function chiSquareRatio(drawn: number[], wanted: number[]): number {
  const counts = wanted.map(() => 0);
  for (const id of drawn) counts[id]!++;
  if (counts.some((count, id) => count > 0 && wanted[id] === 0)) return Infinity;
  const bins = new Map<number, { found: number; expected: number }>();
  for (const [id, probability] of wanted.entries()) {
    const expected = probability * drawn.length;
    const bin = bins.get(expected >= 10 ? id : -1) ?? { found: 0, expected: 0 };
    bins.set(expected >= 10 ? id : -1, { found: bin.found + counts[id]!, expected: bin.expected + expected });
  }
  const used = [...bins.values()].filter(({ expected }) => expected >= 1);
  const statistic = used.reduce((sum, { found, expected }) => sum + (found - expected) ** 2 / expected, 0);
  const freedom = used.length - 1;
  const step = 2 / (9 * freedom); // Wilson and Hilferty's approximation; 3.719 is the normal quantile of 1 - 1e-4
  return statistic / (freedom * (1 - step + 3.719 * Math.sqrt(step)) ** 3);
}

test('tokens are drawn with the probabilities that the logits and filters say', async (t) => {
  const model = await open(t);
  const logits = await nextLogits(model, prompt);
  const shapes: SamplingOptions[] = [
    { temperature: 1 },
    { temperature: 2 },
    { temperature: 1, topK: 5 },
    { temperature: 2, topP: 0.7 },
    { temperature: 2, minP: 0.2 },
    { temperature: 2, topK: 20, topP: 0.8, minP: 0.02 },
  ];
  for (const shape of shapes) {
    const drawn: number[] = [];
    for (let seed = 0; seed < 1000; seed++)
      drawn.push((await model.generate(prompt, { ...shape, seed, maxTokens: 1 })).ids[0]!);
    const wanted = probabilities(logits, shape);
    const possible = wanted.filter((probability) => probability > 0).length;
    const ratio = chiSquareRatio(drawn, wanted);
    t.ok(possible > 1 && ratio < 1, `${JSON.stringify(shape)}: ${possible} tokens, ${ratio.toFixed(2)} of the limit`);
    for (const temperature of [shape.temperature! * 0.8, shape.temperature! * 1.25])
      t.ok(chiSquareRatio(drawn, probabilities(logits, { ...shape, temperature })) > 1, `it is not ${temperature}`);
  }
});

test('noise at the end of its range chooses no token that cannot be', async (t) => {
  // For these seeds all upper bits that token 392, or 349, is given at this position are ones. Rounded to 1 they
  // would be infinite noise, and there is such a token in every hundredth draw from 153,600.
  const model = await open(t);
  const [best] = await idsOf(model, { temperature: 0, maxTokens: 1 });
  for (const seed of [33099, 48175, 50015, 82279])
    t.deepEqual(await idsOf(model, { temperature: 0.01, maxTokens: 1, seed }), [best], `seed ${seed}`);
});

test('the same seed gives the same tokens, and another one others', async (t) => {
  const model = await open(t);
  const answers = [];
  for (const seed of [0, 1, 2 ** 32, 2 ** 53 - 1]) {
    const ids = await idsOf(model, { seed });
    t.deepEqual(await idsOf(model, { seed }), ids, `seed ${seed}`);
    answers.push(ids.join());
  }
  t.equal(new Set(answers).size, 4, 'all 53 bits count');
  const session = model.createSession();
  const options = { seed: 5, maxTokens: 12, ignoreEos: true };
  const fresh = await session.generate(prompt, options);
  const cached = await session.generate(prompt, options);
  t.ok(cached.usage.cachedTokens > 0);
  t.deepEqual(cached.ids, fresh.ids, 'a cached prompt makes no difference');
  const [seedA, seedB] = [
    (await model.generate(prompt, { maxTokens: 1 })).seed,
    (await model.generate(prompt, { maxTokens: 1 })).seed,
  ];
  t.notEqual(seedA, seedB, 'seeds that are not given differ');
});

test('greedy takes the lowest id among equals, and what leaves one token is greedy', async (t) => {
  const model = await open(t);
  const greedy = await idsOf(model, { temperature: 0 });
  for (const seed of [1, 2, 3]) {
    t.deepEqual(await idsOf(model, { temperature: 0, seed }), greedy, 'no seed matters');
    t.deepEqual(await idsOf(model, { topK: 1, seed }), greedy, 'topK 1');
    t.deepEqual(await idsOf(model, { topP: 1e-9, seed }), greedy, 'topP tiny');
    t.deepEqual(await idsOf(model, { topP: Number.MIN_VALUE, seed }), greedy, 'the tiniest topP');
    t.deepEqual(await idsOf(model, { minP: 1, seed }), greedy, 'minP 1');
    t.deepEqual(await idsOf(model, { temperature: 1e-6, seed }), greedy, 'temperature tiny');
  }
  t.notDeepEqual(await idsOf(model, { seed: 1 }), greedy, 'otherwise it is not');
  // A bias this large swallows the logits: 2^40 + 11 is 2^40 in float32.
  const tie = { 400: 2 ** 40, 30: 2 ** 40, 299: 2 ** 40 };
  t.deepEqual(await idsOf(model, { temperature: 0, logitBias: tie, maxTokens: 3 }), [30, 30, 30], 'ties');
  t.deepEqual(await idsOf(model, { topK: 1, logitBias: tie, maxTokens: 3 }), [30, 30, 30], 'ties at the edge of topK');
});

test('a bias bans, forces and shifts', async (t) => {
  const model = await open(t);
  const [best] = await idsOf(model, { temperature: 0, maxTokens: 1 });
  const ranked = await nextLogits(model, prompt);
  const second = ranked.indexOf([...ranked].sort((a, b) => b - a)[1]!);
  t.deepEqual(await idsOf(model, { temperature: 0, maxTokens: 1, logitBias: { [best!]: -Infinity } }), [second]);
  const gap = ranked[best!]! - ranked[second]!;
  const shift = async (by: number) =>
    (await idsOf(model, { temperature: 0, maxTokens: 1, logitBias: new Map([[second, by]]) }))[0];
  t.equal(await shift(gap - 0.01), best, 'a shift by less than the lead is not enough');
  t.equal(await shift(gap + 0.01), second, 'and one by more is');
  const banned = Object.fromEntries([...Array(500).keys()].map((id) => [id, -Infinity]));
  for (const temperature of [0, 1, 100]) {
    const ids = await idsOf(model, { temperature, logitBias: banned, maxTokens: 100, topP: 1, seed: 8 });
    t.ok(
      ids.every((id) => id >= 500),
      `banned tokens never come at temperature ${temperature}`,
    );
    t.ok(
      (await idsOf(model, { temperature, logitBias: { 77: 1e6 } })).every((id) => id === 77),
      'a forced one always',
    );
  }
  const all = Object.fromEntries([...Array(515).keys()].map((id) => [id, -Infinity]));
  for (const temperature of [0, 1])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['logitBias'], () => idsOf(model, { temperature, logitBias: all }));
});

/** Greedy decoding with penalties, by forward() and the definitions in SamplingOptions. */
async function penalized(model: Model, from: readonly number[], steps: number, options: SamplingOptions) {
  const { repeatPenalty = 1, repeatLastN = -1, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const ids = [...from];
  for (let step = 0; step < steps; step++) {
    const logits = await nextLogits(model, ids);
    const seen = new Set(repeatLastN < 0 ? ids : ids.slice(Math.max(0, ids.length - repeatLastN)));
    for (const id of seen) logits[id]! *= logits[id]! > 0 ? 1 / repeatPenalty : repeatPenalty;
    const answer = ids.slice(from.length);
    for (const id of new Set(answer)) {
      const times = answer.filter((other) => other === id).length;
      logits[id]! -= presencePenalty + frequencyPenalty * times;
    }
    ids.push(logits.indexOf(Math.max(...logits)));
  }
  return ids.slice(from.length);
}

test('penalties are what their definitions say, over every step of an answer', async (t) => {
  const model = await open(t, modelFolder('tiny'));
  // A prompt with repeats, so that "once a token" and "every time" differ, and one without.
  const prompts = ['and our fathers, and our fathers, and', 'To insert a row'].map((text) =>
    model.tokenizer.encode(text),
  );
  const steps = 16;
  const answers = new Set<string>();
  const shapes: SamplingOptions[] = [
    {},
    { repeatPenalty: 1.3 },
    { repeatPenalty: 0.7 },
    { repeatPenalty: 1.3, repeatLastN: 4 },
    { presencePenalty: 2 },
    { frequencyPenalty: 0.7 },
    { repeatPenalty: 1.1, repeatLastN: 9, presencePenalty: 1, frequencyPenalty: -0.2 },
  ];
  for (const from of prompts) {
    const greedy = { temperature: 0, maxTokens: steps };
    for (const shape of shapes) {
      const ids = await idsOf(model, { ...greedy, ...shape }, from);
      t.deepEqual(ids, await penalized(model, from, steps, shape), JSON.stringify(shape));
      answers.add(ids.join());
    }
    const unseen = await idsOf(model, { ...greedy, repeatPenalty: 2, repeatLastN: 0 }, from);
    t.deepEqual(unseen, await idsOf(model, greedy, from), 'repeatLastN 0 looks at nothing');
  }
  t.ok(answers.size >= 10, `they make a difference: ${answers.size} answers of 14`);
});

test('what is not given is as in generation_config.json', async (t) => {
  const folder = await newFolder(t);
  const source = modelFolder('edge');
  for (const file of readdirSync(source)) symlinkSync(join(source, file), join(folder, file));
  const stored = { temperature: 3, top_k: 12, top_p: 0.9, min_p: 0.05, repetition_penalty: 1.4 };
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify(stored));
  const meant = { temperature: 3, topK: 12, topP: 0.9, minP: 0.05, repeatPenalty: 1.4 };
  const [model, plain] = [await open(t, folder), await open(t)];
  t.deepEqual(plain.config.generationDefaults, {}, 'without the file there are none');
  for (const [name, value] of Object.entries(meant))
    t.equal(model.config.generationDefaults[name as keyof SamplingOptions], value, name);
  for (const seed of [1, 2, 3]) {
    t.deepEqual(await idsOf(model, { seed }), await idsOf(plain, { seed, ...meant }), 'all of it');
    for (const name of ['temperature', 'topK', 'repeatPenalty'] as const) {
      const neutral = { temperature: 1, topK: 0, repeatPenalty: 1 }[name];
      const given = await idsOf(model, { seed, [name]: neutral });
      t.deepEqual(given, await idsOf(plain, { seed, ...meant, [name]: neutral }), `${name} given goes before it`);
    }
  }
  t.notDeepEqual(await idsOf(model, { seed: 1 }), await idsOf(plain, { seed: 1 }), 'they make a difference');
});

test('a default that is out of range refuses sampling only, and only where it is left open', async (t) => {
  const folder = await newFolder(t);
  const source = modelFolder('edge');
  for (const file of readdirSync(source)) symlinkSync(join(source, file), join(folder, file));
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ top_p: 2, repetition_penalty: 1.1 }));
  const model = await open(t, folder);
  t.deepEqual(model.config.generationDefaults, { repeatPenalty: 1.1 });
  t.equal((await model.score([1, 2, 3])).length, 2, 'scoring asks for none');
  await refuses(t, 'KEXA_BAD_CONFIG', ['top_p', '2', 'generation_config.json', 'give topP'], () => idsOf(model, {}));
  t.ok((await idsOf(model, { topP: 0.9 })).length > 0, 'given, it goes before');
  t.ok((await idsOf(model, { temperature: 0 })).length > 0, 'a greedy choice has no use for it');
  writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ repetition_penalty: 0 }));
  const penalised = await open(t, folder);
  await refuses(t, 'KEXA_BAD_CONFIG', ['repetition_penalty'], () => idsOf(penalised, { temperature: 0 }));
});

test('whatever is asked for, a token is one of the vocabulary and not banned, with drafts too', async (t) => {
  const model = await open(t);
  const wrong: unknown[] = [];
  for (const options of extremeOptions(400, randomNumbers(11))) {
    const plain = await model.generate(prompt, { ...options, maxTokens: 6, ignoreEos: true, logprobs: 2, mtp: false });
    const drafted = await idsOf(model, { ...options, maxTokens: 6, mtp: 3 });
    const bias = options.logitBias as Record<number, number>;
    const isFine =
      plain.ids.length === 6 &&
      plain.ids.every((id) => id < 515 && Math.fround(bias[id] ?? 0) > Number.NEGATIVE_INFINITY) &&
      plain.logprobs!.every(({ logprob }) => Number.isFinite(logprob)) &&
      plain.ids.join() === drafted.join();
    if (!isFine) wrong.push({ options, ids: plain.ids, drafted });
  }
  t.deepEqual(wrong, [], '400 combinations');
});

test('what overflows when it is added or multiplied stays the best or the worst', async (t) => {
  const model = await open(t);
  const force = { temperature: 1, maxTokens: 3, seed: 1, logitBias: { 5: 3e38 } };
  for (const more of [{}, { repeatPenalty: 0.01 }, { topK: 3 }, { mtp: 3 }, { logprobs: 20 }, { frequencyPenalty: 1 }])
    t.deepEqual(await idsOf(model, { ...force, ...more }), [5, 5, 5], JSON.stringify(more));
  const avoid = { ...force, logitBias: { 5: -3e38 }, repeatPenalty: 100 };
  t.notOk((await idsOf(model, avoid, [5, 6, 7])).includes(5), 'one that is far below all others');
  for (const value of [1e39, 3.4028236e38, Number.POSITIVE_INFINITY, Number.NaN])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['logitBias[5]'], () => idsOf(model, { logitBias: { 5: value } }));
});

test('a logit that is not finite ends an answer and a score with KEXA_BAD_FILE', async (t) => {
  const element = 100 * 96 + 7; // of the head's row for token 100
  for (const bits of [bf16.nan, bf16.infinity, bf16.minusInfinity]) {
    const model = await open(t, await damagedCopy(t, modelFolder('edge'), 'lm_head.weight', element, bits));
    for (const options of [{ temperature: 0 }, { temperature: 1, frequencyPenalty: 1 }, { mtp: 2 }, { logprobs: 3 }])
      await refuses(t, 'KEXA_BAD_FILE', ['logit of token 100', 'weights are damaged'], () => idsOf(model, options));
    await refuses(t, 'KEXA_BAD_FILE', ['logit of token 100'], () => model.score([1, 2, 3]));
    t.notOk((await model.forward([1, 2, 3])).logits.every(Number.isFinite), 'forward() shows what there is');
  }
  // 3.4e38 times a normed state, which is of order 1: the product overflows.
  const large = await open(t, await damagedCopy(t, modelFolder('edge'), 'model.norm.weight', 7, bf16.largest));
  await refuses(t, 'KEXA_BAD_FILE', ['weights are damaged'], () => idsOf(large, { temperature: 1 }));
  const folder = await damagedCopy(t, modelFolder('edge'), 'mtp.norm.weight', 7, bf16.infinity);
  const block = await open(t, folder);
  t.equal((await idsOf(block, { mtp: false })).length, 12, 'an MTP block that is not used does no harm');
  await refuses(t, 'KEXA_BAD_FILE', ['not a finite number'], () => idsOf(block, { mtp: 1 }));
});

test('a value too large for the cache is named as a cause', async (t) => {
  // The largest f16 is 65,504, so this value is infinite in the cache. All other values are unchanged.
  const folder = await damagedCopy(t, modelFolder('edge'), 'model.layers.0.self_attn.v_proj.weight', 0, 0x4b00);
  const model = await loadModel(folder, { cacheType: 'f16' });
  await refuses(t, 'KEXA_BAD_FILE', ["cacheType 'f32'"], () => idsOf(model, { temperature: 0 }));
  await model.close();
  t.equal((await idsOf(await open(t, folder), { temperature: 0 })).length, 12, 'f32 has room for it');
});
