/** The options that `generate` takes, and the ones that it refuses. */
import test, { type Test } from 'tape';
import { loadModel, type Model } from '../../lib/index.js';
import { samplingOptions } from '../../lib/sampling-options.js';
import { modelFolder } from '../support/models.js';
import { refuses } from '../support/small-model.js';

async function open(t: Test, path = modelFolder('edge')): Promise<Model> {
  const model = await loadModel(path);
  t.teardown(() => model.close());
  return model;
}

const badOptions: Record<string, unknown[]> = {
  temperature: [-0.1, 101, NaN, '1', null],
  topK: [-1, 1.5, Infinity, '40', null],
  topP: [0, -0.5, 1.01, NaN, '0.9', null],
  minP: [-0.01, 1.01, NaN, '0'],
  repeatPenalty: [0, -1, NaN, Infinity, '1'],
  repeatLastN: [-2, 0.5, NaN, '64'],
  presencePenalty: [-2.1, 2.1, NaN, '0'],
  frequencyPenalty: [-2.1, 2.1, NaN, '0'],
  maxTokens: [0, -1, 1.5, NaN, Infinity, '5', null],
  seed: [-2, 0.5, 2 ** 53, NaN, 5n, '5', null],
  stop: ['', [''], ['a', ''], 5, [5], null, {}],
  logprobs: [-1, 21, 0.5, NaN, 'all', null],
  mtp: [-1, 1.5, true, 'on', null],
  ignoreEos: [1, 'yes', null],
  thinking: [0, 'on', null],
  tools: [{}, 'weather', true, null],
  raw: [1, 'yes', null],
  signal: [{}, true, null, new AbortController()],
  logitBias: [
    5,
    'x',
    null,
    { 515: 1 },
    { '-1': 1 },
    { '': 1 },
    { ' 5': 1 },
    { '0x5': 1 },
    { a: 1 },
    { 1.5: 1 },
    { 5: NaN },
    { 5: '1' },
    { 5: Infinity },
    [1, 2],
  ],
};

test('every option is checked, and what is wrong is named', async (t) => {
  const model = await open(t);
  for (const [name, values] of Object.entries(badOptions)) {
    for (const value of values)
      await refuses(t, 'KEXA_INVALID_ARGUMENT', [name, 'wanted', 'found'], () =>
        model.generate([5], { maxTokens: 1, [name]: value } as object),
      );
  }
  for (const options of [null, 5, 'text'])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['generate'], () => model.generate([5], options as never));
  const allowed = {
    topK: 0,
    topP: 1,
    minP: 1,
    seed: 2 ** 53 - 1,
    stop: [],
    mtp: 'auto',
    logitBias: new Map([[5, -1]]),
  };
  t.equal((await model.generate([5], { ...allowed, mtp: 'auto', maxTokens: 1 })).ids.length, 1, 'good ones are taken');
});

test('every sampling option is refused beyond its range and taken at its end', async (t) => {
  const model = await open(t);
  for (const { name, kind, least, most, isAbove } of samplingOptions) {
    const step = kind === 'integer' ? 1 : 1e-6;
    for (const value of [least - step, most + step, Number.NaN, String(least), null, ...(isAbove ? [least] : [])])
      await refuses(t, 'KEXA_INVALID_ARGUMENT', [name, 'wanted', 'found'], () =>
        model.generate([5], { maxTokens: 1, [name]: value }),
      );
    const { ids } = await model.generate([5], { maxTokens: 1, [name]: most });
    t.equal(ids.length, 1, `${name}: ${most} is taken`);
  }
});

test('an option that does not exist is refused, with the one that was probably meant', async (t) => {
  const model = await open(t);
  for (const [wrong, meant] of [
    ['maxtokens', 'maxTokens'],
    ['max_tokens', 'maxTokens'],
    ['top_p', 'topP'],
    ['TEMPERATURE', 'temperature'],
  ] as const)
    await refuses(t, 'KEXA_INVALID_ARGUMENT', [`'${wrong}'`, `did you mean '${meant}'?`], () =>
      model.generate([5], { [wrong]: 1 } as object),
    );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ["'colour'"], () => model.generate([5], { colour: 1 } as object));
});

test('a prompt that is none is refused', async (t) => {
  const model = await open(t, modelFolder('tiny'));
  const outside = model.config.vocabSize;
  for (const prompt of [undefined, null, 5, {}, [], [outside], [-1], [1.5], [5, 'a'], new Uint32Array()])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['prompt'], () => model.generate(prompt as never, { maxTokens: 1 }));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['prompt', 'empty'], () => model.generate('', { raw: true }));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['raw'], () =>
    model.generate([{ role: 'user', content: 'a' }], { raw: true }),
  );
  for (const messages of [[{ role: 'wizard', content: 'a' }], [{}], ['a'], [null]])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['messages[0]'], () =>
      model.generate(messages as never, { maxTokens: 1 }),
    );
});
