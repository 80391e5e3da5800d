import { resolve } from 'node:path';
import { readAborting } from '../abort.js';
import { KexaError } from '../errors.js';
import type { NativeEngine, NativeRequest } from '../native.js';
import { checkNames, checkSignal, integerOption, invalid } from '../options.js';
import type { GenerateOptions, PrefillOptions, Prompt, Usage } from '../types.js';
import { type AnsweringModel, Generation } from './generation.js';

const prefillOptions = [
  'mtp',
  'priority',
  'thinking',
  'tools',
  'raw',
  'specialTokensInText',
  'onPromptProgress',
  'signal',
] as const satisfies readonly (keyof PrefillOptions)[];

/**
 * A session is one timeline. Each prompt is given whole. The longest prefix that is still cached is not computed again,
 * so a growing conversation costs only its new tokens.
 *
 * The sliding layers keep `window + prefillChunk - 1` rows, and a session can go back only that far. A prompt that
 * leaves the timeline further back is computed from its start.
 *
 * @example
 * const session = model.createSession();
 * await session.generate('Why is the sky blue?');
 * await session.close();
 */
export class Session {
  readonly #model: AnsweringModel;
  readonly #engine: NativeEngine;
  readonly #id: number;
  readonly #newId: () => number;
  readonly #isForOneAnswer: boolean;
  #active: Generation | undefined;
  #isClosed = false;

  /** @internal */
  constructor(model: AnsweringModel, engine: NativeEngine, newId: () => number, isForOneAnswer = false) {
    this.#model = model;
    this.#engine = engine;
    this.#newId = newId;
    this.#id = newId();
    this.#isForOneAnswer = isForOneAnswer;
  }

