/**
 * Compares the core with the goldens, which another implementation made in float64: every logit, the layers before it,
 * and the answer made from it.
 */
import test from 'tape';
import { isSame, openModel, rowDifference, show } from '../support/compare.js';
import { type GoldenName, goldenNames, loadGoldens } from '../support/goldens.js';
import { refuses } from '../support/small-model.js';

/**
 * The bound relative to a row's largest magnitude, for float32 sums of up to 2048 terms through 8 layers. 3e-6 was
 * found.
 */
const agreement = 1e-5;
/** The absolute bound of a log-probability: the same error, times logits of up to some 20. */
const scoreAgreement = 1e-4;
/** If the best two logits are nearer than this, either may win. */
const leastMargin = 1e-3;

for (const name of goldenNames) {
  const goldens = loadGoldens(name);

  test(`${name}: logits, MTP logits and every layer's residual stream are those of the goldens`, async (t) => {
    const model = await openModel(t, name);
    const { hiddenSize, vocabSize, layers } = model.config;
    for (const [p, { ids }] of goldens.prompts.entries()) {
      const golden = (tensor: string) => goldens.tensor(`prompt${p}.${tensor}`);
      const found = await model.forward(ids, { mtp: true, trace: true });
      const off: [string, number][] = [
        ['logits', rowDifference(found.logits, golden('logits'), vocabSize)],
        ['hidden', rowDifference(found.hidden!, golden('hidden'), hiddenSize)],
        ...layers.map((_, i): [string, number] => [
          `layer ${i}`,
          rowDifference(found.layers![i]!, golden(`layer${i}`), hiddenSize),
        ]),
      ];
      if (ids.length > 1) off.push(['MTP', rowDifference(found.mtpLogits!, golden('mtp_logits'), vocabSize)]);
      else t.equal(found.mtpLogits!.length, 0, 'one token gives no MTP logits');
      for (const [what, difference] of off)
        t.ok(difference < agreement, `prompt ${p}, ${ids.length} tokens, ${what}: within ${show(difference)}`);
    }
  });

  test(`${name}: the last token goes to the experts of the goldens, with their weights`, async (t) => {
    const model = await openModel(t, name);
    for (const { ids, routes } of goldens.prompts) {
      const found = (await model.forward(ids, { logits: 'last', trace: true })).routes!;
      const topK = model.config.moe!.topK;
      t.deepEqual(
        found.map(({ layer, experts }) => ({ layer, experts: [...experts.slice(-topK)] })),
        routes.map(({ layer, experts }) => ({ layer, experts })),
        `${ids.length} tokens: the same experts in the same order on ${routes.length} layers`,
      );
      t.ok(
        found.every(
          ({ experts, weights }) => experts.length === ids.length * topK && weights.length === experts.length,
        ),
        'and a row for every token',
      );
      const off = routes.map(({ weights }, i) => rowDifference(found[i]!.weights.slice(-topK), weights, topK));
      t.ok(Math.max(...off) < agreement, `the same weights, within ${show(Math.max(...off))}`);
    }
  });

  test(`${name}: a greedy answer is that of the goldens`, async (t) => {
    const model = await openModel(t, name);
    let compared = 0;
    for (const { ids, greedy, greedyMargin } of goldens.prompts) {
      const tie = greedyMargin.findIndex((margin) => margin <= leastMargin);
      const sure = tie < 0 ? greedy.length : tie;
      const options = { temperature: 0, ignoreEos: true, maxTokens: greedy.length };
      const found = await model.generate(ids, options);
      t.equal(found.ids.length, greedy.length, `${ids.length} tokens are continued by ${greedy.length}`);
      t.deepEqual(found.ids.slice(0, sure), greedy.slice(0, sure), `the first ${sure}, which no tie precedes, agree`);
      compared += sure;
    }
    const all = goldens.prompts.reduce((sum, { greedy }) => sum + greedy.length, 0);
    t.ok(compared > all / 2, `${compared} of ${all} tokens could be compared`);
  });

  test(`${name}: score gives the goldens' log-probabilities`, async (t) => {
    const model = await openModel(t, name);
    for (const { ids, logprobs } of goldens.prompts) {
      const found = await model.score(ids);
      t.equal(found.length, ids.length - 1, `${ids.length} tokens have ${ids.length - 1} scores`);
      const off = Math.max(0, ...logprobs.map((wanted, i) => Math.abs(found[i]! - wanted)));
      t.ok(off < scoreAgreement, `within ${show(off)}`);
    }
  });
}

