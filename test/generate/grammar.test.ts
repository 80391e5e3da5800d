/**
 * Constrained answers: every answer that ends is of its grammar, and is the same with any drafts, with forced tokens or
 * without, alone and beside other sequences.
 */
import type { Worker } from 'node:worker_threads';
import test from 'tape';
import { type GenerateOptions, loadModel, type Model } from '../../lib/index.js';
import { schemaFault, schemas } from '../support/json-schemas.js';
import { modelFolder } from '../support/models.js';

const prompt = 'What is the sum of two and three?';
const sampling = { temperature: 1.5, thinking: false, maxTokens: 80 };

/** A list of names with numbers: `{name12;other3;}`. */
const grammar = `root ::= "{" item{1,6} "}"
item ::= ("name" | "other") [0-9]{1,2} ";"`;
const isOfGrammar = (text: string) => /^\{((name|other)[0-9]{1,2};){1,6}\}$/.test(text);

test('an answer is of its grammar, whatever the model wants', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu' });
  for (let seed = 0; seed < 10; seed++) {
    const { text, finishReason } = await model.generate(prompt, { ...sampling, seed, grammar });
    t.ok(finishReason === 'stop' && isOfGrammar(text), text);
  }
  const texts = ['In', 'The "sum"\\', '합', 'To', 'And\n'];
  const found = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const { text } = await model.generate(prompt, { ...sampling, seed, choice: texts });
    t.ok(
      texts.some((each) => each.trimEnd() === text || each === text),
      JSON.stringify(text),
    );
    found.add(text);
  }
  t.ok(found.size > 1, `${found.size} different choices`);
  await model.close();
});

test('an answer is valid by its schema, or matches its pattern', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu', slots: 4 });
  t.teardown(() => model.close());
  const answers = await Promise.all(
    schemas.map((jsonSchema, i) => model.generate(prompt, { ...sampling, maxTokens: 150, seed: i, jsonSchema })),
  );
  let ended = 0;
  for (const [i, { text, finishReason }] of answers.entries()) {
    if (finishReason !== 'stop') continue;
    ended++;
    t.equal(schemaFault(schemas[i]!, text), null, text.slice(0, 80));
  }
  t.ok(ended > 50, `${ended} of ${answers.length} answers ended`);
  const { text } = await model.generate(prompt, { ...sampling, seed: 1, regex: '[A-Z][a-z]{2,5} [가-힣]{1,3}' });
  t.match(text, /^[A-Z][a-z]{2,5} [가-힣]{1,3}$/);
});

test('thinking is free and comes before the constrained text', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu' });
  let ended = 0;
  let thoughts = 0;
  for (let seed = 0; seed < 6; seed++) {
    const options = { temperature: 0.7, maxTokens: 300, seed, thinking: true, grammar };
    const { text, reasoning, finishReason } = await model.generate(prompt, options);
    if (finishReason !== 'stop') continue;
    ended++;
    t.ok(isOfGrammar(text), text);
    thoughts += reasoning.length;
  }
  t.ok(ended > 0 && thoughts > 0, `${ended} answers ended, with ${thoughts} characters of thinking`);
  await model.close();
});

/** Answers of all seeds, one after the other or at once. */
async function answersOf(model: Model, options: GenerateOptions, atOnce: boolean): Promise<string[]> {
  const seeds = [1, 2, 3, 4, 5, 6];
  const answer = async (seed: number) => {
    const constraint = seed % 3 === 0 ? {} : { grammar };
    const { ids, logprobs } = await model.generate(prompt, {
      ...sampling,
      ...options,
      ...constraint,
      seed,
      logprobs: 2,
    });
    return JSON.stringify([Array.from(ids), logprobs]);
  };
  if (atOnce) return await Promise.all(seeds.map(answer));
  const answers: string[] = [];
  for (const seed of seeds) answers.push(await answer(seed));
  return answers;
}

