import { readAborting } from '../abort.js';
import type { ModelDescription } from '../description.js';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import { type NativeEngine, type NativeMeasurement, type NativeMeasureParams, readRequest } from '../native.js';
import { booleanOption, checkNames, checkSignal, choiceOption, integerOption, toIds } from '../options.js';
import { writeExpertProfile } from '../plan/experts.js';
import { Grammars } from '../text/grammar/grammars.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type {
  ActivationType,
  DeviceInfo,
  ForwardOptions,
  ForwardResult,
  GenerateOptions,
  MemoryReport,
  ModelConfig,
  ModelStats,
  Prompt,
  TokenLogprob,
  VerifyOptions,
  VerifyReport,
} from '../types.js';
import { tokenLogprobs } from './answer.js';
import type { Generation } from './generation.js';
import { checkPath, Session } from './session.js';
import { verifyAnswer } from './verify.js';

/** The largest result of `forward` (elements): 4 GiB of f32. */
const largestForward = 2 ** 30;

/** The parts that `loadModel` makes a Model of. */
export interface ModelParts {
  engine: NativeEngine;
  config: ModelConfig;
  description: ModelDescription;
  device: DeviceInfo;
  devices: readonly DeviceInfo[];
  memory: MemoryReport;
  tokenizer: Tokenizer | null;
  folder: string;
  contextSize: number;
  prefillChunk: number;
  /** The file that keeps how often each expert was chosen. */
  expertProfile: string | undefined;
  activations: ActivationType;
}

/**
 * A loaded model. Made by `loadModel`.
 *
 * The model's weights, cache and device belong to one thread. No method blocks the event loop. A model keeps the
 * process alive only while a promise that it returned is pending.
 *
 * @example
 * const model = await loadModel('models/tiny');
 * console.log(model.device.name, model.contextSize, model.memory.total); // 'cpu', tokens, bytes
 * await model.close();
 */
export class Model {
  /** The model's shape and defaults, as its files have them. */
  readonly config: ModelConfig;
  /** The device that the model runs on. Several devices appear as one, whose name names all. */
  readonly device: DeviceInfo;
  /** The devices that share the model, in the layers' order. One device is a list of one. */
  readonly devices: readonly DeviceInfo[];
  /** The memory that was planned for the model (bytes). */
  readonly memory: MemoryReport;
  /** The type of the activations that block-quantised weights are multiplied by. */
  readonly activations: ActivationType;
  /** The most tokens that a sequence may hold, prompt and answer together. */
  readonly contextSize: number;
  readonly #engine: NativeEngine;
  readonly #description: ModelDescription;
  readonly #tokenizer: Tokenizer | null;
  readonly #folder: string;
  readonly #prefillChunk: number;
  readonly #expertProfile: string | undefined;
  #grammars: Grammars | undefined;
  #closing: Promise<void> | undefined;
  #nextSession = 1;

  /** @internal */
  constructor(parts: ModelParts) {
    this.config = parts.config;
    this.device = parts.device;
    this.devices = parts.devices;
    this.memory = parts.memory;
    this.activations = parts.activations;
    this.contextSize = parts.contextSize;
    this.#engine = parts.engine;
    this.#description = parts.description;
    this.#tokenizer = parts.tokenizer;
    this.#folder = parts.folder;
    this.#prefillChunk = parts.prefillChunk;
    this.#expertProfile = parts.expertProfile;
  }

