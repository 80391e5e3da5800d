/**
 * The size of a prompt's chunks, the number of threads and the place of the weights change nothing, to the bit. Chunks
 * of one token are decoding, so generated tokens are those of a single pass.
 */
import test from 'tape';
import type { ForwardResult, LoadOptions } from '../../lib/index.js';
import { isSame, longPrompt, openModel, randomIds, rowDifference, show } from '../support/compare.js';
import { type GoldenName, goldenNames } from '../support/goldens.js';

interface Outcome {
  forward: ForwardResult;
  scores: Float32Array;
}

/** On one thread if nothing else is said: more would wait for each other on a busy machine. */
async function run(t: test.Test, name: GoldenName, ids: number[], options: LoadOptions): Promise<Outcome> {
  const model = await openModel(t, name, { threads: 1, ...options });
  const outcome = { forward: await model.forward(ids, { mtp: true, trace: true }), scores: await model.score(ids) };
  await model.close();
  return outcome;
}

function sameToTheBit(t: test.Test, what: string, a: Outcome, b: Outcome): void {
  t.ok(isSame(a.forward.logits, b.forward.logits), `${what}: the same logits`);
  t.ok(isSame(a.forward.mtpLogits, b.forward.mtpLogits), `${what}: the same MTP logits`);
  t.ok(isSame(a.forward.hidden, b.forward.hidden), `${what}: the same hidden rows`);
  t.ok(isSame(a.scores, b.scores), `${what}: the same scores`);
  t.deepEqual(a.forward.routes, b.forward.routes, `${what}: the same experts, in the same order of rows`);
}

for (const name of goldenNames) {
  test(`${name}: chunks of 1, 3, 7 and 64 tokens give what one pass gives, to the bit`, async (t) => {
    const ids = longPrompt(name);
    const whole = await run(t, name, ids, { prefillChunk: 256 });
    t.ok(ids.length > 64 && ids.length <= 256, `${ids.length} tokens`);
    for (const prefillChunk of [1, 3, 7, 64])
      sameToTheBit(t, `chunks of ${prefillChunk}`, await run(t, name, ids, { prefillChunk }), whole);
  });

  test(`${name}: one thread, two and five give the same, to the bit`, async (t) => {
    const ids = longPrompt(name);
    const one = await run(t, name, ids, { threads: 1 });
    for (const threads of [2, 5]) sameToTheBit(t, `${threads} threads`, await run(t, name, ids, { threads }), one);
  });

  test(`${name}: bf16 weights held as f32 give the same, to the bit`, async (t) => {
    const ids = longPrompt(name);
    const inPlace = await run(t, name, ids, { weights: 'auto' });
    for (const weights of ['f32', 'bf16'] as const)
      sameToTheBit(t, `weights as ${weights}`, await run(t, name, ids, { weights }), inPlace);
  });
}

/**
 * Bounds of the errors that smaller caches make. A stored key or value is off by at most 2^-12 (f16) or 2^-9 (bf16) of
 * itself, or by half a step of its block: 1/254 (q8) or 1/30 (q4) of the range. Scores, and then the residual stream,
 * are off by a few times that.
 *
 * - On the first layer every row must be within its bound.
 * - From the first MoE layer on, a row that chooses another expert moves by more than any rounding, and moves later
 *   rows. So the median row of the logits counts.
 *
 * The largest errors found, in the order of the bounds: 9.0e-4, 3.4e-3, 6.3e-3, 9.4e-3, 2.1e-2, 3.9e-2, 2.7e-1, 4.3e-1.
 */
const cacheBounds = {
  f16: { firstLayer: 2e-3, logits: 0.01 },
  bf16: { firstLayer: 0.015, logits: 0.03 },
  q8: { firstLayer: 0.03, logits: 0.06 },
  q4: { firstLayer: 0.3, logits: 0.5 },
};

test('a smaller cache gives nearly what f32 gives, and not the same', async (t) => {
  for (const name of goldenNames) {
    const ids = longPrompt(name);
    const exact = await run(t, name, ids, { cacheType: 'f32' });
    sameToTheBit(t, `${name}, auto on the CPU`, await run(t, name, ids, { cacheType: 'auto' }), exact);
    for (const cacheType of ['f16', 'bf16', 'q8', 'q4'] as const) {
      const bounds = cacheBounds[cacheType];
      const { forward } = await run(t, name, ids, { cacheType });
      const first = rowDifferences(forward.layers![0]!, exact.forward.layers![0]!, ids.length).at(-1)!;
      t.ok(first > 0 && first < bounds.firstLayer, `${name}, ${cacheType}: the first layer within ${show(first)}`);
      const logits = rowDifferences(forward.logits, exact.forward.logits, ids.length)[ids.length >> 1]!;
      t.ok(
        logits > 0 && logits < bounds.logits,
        `${name}, ${cacheType}: the median row of logits within ${show(logits)}`,
      );
    }
  }
});

/** The difference of each row, the least first. */
function rowDifferences(found: Float32Array, wanted: Float32Array, rows: number): number[] {
  const columns = wanted.length / rows;
  const row = (matrix: Float32Array, i: number) => matrix.subarray(i * columns, (i + 1) * columns);
  return Array.from({ length: rows }, (_, i) => rowDifference(row(found, i), row(wanted, i), columns)).sort(
    (a, b) => a - b,
  );
}

test('a cache of blocks does not depend on chunks, threads or drafts, to the bit', async (t) => {
  for (const name of ['tiny', 'edge', 'wide'] satisfies GoldenName[])
    for (const cacheType of ['q8', 'q4'] as const) {
      const ids = longPrompt(name);
      const whole = await run(t, name, ids, { cacheType, prefillChunk: 256 });
      for (const options of [{ prefillChunk: 1 }, { prefillChunk: 7, threads: 3 }])
        sameToTheBit(
          t,
          `${name}, ${cacheType}, ${JSON.stringify(options)}`,
          await run(t, name, ids, { cacheType, ...options }),
          whole,
        );
      const model = await openModel(t, name, { threads: 1, cacheType });
      const answer = async (mtp: false | number) => {
        const sampling = { temperature: 0.7, seed: 5, maxTokens: 30, ignoreEos: true, logprobs: 1 };
        const { ids: answered, logprobs } = await model.generate(ids, { ...sampling, mtp });
        return { answered, logprobs };
      };
      t.deepEqual(await answer(4), await answer(false), `${name}, ${cacheType}: four drafts a step change no bit`);
      await model.close();
    }
});

test('a sequence that wraps every ring many times does not depend on its chunks', async (t) => {
  for (const name of ['tiny', 'two'] satisfies GoldenName[]) {
    const vocabSize = name === 'tiny' ? 4096 : 640;
    const ids = randomIds(name === 'tiny' ? 500 : 600, vocabSize, 11);
    const scores: Float32Array[] = [];
    const mtp: Float32Array[] = [];
    for (const prefillChunk of [7, 128]) {
      const model = await openModel(t, name, { threads: 1, prefillChunk, contextSize: ids.length });
      scores.push(await model.score(ids));
      mtp.push((await model.forward(ids, { logits: 'last', mtp: true })).mtpLogits!);
      await model.close();
    }
    t.equal(scores[0]!.length, ids.length - 1, `${name}: ${ids.length} tokens`);
    t.ok(isSame(scores[0], scores[1]), `${name}: the same scores, to the bit, in chunks of 7 and of 128`);
    t.ok(isSame(mtp[0], mtp[1]), `${name}: the same MTP logits`);
  }
});