test('drafts, forced tokens and other sequences change no bit of a constrained answer', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu', slots: 4 });
  const expected = await answersOf(model, { mtp: 0 }, false);
  for (const mtp of [0, 1, 8, 'auto'] as const)
    for (const forces of [false, true])
      for (const atOnce of [false, true]) {
        model.grammars.forcesTokens = forces;
        const found = await answersOf(model, { mtp }, atOnce);
        t.deepEqual(
          found,
          expected,
          `mtp ${mtp}, ${forces ? 'with' : 'without'} forced tokens, ${atOnce ? 'at once' : 'alone'}`,
        );
      }
  model.grammars.forcesTokens = true;
  const { speculation } = await model.generate(prompt, { ...sampling, mtp: 0, seed: 1, choice: ['only this text'] });
  t.comment(JSON.stringify(speculation));
  await model.close();
});

test('what cannot be is refused', async (t) => {
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu' });
  const refused: [GenerateOptions, RegExp][] = [
    [{ grammar, choice: ['a'] }, /grammar: cannot be had together with choice/],
    [{ grammar, stop: ['x'] }, /grammar: cannot be had together with stop/],
    [{ grammar, minTokens: 3 }, /minTokens/],
    [{ grammar, ignoreEos: true }, /ignoreEos/],
    [{ jsonSchema: { type: 'integer' }, regex: 'a' }, /jsonSchema: cannot be had together with regex/],
    [{ regex: '(' }, /regex: .*Unterminated group/],
    [{ jsonSchema: { minimum: 3, maximum: 2 } }, /jsonSchema: no value is valid/],
    [{ grammar: '' }, /grammar: wanted a text of at least one character/],
    [{ grammar: 'root ::= missing' }, /grammar: .*"missing" is not defined/],
    [{ grammar: 'root ::= "a' }, /grammar: EBNF lexer error at line 1, column 12/],
    [{ choice: [] }, /choice: wanted an array of at least one text/],
    [{ choice: ['a', ''] }, /choice\[1\]: wanted a text/],
    [{ grammar: `root ::= "${'a'.repeat(70_000)}"` }, /grammar: wanted at most 65536 bytes/],
  ];
  for (const [options, message] of refused)
    await model.generate(prompt, options).then(
      () => t.fail(`accepted ${JSON.stringify(options).slice(0, 80)}`),
      (error) => {
        t.equal(error.code, 'KEXA_INVALID_ARGUMENT');
        t.match(error.message, message);
      },
    );
  const { text } = await model.generate(prompt, { ...sampling, seed: 1, choice: ['fine'] });
  t.equal(text, 'fine', 'a wrong grammar does not harm the next one');
  await model.close();
});

test('an answer ends if workers are lost again and again, and the next one gets a new worker', async (t) => {
  const workers: Worker[] = [];
  let isSafe = true;
  const onWorker = (worker: Worker) => {
    workers.push(worker);
    if (!isSafe) void worker.terminate();
  };
  process.on('worker', onWorker);
  t.teardown(() => process.off('worker', onWorker));
  const model = await loadModel(modelFolder('tiny'), { device: 'cpu' });
  t.teardown(() => model.close());
  const options = { ...sampling, seed: 1, grammar: 'root ::= [a-z]+' };
  const answer = model.generate(prompt, { ...options, maxTokens: 4000 });
  const failure = answer.then(
    () => null,
    (error) => error,
  );
  await answer[Symbol.asyncIterator]().next();
  isSafe = false;
  await workers[0]!.terminate();
  const error = await failure;
  t.equal(error?.code, 'KEXA_INTERNAL', error?.message);
  t.ok(workers.length >= 4, `${workers.length} workers were lost`);
  isSafe = true;
  const signal = AbortSignal.timeout(20_000);
  const { text } = await model.generate(prompt, { ...options, maxTokens: 8, signal });
  t.match(text, /^[a-z]+$/, 'the same grammar');
});
