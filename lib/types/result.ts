/** The results of `generate`, whole and piece by piece. */
import type { FailedToolCall, ToolCall, ToolCallDelta } from './chat.js';
import type { GenerationProfile } from './forward.js';

/**
 * A chosen token and its log-probability under the model's own distribution (before penalties and filters).
 *
 * @example
 * const { logprobs } = await session.generate('Hello', { logprobs: 3 });
 * for (const { id, logprob, top } of logprobs!) console.log(id, logprob, top.length); // top has 3 entries
 */
export interface TokenLogprob {
  id: number;
  logprob: number;
  /** The most probable tokens, best first. */
  top: { id: number; logprob: number }[];
}

/**
 * A part of an answer: the tokens that became text since the last piece.
 *
 * @example
 * for await (const { text, reasoning, toolCalls } of session.generate(messages, { tools }))
 *   process.stdout.write(text || reasoning || toolCalls.map(({ name }) => name).join());
 */
export interface Piece {
  /** New text of the answer. May be empty when the piece is reasoning or part of a tool call. */
  text: string;
  /** New text of the thinking. */
  reasoning: string;
  /** Parts of calls, as they come. */
  toolCallDeltas: ToolCallDelta[];
  /** Calls completed in this piece. */
  toolCalls: ToolCall[];
  /** Calls that ended in this piece and cannot be read. */
  failedToolCalls: FailedToolCall[];
  /** The tokens taken since the last piece. */
  ids: number[];
  logprobs?: TokenLogprob[];
  /** With the option `n`: the number of the answer that the piece is of, from 0. */
  choice?: number;
}

/**
 * Counts of tokens.
 *
 * @example
 * const { usage } = await session.generate('Hello');
 * console.log(`${usage.cachedTokens} of ${usage.promptTokens} prompt tokens were cached`);
 */
export interface Usage {
  promptTokens: number;
  /** The number of the prompt's tokens whose keys and values were still cached. */
  cachedTokens: number;
  completionTokens: number;
  /** How often the request gave up its place in the cache to others, and waited in main memory. */
  parked: number;
}

/**
 * How the experts that an answer's tokens chose were served, if the GPU does not hold all experts.
 *
 * @example
 * const { experts } = await session.generate('Hello');
 * if (experts) console.log(`${experts.hitRate} of the choices were on the GPU`, experts.copiedBytes, 'bytes copied');
 */
export interface ExpertTraffic {
  /** The number of choices whose expert was on the GPU. A token makes top-k choices in each layer. */
  hits: number;
  /** The number of choices whose expert was not on the GPU. */
  misses: number;
  /** hits / (hits + misses); 1 if nothing was chosen. */
  hitRate: number;
  /** The number of misses that the processor computed. */
  computed: number;
  /** The number of experts that were copied to the GPU. One copy may serve many choices. */
  copies: number;
  copiedBytes: number;
}

/**
 * Wall-clock times in milliseconds.
 *
 * @example
 * const { timings } = await session.generate('Hello');
 * console.log(`${timings.firstTokenMs} ms to the first token, then ${timings.decodeTokensPerSecond} tokens/s`);
 */
export interface Timings {
  /** Computing the prompt's uncached tokens. */
  prefillMs: number;
  /** From the first to the last generated token. */
  decodeMs: number;
  /** From the call to the first token. */
  firstTokenMs: number;
  /** The part of `firstTokenMs` in which the request waited for its turn, a slot and room in the cache. */
  queueMs: number;
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
  /** The part of `decodeMs` in which the processor handed steps to the GPU. Null on the CPU device. */
  encodeMs: number | null;
}

/**
 * The work of speculative decoding. All numbers are zero if nothing was drafted.
 *
 * @example
 * const { speculation } = await session.generate('Hello', { mtp: 3 });
 * console.log(`${speculation.accepted} of ${speculation.drafted} drafts were kept`);
 */
export interface Speculation {
  steps: number;
  drafted: number;
  accepted: number;
  acceptanceRate: number;
  /** Tokens a step gave on average: 1 + accepted / steps. */
  meanAcceptedLength: number;
  /** histogram[n]: steps that accepted n drafts. */
  histogram: number[];
  /** byPosition[i]: how many steps had a draft i (0 is a step's first), and how many accepted it. */
  byPosition: { drafted: number; accepted: number }[];
  /**
   * The time that drafting saved (milliseconds): the time that the answer's tokens would have taken one by one, at the
   * speed of this device's steps without drafts, less the time that the steps took. A negative number is a loss. Not
   * counted: steps at the start, steps where the number of drafts changes, and the MTP block's work on the prompt. Null
   * if nothing was drafted, or if no step without drafts has been timed since the model was loaded.
   */
  timeSavedMs: number | null;
}

/**
 * Why an answer ended. `stop`: an end-of-turn token or a stop text. `tool_calls`: the same, with calls in the answer.
 * `length`: `maxTokens` or the context ran out. `aborted`: the reader left early.
 *
 * @example
 * const { text, finishReason } = await session.generate('Hello', { maxTokens: 10 });
 * if (finishReason === 'length') console.log(`${text} ...`);
 */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'aborted';

/**
 * A whole answer. Awaiting a generation gives it.
 *
 * @example
 * const result: GenerationResult = await session.generate('Why is the sky blue?');
 * console.log(result.text, result.finishReason, result.usage.completionTokens);
 */
export interface GenerationResult {
  text: string;
  reasoning: string;
  toolCalls: ToolCall[];
  /** Texts that began as a call and cannot be read as one. They are also part of `text`. */
  failedToolCalls: FailedToolCall[];
  /** Every generated token, the end-of-turn token included. */
  ids: number[];
  logprobs?: TokenLogprob[];
  finishReason: FinishReason;
  /** The text of `stop` that ended the answer. Absent if the answer ended in another way. */
  stopText?: string;
  usage: Usage;
  timings: Timings;
  speculation: Speculation;
  /** Present if the GPU does not hold all experts and the answer was not stopped. */
  experts?: ExpertTraffic;
  /** Present with the option `profile` if the answer was not stopped. */
  profile?: GenerationProfile;
  /** The seed that was used. */
  seed: number;
  /** With the option `n`: all answers, this one first. */
  choices?: GenerationResult[];
}
