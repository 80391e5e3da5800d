import type { NativeEvent, NativeGenerateParams, NativeRequest } from '../native.js';
import type { ExpertTraffic, FinishReason, GenerationResult, Piece, Speculation, TokenLogprob } from '../types.js';
import type { Reply } from './reply.js';

/** The parts that a generation gives to each of its answers. */
export interface AnswerParts {
  /** Null for an answer that was given up before its prompt was known. */
  reply: Reply | null;
  params: NativeGenerateParams | null;
  promptTokens: number;
  wantsLogprobs: boolean;
  /** When the call was made, by `performance.now()`. */
  startedAt: number;
  /** The number that its pieces carry. Undefined if the call did not ask for several. */
  choice: number | undefined;
  /** Whether nobody wants more of it. */
  hasLeft(): boolean;
  onPromptProgress(done: number, total: number): void;
  onPiece(piece: Piece): void;
  /** The request ended because its reader has left. Settles the answer or gives an error. */
  onLeft(answer: Answer): void;
  onFailed(event: Extract<NativeEvent, { kind: 'failed' }>): void;
}

/** One answer: makes pieces of its request's events, and the result at their end. */
export class Answer {
  readonly #parts: AnswerParts;
  readonly #pieces: Piece[] = [];
  readonly #drafts: { drafted: number; accepted: number }[] = [];
  #request: NativeRequest | undefined;
  #pulling: Promise<void> | undefined;
  #cachedTokens = 0;
  #queueMs = 0;
  #savedMs: number | null = null;
  #ended: Extract<NativeEvent, { kind: 'ended' }> | undefined;
  #firstTokenAt = 0;
  #lastTokenAt = 0;
  #result: GenerationResult | undefined;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  /** Undefined until the answer is over. */
  get result(): GenerationResult | undefined {
    return this.#result;
  }

  begin(request: NativeRequest): void {
    this.#request = request;
  }

  cancel(): void {
    this.#request?.cancel();
  }

