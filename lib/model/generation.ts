import { whenAborted } from '../abort.js';
import { KexaError } from '../errors.js';
import type { NativeEvent, NativeGenerateParams, NativeRequest } from '../native.js';
import { invalid, toIds } from '../options.js';
import { answerFormat } from '../text/grammar/answer-format.js';
import type { GrammarInUse, Grammars } from '../text/grammar/grammars.js';
import { rewrittenTokens } from '../text/kept-turn.js';
import { endsInsideThinking } from '../text/reply-parser.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type {
  ExpertTraffic,
  FinishReason,
  GenerateOptions,
  GenerationResult,
  Message,
  ModelConfig,
  Piece,
  Prompt,
  Speculation,
  TokenLogprob,
} from '../types.js';
import { requiresCall } from './constraint.js';
import { Reply } from './reply.js';
import { checkGenerateOptions } from './sampling.js';

/** The part of a `Model` that an answer needs. */
export interface AnsweringModel {
  readonly config: ModelConfig;
  /** The most tokens that a sequence may hold. */
  readonly contextSize: number;
  /** @throws KexaError KEXA_NOT_FOUND if the model has none */
  readonly tokenizer: Tokenizer;
  /** @throws KexaError KEXA_NOT_FOUND if the model has no tokenizer */
  readonly grammars: Grammars;
}

/** The parts that a session gives to its Generation. */
interface GenerationParts {
  model: AnsweringModel;
  prompt: Prompt;
  options: GenerateOptions;
  /** Whether the session ends with the answer, so that no turn follows. */
  isForOneAnswer: boolean;
  start(ids: Uint32Array, params: NativeGenerateParams): NativeRequest;
  /** Takes the session, or throws if it cannot generate now. */
  check(): void;
  /** Gives the session back. Is called once, if `check` did not throw. */
  onEnd(): void;
}

/**
 * An answer being generated. Await it for the whole result, iterate it for the text as it comes, or both, more than
 * once: every reader is given all of it. It runs ahead of its fastest reader by a few dozen tokens at most.
 *
 * It is a promise of its result, with `then`, `catch` and `finally`. An error goes to whoever reads or awaits the
 * answer. If nobody does, the error is an unhandled rejection, as with any promise, unless an abort or `Model.close`
 * caused it.
 *
 * @example
 * const generation = session.generate('Why is the sky blue?');
 * for await (const { text } of generation) process.stdout.write(text);
 * const { usage } = await generation;
 */
export class Generation implements Promise<GenerationResult>, AsyncIterable<Piece> {
  readonly #parts: GenerationParts;
  readonly #pieces: Piece[] = [];
  readonly #started: Promise<void>;
  #isTaken = false;
  #request: NativeRequest | undefined;
  #reply: Reply | undefined;
  #params: NativeGenerateParams | undefined;
  #wantsLogprobs = false;
  #promptTokens = 0;
  #cachedTokens = 0;
  #queueMs = 0;
  #savedMs: number | null = null;
  #ended: Extract<NativeEvent, { kind: 'ended' }> | undefined;
  #startedAt = performance.now();
  #firstTokenAt = 0;
  #lastTokenAt = 0;
  #isCancelled = false;
  /** Stops the encoding of the prompt. */
  readonly #starting = new AbortController();
  readonly #drafts: { drafted: number; accepted: number }[] = [];
  #pulling: Promise<void> | undefined;
  #outcome: { result: GenerationResult } | { error: unknown } | undefined;
  #stopListening = () => {};
  #grammar: GrammarInUse | undefined;
  /** Whether anybody has asked for the result or for a piece. */
  #isRead = false;
  /** A promise rejected with an error that nobody has read yet. Node reports it unless a reader comes. */
  #unread: Promise<never> | undefined;

  /** @internal */
  constructor(parts: GenerationParts) {
    this.#parts = { ...parts, options: withChosenTools(parts.options) };
    this.#started = this.#start();
  }

  get [Symbol.toStringTag](): string {
    return 'Generation';
  }

  /**
   * Does what a promise's `then` does, with the {@link GenerationResult}. So a generation can be awaited.
   *
   * @example
   * const text = await session.generate('Hello').then((result) => result.text);
   */
  // biome-ignore lint/suspicious/noThenProperty: a generation is awaitable by design
  then<Value = GenerationResult, Other = never>(
    onResult?: ((result: GenerationResult) => Value | PromiseLike<Value>) | null,
    // biome-ignore lint/suspicious/noExplicitAny: as Promise has it
    onError?: ((reason: any) => Other | PromiseLike<Other>) | null,
  ): Promise<Value | Other> {
    this.#read();
    return this.#finish().then(onResult, onError);
  }

