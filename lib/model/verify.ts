/**
 * Proves, for a model and device, that drafts change nothing. An answer without drafts is compared with answers with
 * drafts, and its logits computed row by row with those of rows computed together.
 */
import { setImmediate as breathe } from 'node:timers/promises';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import { checkNames, checkSignal, integerOption, invalid } from '../options.js';
import type { Divergence, GenerateOptions, Prompt, VerifyOptions, VerifyReport } from '../types.js';
import { type AnsweringModel, encodePrompt, type Generation } from './generation.js';

/** The most rows of a step that is checked: a step with the most drafts has so many. */
const mostRows = limits.drafts + 1;
const defaultTokens = 64;
/** The rows that are compared before the event loop has its turn: ten million logits of the released model. */
const rowsAtOnce = 64;

/** The parts of the model's inside that {@link verifyAnswer} needs. */
export interface VerifyParts {
  model: AnsweringModel & { generate(prompt: Prompt, options: GenerateOptions): Generation };
  /** The most rows of a step. */
  prefillChunk: number;
  /** The most numbers that {@link replay} gives. */
  largestReplay: number;
  /** Does what `Model.replay` does. */
  replay(ids: Uint32Array, leadRows: number, stepRows: number, signal: AbortSignal | undefined): Promise<Float32Array>;
}

/** The answer without drafts, which all others are compared with. */
export interface ReferenceAnswer {
  ids: readonly number[];
  /** The logits that the tokens were chosen from [ids.length, vocabSize], computed one row at a time. */
  logits: Float32Array;
  vocabSize: number;
}

/** Does the work of `Model.verify`. */
export async function verifyAnswer(
  { model, prefillChunk, largestReplay, replay }: VerifyParts,
  prompt: Prompt,
  options: VerifyOptions,
): Promise<VerifyReport> {
  checkNames('verify', options, ['maxTokens', 'onProgress', 'signal']);
  const { onProgress, signal } = options;
  checkSignal(signal);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalid('onProgress', 'a function', onProgress);
  const maxTokens = integerOption('maxTokens', options.maxTokens, 1, 2 ** 31 - 1, defaultTokens);
  const { vocabSize, mtp } = model.config;
  const { ids: promptIds } = await encodePrompt(model, prompt, signal === undefined ? {} : { signal });
  if (Math.min(maxTokens, model.contextSize - promptIds.length) * vocabSize > largestReplay)
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `maxTokens: wanted at most ${Math.floor(largestReplay / vocabSize)}, as many rows of logits as one pass gives, found ${maxTokens}`,
    );

  // A step has a row for each draft and one more.
  const draftCounts = mtp === null ? [] : countUpTo(Math.min(limits.drafts, prefillChunk - 1));
  const rowCounts = countUpTo(Math.min(mostRows, prefillChunk));
  const total = 1 + draftCounts.length + rowCounts.length;
  let done = 0;
  const step = () => onProgress?.({ done: ++done, total });

  const greedy: GenerateOptions = {
    maxTokens,
    temperature: 0,
    // A penalty of generation_config.json would make the answer depend on more than the logits.
    repeatPenalty: 1,
    presencePenalty: 0,
    frequencyPenalty: 0,
    ignoreEos: true,
    ...(signal && { signal }),
  };
  const { ids } = await model.generate(promptIds, { ...greedy, mtp: false });
  step();

  const drafted: { size: number; ids: readonly number[] }[] = [];
  const drafts = { sizes: draftCounts, drafted: 0, accepted: 0 };
  for (const size of draftCounts) {
    const { ids, speculation } = await model.generate(promptIds, { ...greedy, mtp: size });
    drafted.push({ size, ids });
    drafts.drafted += speculation.drafted;
    drafts.accepted += speculation.accepted;
    step();
  }

  // The last token's row is left out: its logits are about the token after the answer.
  const text = Uint32Array.from([...promptIds, ...ids.slice(0, -1)]);
  const run = async (size: number) => {
    const logits = await replay(text, promptIds.length, size, signal);
    step();
    return logits;
  };
  const reference: ReferenceAnswer = { ids, logits: await run(1), vocabSize };
  const found = drafted.map((answer) => compareAnswer(reference, answer.size, answer.ids));
  for (const size of rowCounts)
    found.push(await compareRows(reference, size, size === 1 ? reference.logits : await run(size)));
  return { promptTokens: promptIds.length, ids, drafts, rows: { sizes: rowCounts }, divergence: earliest(found) };
}

