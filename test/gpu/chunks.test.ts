/**
 * On a GPU too, how a prompt is cut into chunks changes nothing, to the bit: a prompt's rows are computed by the same
 * kernels however many of them a step has, and an answer's rows by others, in steps of any number.
 */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { isSame, randomIds, rowDifference, show } from '../support/compare.js';
import { type GoldenName, goldenNames } from '../support/goldens.js';
import { modelFolder } from '../support/models.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

/**
 * Tokens, and the chunks they are cut into, beside all at once. Edge, the smallest model, has chunks of every kind: of one row,
 * of few, around kSmallRows, and odd ones, whose pairs of rows lie otherwise in the blocks of keys. Its windows are of 5
 * tokens; those of two are of 64 and 6, tiny's of 32, wide's of 128.
 */
const cuts: Record<GoldenName, { tokens: number; chunks: number[] }> = {
  edge: { tokens: 39, chunks: [1, 3, 16, 17, 19, 38] },
  two: { tokens: 23, chunks: [3, 16, 17] },
  tiny: { tokens: 41, chunks: [16, 19] },
  wide: { tokens: 21, chunks: [3, 17] },
};

async function forward(name: GoldenName, ids: number[], prefillChunk: number) {
  const model = await loadModel(modelFolder(name), { device: 'swiftshader', prefillChunk });
  const result = await model.forward(ids, { mtp: true });
  // A session does not compute cached tokens again, so here the end of the prompt is a step of few rows.
  const session = model.createSession();
  const options = { maxTokens: 1, logprobs: 5, temperature: 0, mtp: false } as const;
  const answers = [];
  for (const length of [ids.length - 2, ids.length])
    answers.push((await session.generate(ids.slice(0, length), options)).logprobs);
  await model.close();
  return { ...result, answers };
}

for (const name of goldenNames)
  test(`${name}: chunks of ${cuts[name].chunks.join(', ')} and all at once give the same logits`, async (t) => {
    const { tokens, chunks } = cuts[name];
    const ids = randomIds(tokens, 500, 7);
    const whole = await forward(name, ids, 64);
    const vocab = whole.logits.length / ids.length;
    for (const prefillChunk of chunks) {
      const cut = await forward(name, ids, prefillChunk);
      const far = rowDifference(cut.logits, whole.logits, vocab);
      t.ok(isSame(cut.logits, whole.logits), `chunks of ${prefillChunk}: logits are ${show(far)} apart`);
      t.ok(isSame(cut.mtpLogits, whole.mtpLogits), `chunks of ${prefillChunk}: the MTP block's too`);
      t.deepEqual(cut.answers, whole.answers, `chunks of ${prefillChunk}: answers to them, partly cached`);
    }
  });
