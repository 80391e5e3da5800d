/**
 * Proves, for a model and device, that company changes no answer: random requests are answered at the same time, and
 * then each alone and without drafts. Ids, text, end and log-probabilities must be the same to the bit.
 */
import { limits } from '../limits.js';
import { seededRandom } from '../random.js';
import type { GenerateOptions, GenerationResult, Prompt } from '../types.js';
import type { AnsweringModel, Generation } from './generation.js';

/** A request of a crowd. */
export interface CrowdRequest {
  prompt: readonly number[];
  /** Has no signal. */
  options: GenerateOptions;
  /** The request begins when the crowd's answers have this many tokens together, or when no other is running. */
  beginsAt: number;
  /** The number of tokens after which the reader leaves. 0: before the first. Null: the reader stays to the end. */
  leavesAfter: number | null;
}

/** The facts that random requests depend on. */
export interface CrowdFacts {
  count: number;
  /** The same seed gives the same requests. */
  seed: number;
  /** Texts (token ids) whose beginnings are the prompts, so that some prompts begin alike. None may be empty. */
  sources: readonly (readonly number[])[];
  vocabSize: number;
  contextSize: number;
  /** The most tokens of an answer. */
  maxTokens: number;
  /** Whether the model drafts. */
  hasDrafts: boolean;
  /** Whether tokens have a text, which stop texts need. */
  hasText: boolean;
}

/** The first difference of an answer in the crowd from the same answer alone. */
export interface CrowdDivergence {
  /** The request's index. */
  request: number;
  promptTokens: number;
  options: GenerateOptions;
  what: 'ids' | 'logprobs' | 'text' | 'finish' | 'error';
  /** The token of the answer, or the character of its text. Null for its end and for an error. */
  position: number | null;
  /** The value in the answer alone. */
  expected: string;
  /** The value in the crowd. */
  found: string;
}

/** The result of {@link verifyCrowd}. */
export interface CrowdReport {
  requests: number;
  /** The most requests that were running at the same time. */
  atOnce: number;
  /** The tokens of all answers in the crowd. */
  tokens: number;
  /** The number of readers that left before the end. */
  left: number;
  drafted: number;
  accepted: number;
  divergences: CrowdDivergence[];
}

/** The part of a model that {@link verifyCrowd} needs. */
export type CrowdModel = AnsweringModel & { generate(prompt: Prompt, options: GenerateOptions): Generation };

type Outcome = GenerationResult | { error: unknown };

const longestTail = 16;
/** A bias that bans a token, and that JSON can hold. */
const banned = -1e39;
const stopTexts = [' the', 'e', '\n', '. ', '다'];

/** Random requests, in the order in which they begin: lengths, options, and readers that leave. */
export function crowdRequests(facts: CrowdFacts): CrowdRequest[] {
  const random = seededRandom(facts.seed);
  const integer = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  const oneOf = <Value>(values: readonly Value[]) => values[integer(0, values.length - 1)]!;
  const { count, sources, vocabSize, contextSize } = facts;
  const most = Math.max(1, Math.min(facts.maxTokens, contextSize - 1));
  const requests = Array.from({ length: count }, (): CrowdRequest => {
    const source = oneOf(sources);
    const begun = source.slice(0, integer(1, source.length));
    const tail = Array.from({ length: oneOf([0, integer(1, longestTail)]) }, () => integer(0, vocabSize - 1));
    const prompt = [...begun, ...tail].slice(0, contextSize - most);
    const maxTokens = integer(1, most);
    return {
      prompt,
      options: { ...randomOptions(facts, random, integer, oneOf), maxTokens },
      beginsAt: oneOf([0, integer(0, (count * most) >> 2)]),
      leavesAfter: integer(0, 5) === 0 ? integer(0, maxTokens - 1) : null,
    };
  });
  return requests.toSorted((a, b) => a.beginsAt - b.beginsAt);
}

function randomOptions(
  { vocabSize, hasDrafts, hasText }: CrowdFacts,
  random: () => number,
  integer: (least: number, most: number) => number,
  oneOf: <Value>(values: readonly Value[]) => Value,
): GenerateOptions {
  const bias = () =>
    Object.fromEntries(
      Array.from({ length: integer(1, 20) }, () => [integer(0, vocabSize - 1), oneOf([banned, random() * 6 - 3])]),
    );
  return {
    temperature: oneOf([0, 0, 0.7, 1, 1.5]),
    topK: oneOf([0, 0, integer(1, 60)]),
    topP: oneOf([1, 0.95, 0.6]),
    minP: oneOf([0, 0, 0.05]),
    repeatPenalty: oneOf([1, 1, 1.1, 1.3]),
    repeatLastN: oneOf([-1, integer(0, 32)]),
    presencePenalty: oneOf([0, 0, 0.5, -0.5]),
    frequencyPenalty: oneOf([0, 0, 0.3]),
    seed: integer(0, limits.integer),
    ignoreEos: oneOf([false, true, true]),
    mtp: hasDrafts ? oneOf([false, 'auto' as const, integer(1, limits.drafts), integer(1, limits.drafts)]) : false,
    ...oneOf([{}, { logitBias: bias() }]),
    ...oneOf([{}, { logprobs: integer(0, limits.alternatives) }]),
    ...(hasText && oneOf([{}, {}, {}, { stop: oneOf(stopTexts) }])),
  };
}

/**
 * Answers all requests at once, then each alone and without drafts, and compares. The answer of a reader who left is the
 * beginning of the answer alone.
 *
 * @throws KexaError any error of an answer alone; the signal's reason if it is aborted
 */
