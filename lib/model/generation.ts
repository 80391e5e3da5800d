import { whenAborted } from '../abort.js';
import { KexaError } from '../errors.js';
import type { NativeGenerateParams, NativeRequest } from '../native.js';
import { invalid, toIds } from '../options.js';
import { answerFormat } from '../text/grammar/answer-format.js';
import type { GrammarInUse, Grammars } from '../text/grammar/grammars.js';
import { rewrittenTokens } from '../text/kept-turn.js';
import { endsInsideThinking } from '../text/reply-parser.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type { GenerateOptions, GenerationResult, Message, ModelConfig, Piece, Prompt } from '../types.js';
import { Answer, type AnswerParts } from './answer.js';
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
  /** Whether the prompt is only computed, and no answer is wanted. */
  isPrefill: boolean;
  /** Gives a request for each of the params. */
  start(ids: Uint32Array, params: readonly NativeGenerateParams[]): NativeRequest[];
  /** Takes the session, or throws if it cannot generate now. */
  check(): void;
  /** Gives the session back. Is called once, if `check` did not throw. */
  onEnd(): void;
}

type AnswerStart = Pick<AnswerParts, 'reply' | 'params'>;

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
  /** The option `n`. Undefined if the call did not ask for several. */
  #choices: number | undefined;
  #answers: Answer[] = [];
  #startedAt = performance.now();
  #isCancelled = false;
  /** Stops the encoding of the prompt. */
  readonly #starting = new AbortController();
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
    this.#cancel();
    while (this.#outcome === undefined) await this.#pull();
  }

  async #start(): Promise<void> {
    try {
      await Promise.resolve(); // lets the session's generate() return first
      const { model, prompt, options } = this.#parts;
      const { params, text } = checkGenerateOptions(options, model.config);
      this.#parts.check();
      this.#isTaken = true;
      this.#choices = text.choices;
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
      const replyOptions: ConstructorParameters<typeof Reply>[0] = {
        tokenizer: hasTokenizer(model) ? model.tokenizer : null,
        endTokens: new Set(params.endTokens),
        stop: text.stop,
        parsing: isPlain ? null : { startsInReasoning, tools: options.tools ?? false },
      };
      const maxTokens = this.#parts.isPrefill ? 0 : Math.min(params.maxTokens, model.contextSize - ids.length);
      const all = seedsOf(params.seed, text.choices ?? 1).map((seed) => ({ ...params, seed, keepAt, maxTokens }));
      this.#makeAnswers(
        { promptTokens: ids.length, wantsLogprobs: text.wantsLogprobs },
        all.map((each) => ({ reply: new Reply(replyOptions), params: each })),
      );
      if (this.#isCancelled) return this.#giveUp();
      for (const [i, request] of this.#parts.start(ids, all).entries()) this.#answers[i]!.begin(request);
      this.#stopListening = whenAborted(options.signal, () => this.#cancel());
    } catch (error) {
      if (this.#isCancelled && error === this.#starting.signal.reason) this.#giveUp();
      else this.#fail(error);
    }
  }

  /** Ends a generation whose reader left before it began. */
  #giveUp(): void {
    if (this.#answers.length === 0)
      this.#makeAnswers({ promptTokens: 0, wantsLogprobs: false }, [{ reply: null, params: null }]);
    for (const answer of this.#answers) this.#leave(answer);
    this.#endIfOver();
  }

  #cancel(): void {
    for (const answer of this.#answers) answer.cancel();
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
      const open = this.#answers.filter(({ result }) => result === undefined);
      // Each answer goes on with its own wait, whichever is the first.
      await Promise.race(open.map((answer) => answer.pull()));
      this.#endIfOver();
    } catch (error) {
      this.#fail(error);
    }
  }

  #makeAnswers(parts: Pick<AnswerParts, 'promptTokens' | 'wantsLogprobs'>, each: readonly AnswerStart[]): void {
    const { options } = this.#parts;
    this.#answers = each.map(
      ({ reply, params }, i) =>
        new Answer({
          ...parts,
          reply,
          params,
          startedAt: this.#startedAt,
          choice: this.#choices === undefined ? undefined : i,
          hasLeft: () => this.#hasLeft() || this.#outcome !== undefined,
          onPromptProgress: (done, total) => {
            // The others of several share the first one's prompt.
            if (i === 0) options.onPromptProgress?.(done, total);
          },
          onPiece: (piece) => this.#pieces.push(piece),
          onLeft: (answer) => this.#leave(answer),
          onFailed: ({ code, message }) => this.#fail(new KexaError(code, message)),
        }),
    );
  }

  #hasLeft(): boolean {
    return this.#isCancelled || (this.#parts.options.signal?.aborted ?? false);
  }

  #leave(answer: Answer): void {
    const { signal, stopOnAbortSignal } = this.#parts.options;
    const keeps = stopOnAbortSignal === true && this.#pieces.length > 0;
    if (signal?.aborted && !keeps) this.#fail(signal.reason);
    else answer.settle('aborted');
  }

  /** Ends with the first answer's result once all answers are over. */
  #endIfOver(): void {
    const results = this.#answers.flatMap(({ result }) => (result === undefined ? [] : [result]));
    if (results.length < this.#answers.length) return;
    this.#end({ result: this.#choices === undefined ? results[0]! : { ...results[0]!, choices: results } });
  }

  #fail(error: unknown): void {
    this.#cancel();
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

/** The seeds of several answers, one after the other. Past 2^53 - 1 they go on from 0. */
function seedsOf(seed: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) =>
    Number((BigInt(seed) + BigInt(i)) % (BigInt(Number.MAX_SAFE_INTEGER) + 1n)),
  );
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
