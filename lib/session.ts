import { KexaError } from './errors.js';
import { Generation } from './generation.js';
import type { Model } from './model.js';
import type { NativeEngine } from './native.js';
import type { GenerateOptions, Prompt } from './types.js';

/**
 * One timeline. Prompts are given whole every time; the longest prefix that is still cached is not computed again, so
 * a conversation that grows costs only what is new.
 *
 * What can be gone back to is bounded by the sliding layers: they keep `window + prefillChunk - 1` rows. A prompt that
 * leaves the timeline further back is computed from its start.
 */
export class Session {
  readonly #model: Model;
  readonly #engine: NativeEngine;
  readonly #id: number;
  readonly #isForOneAnswer: boolean;
  #active: Generation | undefined;
  #isClosed = false;

  /** @internal */
  constructor(model: Model, engine: NativeEngine, id: number, isForOneAnswer = false) {
    this.#model = model;
    this.#engine = engine;
    this.#id = id;
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
      start: (ids, params) => this.#engine.generate(this.#id, ids, params),
      check: () => {
        if (this.#isClosed) throw new KexaError('KEXA_CLOSED', 'the session was closed');
        if (this.#active !== undefined)
          throw new KexaError(
            'KEXA_BUSY',
            'the session is generating already; await or break off that answer first, or use another session',
          );
        this.#active = generation;
      },
      onEnd: () => {
        if (this.#active === generation) this.#active = undefined;
        if (this.#isForOneAnswer) this.#engine.endSession(this.#id);
      },
    });
    return generation;
  }

  /** Frees the session's cache. An answer it is generating goes on to its end, uncached. Calling it again is fine. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#engine.endSession(this.#id);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