/** The first token at which two answers differ. Null on the side of an answer that is over there. */
export function firstDifference(
  expected: ArrayLike<number>,
  found: ArrayLike<number>,
): { position: number; expected: number | null; found: number | null } | null {
  for (let position = 0; position < Math.max(expected.length, found.length); position++)
    if (expected[position] !== found[position])
      return { position, expected: expected[position] ?? null, found: found[position] ?? null };
  return null;
}

/** The divergence of an answer that was made with `size` drafts a step from the one made without. */
export function compareAnswer(
  { ids, logits, vocabSize }: ReferenceAnswer,
  size: number,
  found: readonly number[],
): Divergence | null {
  if (found.length !== ids.length)
    throw new KexaError('KEXA_INTERNAL', `${size} drafts: wanted ${ids.length} tokens, found ${found.length}`);
  const difference = firstDifference(ids, found);
  if (difference === null) return null;
  const { position } = difference;
  const row = rowOf(logits, position, vocabSize);
  const withLogit = (id: number) => ({ id, logit: row[id]! });
  return {
    check: 'drafts',
    size,
    position,
    expected: withLogit(ids[position]!),
    found: withLogit(found[position]!),
    margin: bestOf(row).margin,
  };
}

/**
 * The first row whose logits in `found`, computed in steps of `size` rows, differ by a bit from those computed one by
 * one, or whose best token is not the answer's.
 */
export async function compareRows(
  { ids, logits, vocabSize }: ReferenceAnswer,
  size: number,
  found: Float32Array,
): Promise<Divergence | null> {
  if (found.length !== logits.length)
    throw new KexaError(
      'KEXA_INTERNAL',
      `batches of ${size} rows: wanted ${logits.length} logits, found ${found.length}`,
    );
  for (const [position, id] of ids.entries()) {
    if (position % rowsAtOnce === rowsAtOnce - 1) await breathe();
    const expectedRow = rowOf(logits, position, vocabSize);
    const foundRow = rowOf(found, position, vocabSize);
    const isSame = bytesOf(expectedRow).equals(bytesOf(foundRow));
    // Equal logits have the same best token, which was already compared with steps of one row.
    if (isSame && size > 1) continue;
    const best = bestOf(foundRow);
    if (isSame && best.id === id) continue;
    return {
      check: 'rows',
      size,
      position,
      expected: { id, logit: expectedRow[id]! },
      found: { id: best.id, logit: best.logit },
      margin: bestOf(expectedRow).margin,
      ...(!isSame && { differing: differingLogits(expectedRow, foundRow) }),
    };
  }
  return null;
}

/** The divergence at the first position. If there are several, the one of the check that was made first. */
export function earliest(divergences: readonly (Divergence | null)[]): Divergence | null {
  let first: Divergence | null = null;
  for (const one of divergences) if (one !== null && (first === null || one.position < first.position)) first = one;
  return first;
}

/** The best logit, with the lowest id among equals, and its lead over the next. */
function bestOf(row: Float32Array): { id: number; logit: number; margin: number } {
  let id = 0;
  let second = Number.NEGATIVE_INFINITY;
  for (let i = 1; i < row.length; i++) {
    if (row[i]! > row[id]!) {
      second = row[id]!;
      id = i;
    } else if (row[i]! > second) {
      second = row[i]!;
    }
  }
  return { id, logit: row[id]!, margin: row[id]! - second };
}

function differingLogits(expected: Float32Array, found: Float32Array): NonNullable<Divergence['differing']> {
  const bits = (row: Float32Array) => new Uint32Array(row.buffer, row.byteOffset, row.length);
  const [expectedBits, foundBits] = [bits(expected), bits(found)];
  let count = 0;
  let id = 0;
  let largest = -1;
  for (let i = 0; i < expected.length; i++) {
    if (expectedBits[i] === foundBits[i]) continue;
    count++;
    const difference = Math.abs(expected[i]! - found[i]!);
    if (difference <= largest || Number.isNaN(largest)) continue;
    largest = difference;
    id = i;
  }
  return { count, id, expected: expected[id]!, found: found[id]! };
}

function rowOf(logits: Float32Array, row: number, vocabSize: number): Float32Array {
  return logits.subarray(row * vocabSize, (row + 1) * vocabSize);
}

function bytesOf(row: Float32Array): Buffer {
  return Buffer.from(row.buffer, row.byteOffset, row.byteLength);
}

/** 1, 2, …, `last`. */
function countUpTo(last: number): number[] {
  return Array.from({ length: Math.max(0, last) }, (_, i) => i + 1);
}
