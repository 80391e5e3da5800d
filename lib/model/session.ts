import { resolve } from 'node:path';
import { readAborting } from '../abort.js';
import { KexaError } from '../errors.js';
import type { NativeEngine, NativeRequest } from '../native.js';
import { checkNames, checkSignal, integerOption, invalid } from '../options.js';
import type { GenerateOptions, Prompt } from '../types.js';
import { type AnsweringModel, Generation } from './generation.js';

/**
 * One timeline. Prompts are given whole every time; the longest prefix that is still cached is not computed again, so
 * a conversation that grows costs only what is new.
 *
 * What can be gone back to is bounded by the sliding layers: they keep `window + prefillChunk - 1` rows. A prompt that
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
   * A string is a user's message, put through the model's chat template (or taken as it is with `raw: true`); messages
   * are a conversation, put through the template; token ids are used as they are, and their answer is one text.
   *
   * Await it for the whole result, or iterate it for the text as it comes. Breaking out of the loop or aborting the
   * signal stops the work; the session can go on afterwards. Everything that can go wrong rejects the result: KexaError
   * KEXA_INVALID_ARGUMENT, KEXA_BAD_TEMPLATE, KEXA_CONTEXT_FULL, KEXA_BUSY (this session is generating already),
   * KEXA_UNSUPPORTED, KEXA_CLOSED; an aborted signal's reason.
   *
   * @example
   * for await (const piece of session.generate('Why is the sky blue?', { signal })) process.stdout.write(piece.text);
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    const generation: Generation = new Generation({
      model: this.#model,
      prompt,
      options,
      isForOneAnswer: this.#isForOneAnswer,
      start: (ids, params) => this.#engine.generate(this.#id, ids, params),
      check: () => {
        this.#checkIdle();
        this.#active = generation;
      },
      onEnd: () => {
        if (this.#active === generation) this.#active = undefined;
        if (this.#isForOneAnswer) this.#engine.endSession(this.#id);
      },
    });
    return generation;
  }

  /**
   * A session of its own that has cached what this one has. The cache's pages are shared until one of the two writes into
   * them, so that a fork costs what differs; sliding layers are copied. It takes one of the places for sessions that are
   * cached at a time.
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
   * Lets go of what is cached after the first `tokens` tokens, and says how many tokens are left: `tokens`, or all that
   * are cached where those are fewer, or 0 where the sliding layers no longer hold the window before that point.
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
   * Writes what the session has cached to a file, for `Model.loadSession`. The file is whole or not there: it is
   * written beside `path` and renamed, and a file that was there is kept until then. Others wait meanwhile.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT where nothing is cached; KEXA_WRITE_FAILED, also where `path` is a device, a
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

  /** The tokens that are cached when the request is over. */
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
   * Frees the session's cache; an answer it is generating goes on to its end first. Calling it again is fine.
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