  /**
   * Generates an answer.
   *
   * - A string is a user's message and goes through the model's chat template, unless `raw` is set.
   * - Messages are a conversation and go through the template.
   * - Token ids are used as they are, and their answer is one text.
   *
   * Await the generation for the whole result, or iterate it for the text as it comes. Breaking out of the loop or
   * aborting the signal stops the work; the session can be used afterwards. The call itself never throws. Errors reject
   * the result: KexaError KEXA_INVALID_ARGUMENT, KEXA_BAD_TEMPLATE, KEXA_CONTEXT_FULL, KEXA_OUT_OF_MEMORY, KEXA_BUSY
   * (this session is generating already), KEXA_UNSUPPORTED, KEXA_BAD_CONFIG, KEXA_BAD_FILE, KEXA_DEVICE_LOST,
   * KEXA_CLOSED; or an aborted signal's reason.
   *
   * @example
   * for await (const piece of session.generate('Why is the sky blue?', { signal })) process.stdout.write(piece.text);
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return this.#begin(prompt, options, false);
  }

  /**
   * Computes a prompt, without an answer. It stays in the session's cache, so that the next prompt that begins with it
   * goes on from there. Resolves with the counts of its tokens.
   *
   * @throws KexaError as {@link generate}; an aborted signal's reason
   *
   * @example
   * const { promptTokens, cachedTokens } = await session.prefill([{ role: 'user', content: 'Hello' }]);
   * console.log(`${promptTokens - cachedTokens} tokens were computed`);
   */
  async prefill(prompt: Prompt, options: PrefillOptions = {}): Promise<Usage> {
    checkNames('prefill', options, prefillOptions);
    return (await this.#begin(prompt, options, true)).usage;
  }

  #begin(prompt: Prompt, options: GenerateOptions, isPrefill: boolean): Generation {
    /** The sessions of further answers, which end with them. */
    const others: number[] = [];
    const generation: Generation = new Generation({
      model: this.#model,
      prompt,
      options,
      isForOneAnswer: this.#isForOneAnswer,
      isPrefill,
      start: (ids, [first, ...rest]) => {
        for (const _ of rest) others.push(this.#newId());
        const size = 1 + rest.length;
        const group = size > 1 ? { group: this.#id, groupSize: size } : {};
        return [
          this.#engine.generate(this.#id, ids, { ...first!, ...group }),
          ...rest.map((params, i) => this.#engine.generate(others[i]!, ids, { ...params, ...group, keepAt: 0 })),
        ];
      },
      check: () => {
        this.#checkIdle();
        this.#active = generation;
      },
      onEnd: () => {
        if (this.#active === generation) this.#active = undefined;
        if (this.#isForOneAnswer) this.#engine.endSession(this.#id);
        for (const other of others) this.#engine.endSession(other);
      },
    });
    return generation;
  }

  /**
   * Makes a copy of the session, cache included. The cache's pages are shared until one of the two sessions writes into
   * them, so a fork costs only what differs; sliding layers are copied. The copy takes one of the model's
   * `slots`.
   *
   * @throws KexaError KEXA_BUSY while the session generates; KEXA_CLOSED
   *
   * @example
   * const other = await session.fork();
   * const answers = await Promise.all([session.generate('Hello'), other.generate('Hello')]);
   */
  async fork(): Promise<Session> {
    this.#checkIdle();
    const session = new Session(this.#model, this.#engine, this.#newId);
    await this.#read(this.#engine.fork(session.#id, this.#id));
    return session;
  }

  /**
   * Forgets the cached tokens after the first `tokens`. Resolves with the number of tokens left: `tokens`, or all
   * cached tokens if those are fewer, or 0 if the sliding layers no longer hold the window before that point.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT; KEXA_BUSY while the session generates; KEXA_CLOSED
   *
   * @example
   * const tokens = await session.rewind(100);
   * if (tokens < 100) console.log(`${tokens} tokens are left`);
   */
  async rewind(tokens: number): Promise<number> {
    if (tokens === undefined) throw invalid('tokens', 'how many tokens to keep', tokens);
    const length = integerOption('tokens', tokens, 0, 2 ** 31 - 1, 0);
    this.#checkIdle();
    return await this.#read(this.#engine.rewind(this.#id, length));
  }

  /**
   * Writes the session's cache to a file, for `Model.loadSession`. The file is written beside `path` and then renamed,
   * so that an existing file stays until the new one is whole. Other sessions wait meanwhile.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT if nothing is cached; KEXA_WRITE_FAILED, also if `path` is a device, a
   *   FIFO, a symbolic link or a folder; KEXA_BUSY while the session generates; KEXA_CLOSED. An aborted signal's reason.
   *
   * @example
   * await session.save('conversation.kexa');
   */
  async save(path: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    checkPath(path);
    checkNames('save', options, ['signal']);
    checkSignal(options.signal);
    this.#checkIdle();
    await this.#read(this.#engine.save(this.#id, resolve(path)), options.signal);
  }

  /** @internal */
  async restoreFrom(path: string, signal: AbortSignal | undefined): Promise<void> {
    await this.#read(this.#engine.loadSession(this.#id, resolve(path)), signal);
  }

  /** Waits for the request. Returns the number of tokens that are cached then. */
  async #read(request: NativeRequest, signal?: AbortSignal): Promise<number> {
    let tokens = 0;
    await readAborting(request, signal, (event) => {
      if (event.kind === 'kept') tokens = event.tokens;
    });
    return tokens;
  }

  #checkIdle(): void {
    if (this.#isClosed) throw new KexaError('KEXA_CLOSED', 'the session was closed');
    if (this.#active === undefined) return;
    throw new KexaError(
      'KEXA_BUSY',
      'the session is generating already; await or break off that answer first, or use another session',
    );
  }

  /**
   * Frees the session's cache. An answer that it is generating goes on to its end first. May be called again.
   *
   * @example
   * await session.close();
   */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#engine.endSession(this.#id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** @throws KexaError KEXA_INVALID_ARGUMENT unless it is the path of a file */
export function checkPath(path: unknown): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) throw invalid('path', 'the path of a file', path);
}
