// Drafting by the MTP block: never another answer, and on trained weights often a faster one.
import test from 'tape';
import type { GenerateOptions, Model } from '../../lib/index.js';
import { KexaError } from '../../lib/index.js';
import { longPrompt, openModel, randomIds, randomNumbers } from '../support/compare.js';
import { goldenNames, loadGoldens } from '../support/goldens.js';

const draftCounts = [1, 2, 3, 5, 8];

/** Runs of text that the tiny model was trained on, as ids: goldens and their continuations. */
function trainedTexts(): number[][] {
  return loadGoldens('tiny').prompts.map(({ ids, greedy }) => [...ids, ...greedy]);
}

function prompts(name: (typeof goldenNames)[number], count: number, vocabSize: number): number[][] {
  const next = randomNumbers(count);
  const texts = trainedTexts();
  return Array.from({ length: count }, (_, i) => {
    const length = 1 + Math.floor(next() * 180);
    if (name !== 'tiny' || i % 3 === 0) return randomIds(length, vocabSize, i + 1);
    return texts[i % texts.length]!.slice(0, length);
  });
}

async function ids(model: Model, prompt: number[], options: GenerateOptions): Promise<string> {
  return (await model.generate(prompt, options)).ids.join(' ');
}

/** The prompts of each model. Test generate/mtp-prompts has more, with shorter answers. */
const counts = { tiny: 10, wide: 5, edge: 5, two: 5 };

for (const name of goldenNames)
  test(`${name}: ${counts[name]} prompts, greedy and sampled, have the same answer with 0, 1, 2, 3, 5 and 8 drafts`, async (t) => {
    const model = await openModel(t, name, { threads: 1, prefillChunk: 32 });
    const differing: string[] = [];
    for (const [index, prompt] of prompts(name, counts[name], model.config.vocabSize).entries()) {
      const options: GenerateOptions = {
        maxTokens: 40,
        ignoreEos: true,
        seed: index,
        ...(index % 2
          ? { temperature: 0 }
          : { temperature: 0.9, topP: 0.95, minP: 0.02, repeatPenalty: 1.1, presencePenalty: 0.3 }),
      };
      const plain = await ids(model, prompt, options);
      for (const mtp of draftCounts)
        if ((await ids(model, prompt, { ...options, mtp })) !== plain) differing.push(`prompt ${index}, ${mtp} drafts`);
    }
    t.deepEqual(differing, []);
  });

test('log-probabilities, stop texts and maxTokens in the middle of a step are the same', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1 });
  const prompt = 'And the LORD said unto Moses,';
  const base: GenerateOptions = { raw: true, temperature: 0, maxTokens: 40, ignoreEos: true };
  const plain = await model.generate(prompt, { ...base, logprobs: 2 });
  for (const mtp of draftCounts) {
    const drafted = await model.generate(prompt, { ...base, logprobs: 2, mtp });
    t.deepEqual(drafted.logprobs, plain.logprobs, `${mtp} drafts: log-probabilities to the last bit`);
    t.ok(drafted.speculation.accepted > 0, `${drafted.speculation.accepted} drafts were kept`);
    for (const maxTokens of [1, 2, 3, 4, 7]) {
      const cut = await model.generate(prompt, { ...base, maxTokens, mtp });
      t.deepEqual(cut.ids, plain.ids.slice(0, maxTokens), `${maxTokens} tokens with ${mtp} drafts`);
      t.equal(cut.finishReason, 'length');
    }
    const stop = plain.text.slice(20, 26);
    const stopped = await model.generate(prompt, { ...base, stop, mtp });
    t.equal(stopped.text, plain.text.slice(0, plain.text.indexOf(stop)), `stopped at ${JSON.stringify(stop)}`);
  }
});

test('an answer ends at the end of the context, and at an end-of-turn token that was drafted', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1, contextSize: 60 });
  const prompt = loadGoldens('tiny').prompts[0]!.ids;
  const plain = await model.generate(prompt, { temperature: 0, ignoreEos: true });
  for (const mtp of draftCounts) {
    const drafted = await model.generate(prompt, { temperature: 0, ignoreEos: true, mtp });
    t.deepEqual(drafted.ids, plain.ids, `${mtp} drafts: to the last of ${prompt.length + plain.ids.length} tokens`);
    t.equal(drafted.finishReason, 'length');
  }
  const chat = await openModel(t, 'tiny', { threads: 1 });
  const answer = await chat.generate('Insert Fields', { temperature: 0, thinking: false });
  t.equal(answer.finishReason, 'stop');
  for (const mtp of draftCounts)
    t.deepEqual((await chat.generate('Insert Fields', { temperature: 0, thinking: false, mtp })).ids, answer.ids);
});