  /**
   * Does what a promise's `catch` does.
   *
   * @example
   * const result = await session.generate('Hello').catch((error: KexaError) => error.code);
   */
  catch<Other = never>(
    // biome-ignore lint/suspicious/noExplicitAny: as Promise has it
    onError?: ((reason: any) => Other | PromiseLike<Other>) | null,
  ): Promise<GenerationResult | Other> {
    return this.then(null, onError);
  }

  /**
   * Does what a promise's `finally` does.
   *
   * @example
   * await session.generate('Hello').finally(() => console.log('over'));
   */
  finally(onEnd?: (() => void) | null): Promise<GenerationResult> {
    this.#read();
    return this.#finish().finally(onEnd);
  }

  /**
   * Gives the pieces of the answer from its start. Leaving the loop stops the work.
   *
   * @example
   * for await (const { text } of session.generate('Hello')) {
   *   process.stdout.write(text);
   *   if (text.includes('.')) break; // stops the work
   * }
   */
  [Symbol.asyncIterator](): AsyncIterator<Piece, undefined> {
    let read = 0;
    return {
      next: async () => {
        this.#read();
        while (read >= this.#pieces.length && this.#outcome === undefined) await this.#pull();
        if (read < this.#pieces.length) return { done: false, value: this.#pieces[read++]! };
        if (this.#outcome !== undefined && 'error' in this.#outcome) throw this.#outcome.error;
        return { done: true, value: undefined };
      },
      return: async () => {
        this.#read();
        await this.#breakOff();
        return { done: true, value: undefined };
      },
    };
  }

  /** Notes that a reader takes the result, or the error that has occurred. */
  #read(): void {
    this.#isRead = true;
    this.#unread?.catch(() => {});
  }

  async #finish(): Promise<GenerationResult> {
    while (this.#outcome === undefined) await this.#pull();
    if ('error' in this.#outcome) throw this.#outcome.error;
    return this.#outcome.result;
  }

  /** Ends the answer because its reader has left. The tokens so far are the result. */
  async #breakOff(): Promise<void> {
    if (this.#outcome !== undefined) return;
    this.#isCancelled = true;
    this.#starting.abort();
    this.#request?.cancel();
    while (this.#outcome === undefined) await this.#pull();
  }

  async #start(): Promise<void> {
    try {
      await Promise.resolve(); // lets the session's generate() return first
      const { model, prompt, options } = this.#parts;
      const { params, text } = checkGenerateOptions(options, model.config);
      this.#parts.check();
      this.#isTaken = true;
      this.#wantsLogprobs = text.wantsLogprobs;
      this.#stopListening = whenAborted(options.signal, () => this.#starting.abort(options.signal!.reason));
      options.signal?.throwIfAborted();
      const encoding = { ...options, signal: this.#starting.signal };
      const { ids, startsInReasoning, isPlain } = await encodePrompt(model, prompt, encoding);
      if (text.constraint !== undefined) {
        if (isPlain && requiresCall(options)) throw invalid('prompt', 'a text or messages beside toolChoice', prompt);
        const format = answerFormat(text.constraint, startsInReasoning ? model.tokenizer.reasoning : null);
        this.#grammar = await model.grammars.use(format, isPlain, this.#starting.signal);
        Object.assign(params, { grammar: this.#grammar.id, forcesTokens: model.grammars.forcesTokens });
      }
      const keepAt = this.#parts.isForOneAnswer ? 0 : await turnEnd(model, prompt, ids, options);
      this.#starting.signal.throwIfAborted();
      this.#stopListening();
      if (ids.length >= model.contextSize)
        throw new KexaError(
          'KEXA_CONTEXT_FULL',
          `prompt: ${ids.length} tokens and at least one to answer do not fit the context of ${model.contextSize}`,
        );
      this.#promptTokens = ids.length;
      this.#params = { ...params, keepAt, maxTokens: Math.min(params.maxTokens, model.contextSize - ids.length) };
      this.#reply = new Reply({
        tokenizer: hasTokenizer(model) ? model.tokenizer : null,
        endTokens: new Set(params.endTokens),
        stop: text.stop,
        parsing: isPlain ? null : { startsInReasoning, tools: options.tools ?? false },
      });
      if (this.#isCancelled) return this.#settle('aborted');
      this.#request = this.#parts.start(ids, this.#params);
      this.#stopListening = whenAborted(options.signal, () => this.#request?.cancel());
    } catch (error) {
      if (this.#isCancelled && error === this.#starting.signal.reason) this.#leave();
      else this.#fail(error);
    }
  }

  /** Waits for the engine's next events. Readers that ask at the same time share one wait. */
  #pull(): Promise<void> {
    this.#pulling ??= this.#pullOnce().finally(() => {
      this.#pulling = undefined;
    });
    return this.#pulling;
  }

  async #pullOnce(): Promise<void> {
    await this.#started;
    if (this.#outcome !== undefined) return;
    try {
      const events = await this.#request!.next();
      for (const event of events ?? []) this.#take(event);
    } catch (error) {
      this.#fail(error);
    }
  }

  #take(event: NativeEvent): void {
    if (this.#outcome !== undefined) return;
    switch (event.kind) {
      case 'started':
        this.#cachedTokens = event.cachedTokens;
        this.#queueMs = event.queueMs;
        if (!this.#hasLeft()) this.#parts.options.onPromptProgress?.(event.cachedTokens, this.#promptTokens);
        break;
      case 'prompt':
        if (!this.#hasLeft()) this.#parts.options.onPromptProgress?.(event.done, event.total);
        break;
      case 'tokens':
        this.#takeTokens(event);
        break;
      case 'ended':
        this.#ended = event;
        this.#savedMs = event.savedMs;
        // A reader who left before the end has left out tokens too.
        if (this.#hasLeft()) this.#leave();
        else this.#settle(event.isLength ? 'length' : 'stop');
        break;
      case 'stopped':
        this.#leave();
        break;
      case 'failed':
        this.#fail(new KexaError(event.code, event.message));
        break;
    }
  }

  #hasLeft(): boolean {
    return this.#isCancelled || (this.#parts.options.signal?.aborted ?? false);
  }

  #leave(): void {
    const { signal, stopOnAbortSignal } = this.#parts.options;
    const keeps = stopOnAbortSignal === true && this.#pieces.length > 0;
    if (signal?.aborted && !keeps) this.#fail(signal.reason);
    else this.#settle('aborted');
  }

  #takeTokens(event: Extract<NativeEvent, { kind: 'tokens' }>): void {
    if (this.#hasLeft()) return;
    this.#lastTokenAt = performance.now();
    this.#firstTokenAt ||= this.#lastTokenAt;
    const logprobs = tokenLogprobs(event);
    this.#savedMs = event.savedMs;
    for (let i = 0; i < event.drafts.length; i += 2)
      this.#drafts.push({ drafted: event.drafts[i]!, accepted: event.drafts[i + 1]! });
    const { piece, isStopped } = this.#reply!.push(event.ids);
    if (this.#wantsLogprobs) piece.logprobs = logprobs.slice(0, piece.ids.length);
    this.#pieces.push(piece);
    if (!isStopped) return;
    this.#request?.cancel();
    this.#settle('stop');
  }

  #settle(reason: FinishReason): void {
    const { piece: rest, isStopped } = this.#reply?.flush(reason !== 'stop') ?? {};
    // Whitespace that a call might follow is held back, so a stop text in it is found only now.
    const ending = reason === 'length' && isStopped ? 'stop' : reason;
    if (rest !== undefined && hasContent(rest)) this.#pieces.push(rest);
    const pieces = this.#pieces;
    const ids = pieces.flatMap((piece) => piece.ids);
    const toolCalls = pieces.flatMap((piece) => piece.toolCalls);
    const prefillTokens = this.#promptTokens - this.#cachedTokens;
    const firstTokenMs = this.#firstTokenAt ? this.#firstTokenAt - this.#startedAt : 0;
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
        promptTokens: this.#promptTokens,
        cachedTokens: this.#cachedTokens,
        completionTokens: ids.length,
        parked: this.#ended?.parked ?? 0,
      },
      timings: {
        prefillMs,
        decodeMs,
        firstTokenMs,
        queueMs: this.#queueMs,
        prefillTokensPerSecond: perSecond(prefillTokens, prefillMs),
        decodeTokensPerSecond: perSecond(ids.length - 1, decodeMs),
        encodeMs: this.#ended?.encodeMs ?? null,
      },
      speculation: { ...summarize(this.#drafts), timeSavedMs: this.#savedMs },
      seed: this.#params?.seed ?? 0,
    };
    const stopText = this.#reply?.stopText;
    if (ending === 'stop' && stopText !== undefined) result.stopText = stopText;
    if (this.#wantsLogprobs) result.logprobs = pieces.flatMap((piece) => piece.logprobs ?? []);
    if (this.#ended?.experts) result.experts = withHitRate(this.#ended.experts);
    if (this.#ended?.profile) result.profile = this.#ended.profile;
    this.#end({ result });
  }

  #fail(error: unknown): void {
    this.#request?.cancel();
    // Whoever aborts the signal or closes the model knows of it and does not need an unhandled rejection.
    // Options that are no object are refused and have no signal.
    const isStopped =
      (this.#parts.options && this.#hasLeft()) || (error instanceof KexaError && error.code === 'KEXA_CLOSED');
    if (this.#outcome === undefined && !this.#isRead && !isStopped) this.#unread = Promise.reject(error);
    this.#end({ error });
  }

  #end(outcome: { result: GenerationResult } | { error: unknown }): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#stopListening();
    this.#grammar?.release();
    if (this.#isTaken) this.#parts.onEnd();
  }
}

/** The options without tools that the model is not to be told of. */
function withChosenTools(options: GenerateOptions): GenerateOptions {
  if (options?.toolChoice !== 'none') return options;
  const { tools: _, ...others } = options;
  return others;
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

/** Whether the model's tokens have texts. */
export function hasTokenizer(model: AnsweringModel): boolean {
  try {
    return model.tokenizer !== null;
  } catch {
    return false;
  }
}

/**
 * The number of a prompt's tokens with which the next turn's prompt will begin: all but the tokens at the end that the
 * chat template writes in another way once there is an answer. 0 after a tool's result: there the template changes
 * tokens before this prompt's end, so nothing is gained by knowing it.
 */
async function turnEnd(
  model: AnsweringModel,
  prompt: Prompt,
  ids: Uint32Array,
  options: GenerateOptions,
): Promise<number> {
  const isMessages = Array.isArray(prompt) && typeof prompt[0] === 'object';
  if (isMessages && (prompt as readonly Message[]).at(-1)?.role !== 'user') return 0;
  const isTemplated = isMessages || (typeof prompt === 'string' && !options.raw);
  return Math.max(0, ids.length - (isTemplated ? await rewrittenTokens(model.tokenizer, options) : 0));
}

/** Encodes the prompt, and tells how its answer is to be read. */
export async function encodePrompt(
  model: AnsweringModel,
  prompt: Prompt,
  options: GenerateOptions,
): Promise<{ ids: Uint32Array; startsInReasoning: boolean; isPlain: boolean }> {
  const isIds = prompt instanceof Uint32Array || (Array.isArray(prompt) && typeof prompt[0] === 'number');
  if (isIds) return { ids: toIds('prompt', prompt, model.config.vocabSize), startsInReasoning: false, isPlain: true };
  if (typeof prompt !== 'string' && !(Array.isArray(prompt) && prompt.length > 0))
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `prompt: wanted a text, messages or token ids, found ${prompt === null ? 'null' : Array.isArray(prompt) ? 'an empty array' : typeof prompt}`,
    );
  const { signal } = options;
  const fitting = { mostIds: model.contextSize, ...(signal !== undefined && { signal }) };
  if (options.raw) {
    if (typeof prompt !== 'string')
      throw new KexaError('KEXA_INVALID_ARGUMENT', 'raw: wanted a prompt text, found messages');
    if (prompt === '')
      throw new KexaError('KEXA_INVALID_ARGUMENT', 'prompt: wanted a text of at least one token, found an empty one');
    return {
      ids: await model.tokenizer.encodeIds(prompt, fitting),
      startsInReasoning: false,
      isPlain: true,
    };
  }
  const messages =
    typeof prompt === 'string'
      ? [{ role: 'user' as const, content: prompt }]
      : (prompt as Exclude<Prompt, string | readonly number[] | Uint32Array>);
  const { thinking, tools, specialTokensInText } = options;
  const { text, spans } = await model.tokenizer.renderChat(
    messages,
    { ...(thinking !== undefined && { thinking }), ...(tools !== undefined && { tools }) },
    signal,
  );
  const last = spans.at(-1);
  return {
    ids: await model.tokenizer.encodeIds(text, { ...fitting, ...(!specialTokensInText && { spans }) }),
    // Only the template opens the thinking. A user's message that ends in the marker does not.
    startsInReasoning: last?.allow === 'all' && endsInsideThinking(text.slice(last.start), model.tokenizer.reasoning),
    isPlain: false,
  };
}
