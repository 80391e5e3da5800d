/**
 * On a GPU too, how a prompt is cut into chunks changes nothing, to the bit: a prompt's rows are computed by the same
 * kernels however many of them a step has, and an answer's rows by others, in steps of any number.
 */
import test from 'tape';
import { loadModel } from '../../lib/index.js';
import { isSame, randomIds, rowDifference, show } from './compare.js';
import type { GoldenName } from './goldens.js';
import { modelFolder } from './models.js';
import { useSoftwareGpu } from './software-gpu.js';

useSoftwareGpu();

/** Rows of a step of answers: those of one, and more than one answer ever has. */
const answerRows = [16, 17, 33, 64];

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

/** A test of one model: answers in steps of several numbers of rows, compared with steps of one row. */
export function testAnswers(name: GoldenName): void {
  test(`${name}: answers in steps of 1, ${answerRows.join(', ')} rows have the same logits`, async (t) => {
    const ids = Uint32Array.from(randomIds(65, 500, 8));
    const model = await loadModel(modelFolder(name), { device: 'swiftshader', prefillChunk: 64, slots: 8 });
    const single = await model.replay(ids, 0, 1);
    const vocab = single.length / ids.length;
    for (const rows of answerRows) {
      const found = await model.replay(ids, 0, rows);
      t.ok(isSame(found, single), `${rows} rows: logits are ${show(rowDifference(found, single, vocab))} apart`);
    }
    await model.close();
  });
}

/** A test of one model: a prompt of `tokens` tokens in each of the `chunks`, compared with all of it at once. */
export function testChunks(name: GoldenName, tokens: number, chunks: readonly number[]): void {
  test(`${name}: chunks of ${chunks.join(', ')} and all at once give the same logits`, async (t) => {
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
}