test('sessions that go on, go back and change between drafting and not give what fresh ones give', async (t) => {
  for (const name of ['tiny', 'edge', 'two'] as const) {
    const model = await openModel(t, name, { threads: 1, prefillChunk: 16 });
    const next = randomNumbers(7);
    const session = model.createSession();
    let timeline = randomIds(30, model.config.vocabSize, 3);
    let differing = 0;
    for (let turn = 0; turn < 25; turn++) {
      const kept = Math.floor(next() * timeline.length);
      const prompt = [
        ...timeline.slice(0, kept),
        ...randomIds(1 + Math.floor(next() * 12), model.config.vocabSize, turn),
      ];
      const mtp = [false, 1, 4, 8][Math.floor(next() * 4)] as GenerateOptions['mtp'] & {};
      const options: GenerateOptions = { temperature: 0, maxTokens: 10, ignoreEos: true, logprobs: 1 };
      const reused = await session.generate(prompt, { ...options, mtp });
      const fresh = await model.generate(prompt, options);
      if (JSON.stringify(reused.logprobs) !== JSON.stringify(fresh.logprobs)) differing++;
      timeline = [...prompt, ...reused.ids];
    }
    t.equal(differing, 0, `${name}: 25 turns`);
  }
});

test('on trained text most first drafts are kept, and a reused prompt drafts as well as a fresh one', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1 });
  const options: GenerateOptions = { temperature: 0, maxTokens: 60, ignoreEos: true, mtp: 1 };
  let drafted = 0;
  let accepted = 0;
  let reused = 0;
  let reusedOf = 0;
  for (const prompt of trainedTexts()) {
    const fresh = await model.generate(prompt, options);
    drafted += fresh.speculation.drafted;
    accepted += fresh.speculation.accepted;
    // Once after an answer that drafted, once after one that did not and so left the MTP cache behind.
    for (const mtp of [1, false] as const) {
      const session = model.createSession();
      await session.generate(prompt.slice(0, -6), { ...options, maxTokens: 4, mtp });
      const again = await session.generate(prompt, options);
      t.deepEqual(again.ids, fresh.ids);
      reused += again.speculation.accepted;
      reusedOf += again.speculation.drafted;
    }
  }
  // 0.786 was measured.
  t.ok(accepted / drafted > 0.6, `${accepted} of ${drafted} drafts were kept: ${(accepted / drafted).toFixed(3)}`);
  t.equal(reused / reusedOf, accepted / drafted, 'the MTP cache of a reused prompt is as full as a fresh one');
});

test('single drafts are what a forward pass over the whole text predicts', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1, prefillChunk: 16 });
  const { vocabSize } = model.config;
  const maxTokens = 60;
  for (const prompt of trainedTexts()) {
    const options: GenerateOptions = { temperature: 0, maxTokens, ignoreEos: true, mtp: 1 };
    const { ids: answer, speculation } = await model.generate(prompt, options);
    const text = [...prompt, ...answer];
    const { mtpLogits } = await model.forward(text, { mtp: true });
    let steps = 0;
    let accepted = 0;
    // `known` tokens, of which the last has just been chosen; the draft guesses text[known], from the row before it.
    for (let known = prompt.length + 1; known < text.length; known++) {
      if (maxTokens - (known - prompt.length) < 2) continue;
      steps++;
      const row = mtpLogits!.subarray((known - 2) * vocabSize, (known - 1) * vocabSize);
      if (row.indexOf(Math.max(...row)) !== text[known]) continue;
      accepted++;
      known++;
    }
    t.deepEqual([speculation.steps, speculation.accepted], [steps, accepted], `${accepted} of ${steps}`);
  }
});