  /**
   * The model's own tokenizer.
   *
   * @throws KexaError KEXA_NOT_FOUND if the model has none.
   *
   * @example
   * const ids = model.tokenizer.encode('In the beginning');
   */
  get tokenizer(): Tokenizer {
    if (this.#tokenizer !== null) return this.#tokenizer;
    const missing = this.#description.files.includes(this.#folder)
      ? ': no tokenizer in it'
      : '/tokenizer.json: no such file';
    throw new KexaError(
      'KEXA_NOT_FOUND',
      `${this.#folder}${missing}; without it the model takes and gives token ids only`,
    );
  }

  /**
   * The grammars of constrained answers.
   *
   * @throws KexaError KEXA_NOT_FOUND if the model has no tokenizer
   * @internal
   */
  get grammars(): Grammars {
    this.#checkOpen();
    this.#grammars ??= new Grammars({
      engine: this.#engine,
      tokenizer: this.tokenizer,
      vocabSize: this.config.vocabSize,
      ends: this.config.eosTokenIds,
    });
    return this.#grammars;
  }

  /**
   * Computes one pass over `ids` from an empty cache, in chunks of `prefillChunk` rows.
   *
   * `logits` is [ids.length, vocab], or [vocab] with the option `logits: 'last'`. `mtpLogits` is [ids.length - 1,
   * vocab]; row i is the MTP block's prediction of `ids[i + 2]`.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_CONTEXT_FULL, KEXA_UNSUPPORTED (`mtp` of a model without the block),
   *   KEXA_CLOSED. An aborted signal's reason.
   *
   * @example
   * const ids = model.tokenizer.encode('In the beginning God created');
   * const { logits } = await model.forward(ids); // [ids.length, vocab]
   * const last = logits.subarray((ids.length - 1) * model.config.vocabSize);
   * const likeliest = last.indexOf(last.reduce((a, b) => Math.max(a, b)));
   * console.log(model.tokenizer.decode([likeliest]));
   */
  async forward(ids: readonly number[] | Uint32Array, options: ForwardOptions = {}): Promise<ForwardResult> {
    checkNames('forward', options, ['logits', 'mtp', 'trace', 'profile', 'signal']);
    checkSignal(options.signal);
    const allLogits = choiceOption('logits', options.logits, ['all', 'last']) === 'all';
    const mtp = booleanOption('mtp', options.mtp, false);
    const trace = booleanOption('trace', options.trace, false);
    const profile = booleanOption('profile', options.profile, false);
    const tokens = this.#checkIds(ids);
    if (mtp && this.config.mtp === null) throw new KexaError('KEXA_UNSUPPORTED', 'mtp: this model has no MTP block');
    const elements = tokens.length * this.config.vocabSize;
    if ((allLogits || mtp) && elements > largestForward)
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `ids: all logits of ${tokens.length} tokens are ${elements} numbers, more than ${largestForward}; use logits: 'last', or score()`,
      );

    let result: ForwardResult | undefined;
    const params = { allLogits, mtp, trace, profile, leadRows: 0, stepRows: 0 };
    await readAborting(this.#engine.forward(tokens, params), options.signal, (event) => {
      if (event.kind !== 'forwarded') return;
      result = { logits: event.logits };
      if (mtp) result.mtpLogits = event.mtpLogits;
      if (trace) Object.assign(result, { layers: event.layers, hidden: event.hidden, routes: event.routes });
      if (profile) result.profile = event.profile;
    });
    return result!;
  }

  /**
   * Computes how probable a text is: ln p(ids[i + 1] | ids[0..i]) for each i [ids.length - 1].
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_CONTEXT_FULL, KEXA_CLOSED. An aborted signal's reason.
   *
   * @example
   * const logprobs = await model.score(model.tokenizer.encode('In the beginning God created'));
   * const perplexity = Math.exp(-logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length);
   */
  async score(ids: readonly number[] | Uint32Array, options: { signal?: AbortSignal } = {}): Promise<Float32Array> {
    checkNames('score', options, ['signal']);
    return (await this.#score(ids, 0, options.signal)).logprobs;
  }

  /**
   * Computes how probable a text is, as {@link score} does, and which tokens would be the best in each place:
   * `alternatives` of them, 0 to 20. An entry for each token after the first [ids.length - 1].
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_CONTEXT_FULL, KEXA_CLOSED. An aborted signal's reason.
   *
   * @example
   * const tokens = await model.scoreTokens(model.tokenizer.encode('In the beginning'), { alternatives: 1 });
   * const isGreedy = tokens.every(({ id, top }) => top[0]!.id === id);
   */
  async scoreTokens(
    ids: readonly number[] | Uint32Array,
    options: { alternatives?: number; signal?: AbortSignal } = {},
  ): Promise<TokenLogprob[]> {
    checkNames('scoreTokens', options, ['alternatives', 'signal']);
    const alternatives = integerOption('alternatives', options.alternatives, 0, limits.alternatives, 0);
    return tokenLogprobs(await this.#score(ids, alternatives, options.signal));
  }

  async #score(ids: readonly number[] | Uint32Array, alternatives: number, signal: AbortSignal | undefined) {
    checkSignal(signal);
    let scored = { ids: new Uint32Array(), logprobs: new Float32Array(), tops: [] as TokenLogprob['top'][] };
    await readAborting(this.#engine.score(this.#checkIds(ids), alternatives), signal, (event) => {
      if (event.kind === 'scored') scored = event as typeof scored;
    });
    return scored;
  }

  /**
   * Checks on this device that drafts change nothing. A greedy answer of `maxTokens` tokens is made without drafts and
   * compared with answers made with 1 to 8 drafts a step. Its logits, computed one row at a time, are compared to the
   * bit with those of steps of 1 to 9 rows. End-of-turn tokens are passed over. A string goes through the chat
   * template.
   *
   * The check takes some twenty times as long as the answer. A divergence is reported, not thrown.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_BAD_TEMPLATE, KEXA_CONTEXT_FULL, KEXA_UNSUPPORTED, KEXA_CLOSED. An
   *   aborted signal's reason.
   *
   * @example
   * const { divergence } = await model.verify('Why is the sky blue?');
   * if (divergence !== null) console.error(divergence);
   */
  async verify(prompt: Prompt, options: VerifyOptions = {}): Promise<VerifyReport> {
    this.#checkOpen();
    const parts = {
      model: this,
      prefillChunk: this.#prefillChunk,
      largestReplay: largestForward,
      replay: (...args: Parameters<Model['replay']>) => this.replay(...args),
    };
    return await verifyAnswer(parts, prompt, options);
  }

  /**
   * Computes the logits of `ids` from row `leadRows - 1` on, from an empty cache. The first `leadRows` rows are
   * computed as a prompt, the others as an answer, `stepRows` at a time.
   *
   * @internal
   */
  async replay(ids: Uint32Array, leadRows: number, stepRows: number, signal?: AbortSignal): Promise<Float32Array> {
    const params = { allLogits: true, mtp: false, trace: false, profile: false, leadRows, stepRows };
    let logits = new Float32Array();
    await readAborting(this.#engine.forward(ids, params), signal, (event) => {
      if (event.kind === 'forwarded') logits = event.logits as Float32Array<ArrayBuffer>;
    });
    return logits;
  }

  /**
   * The description that the core was given, with the types that tensors are held in.
   *
   * @internal
   */
  get description(): ModelDescription {
    return this.#description;
  }

  /**
   * Times ops of the device one by one, on rows of ids that mean nothing. For benchmarks.
   *
   * @internal
   */
  async measure(
    params: NativeMeasureParams,
    signal: AbortSignal | undefined,
    onMeasured: (measurement: NativeMeasurement) => void = () => {},
  ): Promise<NativeMeasurement[]> {
    this.#checkOpen();
    const found: NativeMeasurement[] = [];
    await readAborting(this.#engine.measure(params), signal, (event) => {
      if (event.kind !== 'measured') return;
      found.push(event);
      onMeasured(event);
    });
    return found;
  }

  /**
   * Makes a session: a timeline of its own. The part that a prompt shares with the one before it is not computed again.
   *
   * @throws KexaError KEXA_CLOSED
   *
   * @example
   * const session = model.createSession();
   * const first = await session.generate([{ role: 'user', content: 'Hello' }]);
   * console.log(first.usage.cachedTokens); // 0; the next prompt goes on from what this one left
   */
  createSession(): Session {
    this.#checkOpen();
    return new Session(this, this.#engine, () => this.#nextSession++);
  }

  /**
   * Loads a session that {@link Session.save} wrote, with its cache. A prompt that begins with the session's tokens
   * goes on from there. Other sessions wait meanwhile.
   *
   * @throws KexaError KEXA_NOT_FOUND; KEXA_BAD_FILE for a file that is damaged or no saved session;
   *   KEXA_SESSION_MISMATCH for one of another model or other settings (weights, cacheType, kind of device); KEXA_CONTEXT_FULL for one longer
   *   than the context. An aborted signal's reason.
   *
   * @example
   * await session.save('conversation.kexa');
   * const resumed = await model.loadSession('conversation.kexa');
   */
  async loadSession(path: string, options: { signal?: AbortSignal } = {}): Promise<Session> {
    this.#checkOpen();
    checkPath(path);
    checkNames('loadSession', options, ['signal']);
    checkSignal(options.signal);
    const session = this.createSession();
    try {
      await session.restoreFrom(path, options.signal);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /**
   * Generates an answer in a session of its own. {@link Session.generate} describes prompt, options and errors.
   *
   * @example
   * const { text } = await model.generate('Why is the sky blue?', { maxTokens: 100, temperature: 0 });
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return new Session(this, this.#engine, () => this.#nextSession++, true).generate(prompt, options);
  }

  /**
   * Tells what the model is doing and has done since it was loaded: running and waiting answers, pages, steps, tokens.
   * It never waits for the model, so it can be called in the middle of a step. An answer that has ended counts as ended.
   * After `close()` nothing runs and the counts stay.
   *
   * @example
   * const { running, waiting, tokens } = model.stats();
   * console.log(`${running} answers run, ${waiting} wait; ${tokens.generated} tokens so far`);
   */
  stats(): ModelStats {
    return this.#engine.stats();
  }

  /**
   * Ends all running calls with KEXA_CLOSED, frees everything, and writes the `expertProfile`. May be called again.
   *
   * @throws KexaError KEXA_WRITE_FAILED if the profile cannot be written. Everything is freed all the same.
   *
   * @example
   * const model = await loadModel('models/tiny');
   * try {
   *   console.log((await model.generate('Hello', { maxTokens: 20 })).text);
   * } finally {
   *   await model.close();
   * }
   */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#tokenizer?.close();
      await this.#grammars?.close();
      const heat = this.#expertProfile === undefined ? null : await this.#expertHeat();
      await readRequest(this.#engine.close(), () => {});
      if (heat !== null) await writeExpertProfile(this.#expertProfile!, this.#description, heat);
    })();
    return this.#closing;
  }

  /** Asks the device how often each expert was chosen. Null if the device was lost. */
  async #expertHeat(): Promise<Float32Array | null> {
    let heat: Float32Array | null = null;
    await readRequest(this.#engine.expertHeat(), (event) => {
      if (event.kind === 'expertHeat') heat = event.heat;
    });
    return heat;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new KexaError('KEXA_CLOSED', 'the model was closed');
  }

  #checkIds(ids: unknown): Uint32Array {
    this.#checkOpen();
    const tokens = toIds('ids', ids, this.config.vocabSize);
    if (tokens.length > this.contextSize)
      throw new KexaError(
        'KEXA_CONTEXT_FULL',
        `ids: ${tokens.length} tokens do not fit the context of ${this.contextSize}`,
      );
    return tokens;
  }
}