export async function verifyCrowd(
  model: CrowdModel,
  requests: readonly CrowdRequest[],
  {
    onProgress,
    signal,
  }: { onProgress?: (progress: { done: number; total: number }) => void; signal?: AbortSignal } = {},
): Promise<CrowdReport> {
  let done = 0;
  const step = () => onProgress?.({ done: ++done, total: 2 * requests.length });
  const stopping = signal === undefined ? {} : { signal };
  const { outcomes, atOnce } = await answerTogether(model, requests, stopping, step);
  signal?.throwIfAborted();
  const results = outcomes.flatMap((outcome) => ('error' in outcome ? [] : [outcome]));
  const report: CrowdReport = {
    requests: requests.length,
    atOnce,
    tokens: results.reduce((sum, { ids }) => sum + ids.length, 0),
    left: results.filter(({ finishReason }) => finishReason === 'aborted').length,
    drafted: results.reduce((sum, { speculation }) => sum + speculation.drafted, 0),
    accepted: results.reduce((sum, { speculation }) => sum + speculation.accepted, 0),
    divergences: [],
  };
  for (const [i, { prompt, options, leavesAfter }] of requests.entries()) {
    const alone = await model.generate(prompt, { ...options, ...stopping, mtp: false });
    const difference = compareOutcome(alone, outcomes[i]!, leavesAfter !== null);
    if (difference !== null)
      report.divergences.push({ request: i, promptTokens: prompt.length, options, ...difference });
    step();
  }
  return report;
}

/** Answers the requests at once, in the order in which they are due. An answer that fails gives its error. */
async function answerTogether(
  model: CrowdModel,
  requests: readonly CrowdRequest[],
  stopping: { signal?: AbortSignal },
  onAnswer: () => void,
): Promise<{ outcomes: Outcome[]; atOnce: number }> {
  const begun: Promise<Outcome>[] = [];
  let tokens = 0;
  let running = 0;
  let atOnce = 0;
  const beginDue = () => {
    for (let next = requests[begun.length]; next !== undefined; next = requests[begun.length]) {
      if (running > 0 && next.beginsAt > tokens) return;
      atOnce = Math.max(atOnce, ++running);
      begun.push(answer(next));
    }
  };
  const answer = async ({ prompt, options, leavesAfter }: CrowdRequest): Promise<Outcome> => {
    const outcome = await outcomeOf(model.generate(prompt, { ...options, ...stopping }), leavesAfter, (count) => {
      tokens += count;
      beginDue();
    });
    running--;
    onAnswer();
    beginDue();
    return outcome;
  };
  beginDue();
  const outcomes: Outcome[] = [];
  // When all that have begun are over, the last of them has begun the next.
  for (let i = 0; i < requests.length; i++) outcomes.push(await begun[i]!);
  return { outcomes, atOnce };
}

/** Reads an answer until its end, or until its reader leaves. */
async function outcomeOf(
  generation: Generation,
  leavesAfter: number | null,
  onTokens: (count: number) => void,
): Promise<Outcome> {
  try {
    let read = 0;
    const pieces = generation[Symbol.asyncIterator]();
    while (leavesAfter === null || read < leavesAfter) {
      const { value: piece } = await pieces.next();
      if (piece === undefined) break;
      read += piece.ids.length;
      onTokens(piece.ids.length);
    }
    await pieces.return!();
    return await generation;
  } catch (error) {
    return { error };
  }
}

/** The first difference of an answer in the crowd from the answer alone. Null if there is none. */
export function compareOutcome(
  alone: GenerationResult,
  found: Outcome,
  mayLeave: boolean,
): Pick<CrowdDivergence, 'what' | 'position' | 'expected' | 'found'> | null {
  const difference = (what: CrowdDivergence['what'], position: number | null, pair: readonly [unknown, unknown]) => ({
    ...{ what, position },
    ...{ expected: String(pair[0]), found: String(pair[1]) },
  });
  if ('error' in found) return difference('error', null, [alone.finishReason, found.error]);
  const hasLeft = mayLeave && found.finishReason === 'aborted';
  const most = hasLeft ? found.ids.length : Math.max(alone.ids.length, found.ids.length);
  for (let i = 0; i < most; i++) {
    if (alone.ids[i] !== found.ids[i]) return difference('ids', i, [alone.ids[i] ?? 'none', found.ids[i] ?? 'none']);
    const pair = [alone, found].map(({ logprobs }) => probabilityText(logprobs?.[i])) as [string, string];
    if (pair[0] !== pair[1]) return difference('logprobs', i, pair);
  }
  // Text at the end of an answer that was left may be the beginning of a stop text.
  if (hasLeft) return null;
  const texts = [alone, found].map(({ reasoning, text }) => reasoning + text) as [string, string];
  if (texts[0] !== texts[1]) {
    let position = 0;
    while (position < texts[0].length && texts[0][position] === texts[1][position]) position++;
    const rest = texts.map((text) => JSON.stringify(text.slice(position, position + 20))) as [string, string];
    return difference('text', position, rest);
  }
  const ends = [alone, found].map(({ finishReason, stopText }) =>
    stopText === undefined ? finishReason : `${finishReason} at ${JSON.stringify(stopText)}`,
  ) as [string, string];
  return ends[0] === ends[1] ? null : difference('finish', null, ends);
}

/** A token's log-probability and those of the alternatives, with all their digits. */
function probabilityText(token: NonNullable<GenerationResult['logprobs']>[number] | undefined): string {
  if (token === undefined) return 'none';
  return [token, ...token.top].map(({ id, logprob }) => `${id} ${Object.is(logprob, -0) ? '-0' : logprob}`).join(', ');
}