test('speculation adds up, and is all zero without drafts', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1 });
  const prompt = trainedTexts()[0]!;
  const { speculation, ids: answer } = await model.generate(prompt, {
    temperature: 0,
    maxTokens: 50,
    ignoreEos: true,
    mtp: 3,
  });
  const { steps, drafted, accepted, histogram, byPosition } = speculation;
  t.equal(
    histogram.reduce((sum, count) => sum + count, 0),
    steps,
  );
  t.equal(
    histogram.reduce((sum, count, kept) => sum + count * kept, 0),
    accepted,
  );
  t.equal(byPosition.length, 3);
  t.equal(byPosition[0]!.drafted, steps, 'each of these steps has a first draft');
  for (const [position, place] of byPosition.entries()) {
    const kept = histogram.slice(position + 1).reduce((sum, count) => sum + count, 0);
    t.equal(place.accepted, kept, `steps that kept more than ${position} drafts`);
    t.ok(place.drafted <= (byPosition[position - 1]?.drafted ?? steps));
  }
  t.equal(
    byPosition.reduce((sum, place) => sum + place.drafted, 0),
    drafted,
  );
  // The first token came with the prompt; each step gives the drafts it keeps and one more. A last step that has one
  // token left to give drafts nothing, and does not count.
  t.ok([0, 1].includes(answer.length - (1 + steps + accepted)), `${answer.length} tokens in ${steps} steps`);
  t.ok(drafted >= accepted && drafted <= 3 * steps);
  t.equal(speculation.acceptanceRate, accepted / drafted);
  t.equal(speculation.meanAcceptedLength, 1 + accepted / steps);
  const plain = await model.generate(prompt, { temperature: 0, maxTokens: 5, mtp: false });
  t.deepEqual(plain.speculation, {
    steps: 0,
    drafted: 0,
    accepted: 0,
    acceptanceRate: 0,
    meanAcceptedLength: 0,
    histogram: [],
    byPosition: [],
    timeSavedMs: null,
  });
});

test('the time that drafting saved or lost is told', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1 });
  const options = { temperature: 0, maxTokens: 60, ignoreEos: true };
  await model.generate(longPrompt('tiny'), { ...options, mtp: false });
  const { speculation, timings } = await model.generate(longPrompt('tiny'), { ...options, mtp: 3 });
  const saved = speculation.timeSavedMs!;
  t.ok(Number.isFinite(saved) && saved !== 0);
  // The tokens would have taken at least no time, so no more than the whole time can be lost.
  t.ok(saved > -timings.decodeMs, `${saved} ms of ${timings.decodeMs}`);
});

test('drafts are made unless they are turned off, as many as pay', async (t) => {
  const model = await openModel(t, 'tiny', { threads: 1 });
  const options = { temperature: 0, maxTokens: 60, ignoreEos: true };
  const asked = await model.generate(longPrompt('tiny'), options);
  t.ok(asked.speculation.drafted > 0);
  const plain = await model.generate(longPrompt('tiny'), { ...options, mtp: false });
  t.equal(plain.speculation.drafted, 0);
  t.deepEqual(asked.ids, plain.ids);
});

test('with room for one row at a time nothing is drafted', async (t) => {
  const model = await openModel(t, 'edge', { threads: 1, prefillChunk: 1 });
  const plain = await model.generate([5, 6, 7], { temperature: 0, maxTokens: 20, ignoreEos: true });
  const drafted = await model.generate([5, 6, 7], { temperature: 0, maxTokens: 20, ignoreEos: true, mtp: 4 });
  t.deepEqual(drafted.ids, plain.ids);
  t.equal(drafted.speculation.drafted, 0);
});

test('wrong numbers of drafts are refused by name', async (t) => {
  const model = await openModel(t, 'edge', { threads: 1 });
  for (const mtp of [9, 1.5, -1, true, '2'] as never[]) {
    try {
      await model.generate([1], { mtp });
      t.fail(`${mtp} was taken`);
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === 'KEXA_INVALID_ARGUMENT', String(error));
      t.match((error as Error).message, /^mtp: wanted false, 'auto' or a number of drafts from 1 to 8/);
    }
  }
  const { speculation } = await model.generate([1], { mtp: 0, maxTokens: 4, ignoreEos: true });
  t.equal(speculation.drafted, 0, '0 is none');
});