test('the last row alone, ids as an array and ids as a Uint32Array give the same logits to the bit', async (t) => {
  for (const name of ['tiny', 'edge'] satisfies GoldenName[]) {
    const model = await openModel(t, name);
    const { ids } = loadGoldens(name).prompts.at(-1)!;
    const all = await model.forward(ids);
    const typed = await model.forward(Uint32Array.from(ids), { logits: 'all' });
    t.ok(isSame(all.logits, typed.logits), `${name}: an array or a Uint32Array`);
    const lastRow = all.logits.slice(-model.config.vocabSize);
    t.ok(isSame((await model.forward(ids, { logits: 'last' })).logits, lastRow), `${name}: the last row alone`);
    const withMtp = await model.forward(ids, { logits: 'last', mtp: true });
    t.ok(isSame(withMtp.logits, lastRow), `${name}: the last row alone, beside all MTP logits`);
    t.ok(isSame(withMtp.mtpLogits, (await model.forward(ids, { mtp: true })).mtpLogits), `${name}: and those`);
    t.deepEqual(Object.keys(all), ['logits'], `${name}: what was not asked for is not given`);
  }
});

test('forward and score refuse ids and options that cannot be meant', async (t) => {
  const model = await openModel(t, 'edge', { contextSize: 20 });
  const forward = (ids: unknown, options: unknown = {}) => model.forward(ids as number[], options as object);
  const illegal = (words: string[], ids: unknown, options?: unknown) =>
    refuses(t, 'KEXA_INVALID_ARGUMENT', words, () => forward(ids, options));
  await illegal(['ids', 'at least one'], []);
  await illegal(['ids', 'at least one'], new Uint32Array());
  await illegal(['ids[1]', '0 to 514', '515'], [514, 515]);
  await illegal(['ids[0]', '-1'], [-1]);
  await illegal(['ids[2]', '1.5'], [1, 1, 1.5]);
  await illegal(['ids[0]', 'NaN'], [Number.NaN]);
  await illegal(['ids[0]', '"7"'], ['7']);
  await illegal(['ids', 'an array of token ids'], 'text');
  await illegal(['ids', 'an array of token ids'], new Float32Array(3));
  await illegal(['forward', "'logit'"], [1], { logit: 'all' });
  await illegal(['forward', "'MTP'", "'mtp'"], [1], { MTP: true });
  await illegal(['logits', '"first"'], [1], { logits: 'first' });
  await illegal(['mtp', 'true or false'], [1], { mtp: 1 });
  await illegal(['trace', 'true or false'], [1], { trace: 'yes' });
  await illegal(['signal', 'an AbortSignal'], [1], { signal: {} });
  await illegal(['forward', 'an object'], [1], null);

  const twenty = Array.from({ length: 20 }, (_, i) => i);
  t.equal((await forward(twenty)).logits.length, 20 * 515, 'a whole context fits');
  await refuses(t, 'KEXA_CONTEXT_FULL', ['21', '20'], () => forward([...twenty, 1]));
  await refuses(t, 'KEXA_CONTEXT_FULL', ['21', '20'], () => model.score([...twenty, 1]));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['ids[0]'], () => model.score([515]));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['score', "'mtp'"], () => model.score([1], { mtp: true } as object));
});

test('an aborted signal ends a forward pass with its reason, and the next one is unharmed', async (t) => {
  const model = await openModel(t, 'tiny', { prefillChunk: 1 });
  const ids = Array.from({ length: 2000 }, (_, i) => i);
  const reason = new Error('enough');
  const controller = new AbortController();
  const running = model.forward(ids, { logits: 'last', signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  t.equal(
    await running.then(
      () => 'a result',
      (error: unknown) => error,
    ),
    reason,
    'while it runs',
  );
  const late = model.score(ids, { signal: controller.signal });
  t.equal(
    await late.then(
      () => 'a result',
      (error: unknown) => error,
    ),
    reason,
    'before it has begun',
  );
  const { ids: prompt } = loadGoldens('tiny').prompts[5]!;
  const { logits } = await model.forward(prompt);
  const off = rowDifference(logits, loadGoldens('tiny').tensor('prompt5.logits'), model.config.vocabSize);
  t.ok(off < agreement, `afterwards: within ${show(off)}`);
});