  /** Waits for the engine's next events and takes them. Calls at the same time share one wait. */
  pull(): Promise<void> {
    this.#pulling ??= this.#pullOnce().finally(() => {
      this.#pulling = undefined;
    });
    return this.#pulling;
  }

  async #pullOnce(): Promise<void> {
    for (const event of (await this.#request!.next()) ?? []) if (this.#result === undefined) this.#take(event);
  }

  #take(event: NativeEvent): void {
    switch (event.kind) {
      case 'started':
        this.#cachedTokens = event.cachedTokens;
        this.#queueMs = event.queueMs;
        if (!this.#parts.hasLeft()) this.#parts.onPromptProgress(event.cachedTokens, this.#parts.promptTokens);
        break;
      case 'prompt':
        if (!this.#parts.hasLeft()) this.#parts.onPromptProgress(event.done, event.total);
        break;
      case 'tokens':
        this.#takeTokens(event);
        break;
      case 'ended':
        this.#ended = event;
        this.#savedMs = event.savedMs;
        // A reader who left before the end has left out tokens too.
        if (this.#parts.hasLeft()) this.#parts.onLeft(this);
        else this.settle(event.isLength ? 'length' : 'stop');
        break;
      case 'stopped':
        this.#parts.onLeft(this);
        break;
      case 'failed':
        this.#parts.onFailed(event);
        break;
    }
  }

  #takeTokens(event: Extract<NativeEvent, { kind: 'tokens' }>): void {
    if (this.#parts.hasLeft()) return;
    this.#lastTokenAt = performance.now();
    this.#firstTokenAt ||= this.#lastTokenAt;
    this.#savedMs = event.savedMs;
    for (let i = 0; i < event.drafts.length; i += 2)
      this.#drafts.push({ drafted: event.drafts[i]!, accepted: event.drafts[i + 1]! });
    const { piece, isStopped } = this.#parts.reply!.push(event.ids);
    if (this.#parts.wantsLogprobs) piece.logprobs = tokenLogprobs(event).slice(0, piece.ids.length);
    this.#add(piece);
    if (!isStopped) return;
    this.cancel();
    this.settle('stop');
  }

  #add(piece: Piece): void {
    if (this.#parts.choice !== undefined) piece.choice = this.#parts.choice;
    this.#pieces.push(piece);
    this.#parts.onPiece(piece);
  }

  /** Ends the answer with what has come so far. */
  settle(reason: FinishReason): void {
    if (this.#result !== undefined) return;
    const { reply, params, promptTokens, startedAt, wantsLogprobs } = this.#parts;
    const { piece: rest, isStopped } = reply?.flush(reason !== 'stop') ?? {};
    // Whitespace that a call might follow is held back, so a stop text in it is found only now.
    const ending = reason === 'length' && isStopped ? 'stop' : reason;
    if (rest !== undefined && hasContent(rest)) this.#add(rest);
    const pieces = this.#pieces;
    const ids = pieces.flatMap((piece) => piece.ids);
    const toolCalls = pieces.flatMap((piece) => piece.toolCalls);
    const firstTokenMs = this.#firstTokenAt ? this.#firstTokenAt - startedAt : 0;
    // The engine reports no times of an answer that its reader stopped, so the times are taken on this side.
    const prefillMs = this.#ended?.prefillMs ?? firstTokenMs;
    const decodeMs = this.#ended?.decodeMs ?? this.#lastTokenAt - this.#firstTokenAt;
    const result: GenerationResult = {
      text: pieces.map((piece) => piece.text).join(''),
      reasoning: pieces.map((piece) => piece.reasoning).join(''),
      toolCalls,
      failedToolCalls: pieces.flatMap((piece) => piece.failedToolCalls),
      ids,
      finishReason: ending === 'stop' && toolCalls.length > 0 ? 'tool_calls' : ending,
      usage: {
        promptTokens,
        cachedTokens: this.#cachedTokens,
        completionTokens: ids.length,
        parked: this.#ended?.parked ?? 0,
      },
      timings: {
        prefillMs,
        decodeMs,
        firstTokenMs,
        queueMs: this.#queueMs,
        prefillTokensPerSecond: perSecond(promptTokens - this.#cachedTokens, prefillMs),
        decodeTokensPerSecond: perSecond(ids.length - 1, decodeMs),
        encodeMs: this.#ended?.encodeMs ?? null,
      },
      speculation: { ...summarize(this.#drafts), timeSavedMs: this.#savedMs },
      seed: params?.seed ?? 0,
    };
    const stopText = reply?.stopText;
    if (ending === 'stop' && stopText !== undefined) result.stopText = stopText;
    if (wantsLogprobs) result.logprobs = pieces.flatMap((piece) => piece.logprobs ?? []);
    if (this.#ended?.experts) result.experts = withHitRate(this.#ended.experts);
    if (this.#ended?.profile) result.profile = this.#ended.profile;
    this.#result = result;
  }
}

/** Tokens with their log-probabilities, as the engine's events have them. */
export function tokenLogprobs({
  ids,
  logprobs,
  tops,
}: {
  ids: Uint32Array;
  logprobs: Float32Array;
  tops: readonly TokenLogprob['top'][];
}): TokenLogprob[] {
  return Array.from(ids, (id, i) => ({ id, logprob: logprobs[i]!, top: tops[i]! }));
}

function hasContent({ text, reasoning, toolCallDeltas, toolCalls, failedToolCalls }: Piece): boolean {
  const counts = [text.length, reasoning.length, toolCallDeltas.length, toolCalls.length, failedToolCalls.length];
  return counts.some((count) => count > 0);
}

function withHitRate(experts: Omit<ExpertTraffic, 'hitRate'>): ExpertTraffic {
  const choices = experts.hits + experts.misses;
  return { ...experts, hitRate: choices === 0 ? 1 : experts.hits / choices };
}

/** Adds up the drafts of an answer's steps. There may be as many steps as the context has tokens. */
export function summarize(steps: readonly { drafted: number; accepted: number }[]): Omit<Speculation, 'timeSavedMs'> {
  const most = { drafted: 0, accepted: -1 };
  let drafted = 0;
  let accepted = 0;
  for (const step of steps) {
    drafted += step.drafted;
    accepted += step.accepted;
    most.drafted = Math.max(most.drafted, step.drafted);
    most.accepted = Math.max(most.accepted, step.accepted);
  }
  const histogram = new Array<number>(most.accepted + 1).fill(0);
  for (const step of steps) histogram[step.accepted]!++;
  return {
    steps: steps.length,
    drafted,
    accepted,
    acceptanceRate: drafted ? accepted / drafted : 0,
    meanAcceptedLength: steps.length ? 1 + accepted / steps.length : 0,
    histogram,
    byPosition: Array.from({ length: most.drafted }, (_, position) => ({
      drafted: steps.filter((step) => step.drafted > position).length,
      accepted: steps.filter((step) => step.accepted > position).length,
    })),
  };
}

function perSecond(tokens: number, ms: number): number {
  return ms > 0 && tokens > 0 ? (tokens / ms) * 1000 : 0;
}
