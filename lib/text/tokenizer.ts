import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { whenAborted } from '../abort.js';
import { KexaError } from '../errors.js';
import { modelPathOf } from '../files/hub-cache.js';
import { kindOf, readBytes } from '../files/json-file.js';
import {
  type NativeEncodeRequest,
  type NativeTokenizer,
  type NativeVocabularySource,
  native,
  nativeError,
} from '../native.js';
import type { ChatMessage, ChatTemplateOptions } from '../types.js';
import { type Warn, warningChannel } from '../warnings.js';
import { ChatTemplate, type ChatTemplateSource, type RenderedChat } from './chat-template.js';
import { readGgufTokenizer } from './gguf-tokenizer.js';
import { Pause } from './pause.js';
import type { ReasoningMarkers } from './reply-markers.js';
import { StreamDecoder, type TokenSource } from './stream-decoder.js';
import type { TextSpan } from './text-span.js';
import { TokenTable } from './token-table.js';
import { looksLikeMarker, readTokenizerFile, type VocabularyFile } from './tokenizer-fields.js';

/** Options of {@link Tokenizer.decode}. */
export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  skipSpecialTokens?: boolean;
}

/** Options of {@link Tokenizer.encode}. */
export interface EncodeOptions {
  /** In order, and covering the text. Default: all is allowed everywhere. */
  spans?: readonly TextSpan[];
}

/** Options of {@link Tokenizer.encodeAsync}. */
export interface EncodeAsyncOptions extends EncodeOptions {
  signal?: AbortSignal;
}

/** Options of {@link Tokenizer.open}. */
export interface OpenOptions {
  signal?: AbortSignal | undefined;
  /** Told what was mended. Default: `process.emitWarning`, once a process. */
  warn?: Warn;
}

interface Parts {
  file: string;
  encoder: NativeTokenizer;
  table: TokenTable;
  specialIds: ReadonlySet<number>;
  /** How many times as long as its normal form a text may be, in bytes. */
  shrinkage: number;
  template: ChatTemplate;
}

/**
 * Text to token ids and back, by the model's own vocabulary.
 *
 * Nothing is added to the ids: no BOS, no EOS. Special tokens written out in the text become those tokens, unless
 * `spans` say otherwise. A lone surrogate, which is no character, is read as U+FFFD.
 *
 * @example
 * const { tokenizer } = model;
 * const ids = tokenizer.encode('안녕'); // number[]
 * console.log(tokenizer.decode(ids)); // '안녕'
 */
export class Tokenizer implements TokenSource {
  readonly #file: string;
  readonly #encoder: NativeTokenizer;
  readonly #table: TokenTable;
  readonly #specialIds: ReadonlySet<number>;
  readonly #shrinkage: number;
  readonly #template: ChatTemplate;
  /** Functions that each end one encoding that is under way. */
  readonly #running = new Set<() => void>();
  #closed = false;

  private constructor({ file, encoder, table, specialIds, shrinkage, template }: Parts) {
    this.#file = file;
    this.#encoder = encoder;
    this.#table = table;
    this.#specialIds = specialIds;
    this.#shrinkage = shrinkage;
    this.#template = template;
  }

  /**
   * Reads the tokenizer.json of a folder, or of a pulled repository (`hf:org/name`), and, where they exist, tokenizer_config.json and chat_template.jinja; or all of it
   * from a GGUF file. The event loop is not held for more than some milliseconds at a time.
   *
   * Throws KEXA_NOT_FOUND, KEXA_BAD_TOKENIZER or KEXA_UNSUPPORTED (not a byte-level BPE, or one that is normalised or
   * split in another way). A broken chat template is only reported when it is used, since a model can run without.
   */
  static async open(path: string, { signal, warn = warningChannel(undefined) }: OpenOptions = {}): Promise<Tokenizer> {
    const folder = await modelPathOf(path);
    // Whatever its name: Ollama names files by their hashes.
    if ((await stat(folder).catch(() => null))?.isFile())
      return await Tokenizer.#openGguf(resolve(folder), warn, signal);
    const file = resolve(folder, 'tokenizer.json');
    const bytes = await readOptional(file);
    if (bytes === undefined)
      throw new KexaError('KEXA_NOT_FOUND', `${file}: no such file; the tokenizer is read from it`);
    const found = await readTokenizerFile(file, bytes, signal);
    const template = new ChatTemplate(await readTemplates(folder));
    return await Tokenizer.#load(found, template, signal);
  }

  static async #openGguf(file: string, warn: Warn, signal: AbortSignal | undefined): Promise<Tokenizer> {
    const found = await readGgufTokenizer(file, signal);
    if (found === null) throw new KexaError('KEXA_NOT_FOUND', `${file}: it has no tokenizer`);
    if (found.mended !== null) warn('KEXA_TOKENIZER', found.mended);
    const template = new ChatTemplate({ folder: file, file: undefined, config: found.config });
    return await Tokenizer.#load(found, template, signal);
  }

  static async #load(
    { source, added }: VocabularyFile,
    template: ChatTemplate,
    signal: AbortSignal | undefined,
  ): Promise<Tokenizer> {
    const pause = new Pause(signal);
    const named: NativeVocabularySource['added'][number][] = [];
    for (const token of added) {
      named.push({ ...token, isNamed: looksLikeMarker(token.content) && template.mentions(token.content) });
      if (pause.isDue) await pause.take();
    }
    const { Tokenizer: Native } = native();
    const encoder = await orKexaError(() => new Native({ ...source, added: named }));
    const table = new TokenTable(await orKexaError(() => encoder.load()));
    signal?.throwIfAborted();
    return new Tokenizer({
      file: source.file,
      encoder,
      table,
      specialIds: new Set(added.filter(({ isSpecial }) => isSpecial).map(({ id }) => id)),
      shrinkage: mostShrinkage[source.normalForm],
      template,
    });
  }

  /**
   * How many tokens there are, added ones included.
   *
   * @example
   * for (let id = 0; id < tokenizer.vocabSize; id++) console.log(id, tokenizer.idToToken(id));
   */
  get vocabSize(): number {
    return this.#table.size;
  }

  /**
   * The ids of a text. Holds the event loop meanwhile, for a tenth of a second a megabyte or so; a long text is better
   * given to {@link encodeAsync}.
   *
   * @example
   * const ids = tokenizer.encode('In the beginning');
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const request = this.#request(text, options.spans);
    try {
      return Array.from(this.#encoder.encode(request));
    } catch (error) {
      throw nativeError(error);
    }
  }

  /**
   * Does the same as {@link encode} without holding the event loop. Rejects with an aborted signal's reason.
   *
   * @example
   * const ids = await tokenizer.encodeAsync('a long text '.repeat(1e6), { signal });
   */
  async encodeAsync(text: string, options: EncodeAsyncOptions = {}): Promise<number[]> {
    const ids = await this.encodeIds(text, options);
    const copy = new Array<number>(ids.length);
    const pause = new Pause(options.signal);
    for (let i = 0; i < ids.length; i++) {
      copy[i] = ids[i]!;
      if (i % 65_536 === 65_535 && pause.isDue) await pause.take();
    }
    return copy;
  }

  /**
   * Encodes as {@link encodeAsync} does, for a context of `mostIds` tokens. A text that cannot fit is refused at once,
   * or as soon as that is known.
   *
   * @throws KexaError KEXA_CONTEXT_FULL
   * @internal
   */
  async encodeIds(
    text: string,
    { spans, signal, mostIds }: EncodeAsyncOptions & { mostIds?: number } = {},
  ): Promise<Uint32Array> {
    signal?.throwIfAborted();
    const request = this.#request(text, spans);
    if (mostIds !== undefined) {
      const least = this.leastIds(text.length);
      if (least > mostIds) throw contextFull(`at least ${least}`, mostIds);
      request.mostIds = mostIds;
    }
    const { result, cancel } = this.#start(request);
    let stopListening = () => {};
    let forget = () => {};
    // Whoever asked need not wait until the thread has seen it and has let go of its memory.
    const left = new Promise<never>((_, fail) => {
      const leave = (reason: unknown) => {
        cancel();
        fail(reason);
      };
      stopListening = whenAborted(signal, () => leave(signal!.reason));
      const onClose = () => leave(closed());
      this.#running.add(onClose);
      forget = () => this.#running.delete(onClose);
    });
    try {
      const ids = await Promise.race([result, left]);
      if (ids === null) throw closed();
      return ids;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'KEXA_CONTEXT_FULL' || mostIds === undefined) throw nativeError(error);
      throw contextFull(`more than ${mostIds}`, mostIds);
    } finally {
      stopListening();
      forget();
    }
  }

  /**
   * The fewest tokens of any text with `bytes` bytes or more, in UTF-8. A string has at least as many bytes as UTF-16
   * units.
   *
   * @internal
   */
  leastIds(bytes: number): number {
    return Math.ceil(bytes / (this.#table.longest * this.#shrinkage));
  }

  /**
   * The text of ids. Bytes that are no UTF-8 become U+FFFD. An unknown id throws KEXA_INVALID_ARGUMENT.
   *
   * @example
   * const text = tokenizer.decode(tokenizer.encode('안녕'), { skipSpecialTokens: true }); // '안녕'
   */
  decode(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    const decoder = new StreamDecoder(this, { skipSpecialTokens });
    return decoder.push(ids) + decoder.flush();
  }

  /**
   * The token as the vocabulary spells it (byte-level, so `Ġthe` for ` the`), or null.
   *
   * @example
   * const spelled = tokenizer.encode('In the').map((id) => tokenizer.idToToken(id)); // ['In', 'Ġthe']
   */
  idToToken(id: number): string | null {
    return this.#table.nameOf(id);
  }

  /**
   * The id of a token as the vocabulary spells it, or null.
   *
   * @example
   * const id = tokenizer.tokenToId('<|endofturn|>'); // null if the vocabulary lacks it
   */
  tokenToId(token: string): number | null {
    const id = this.#encoder.idOf(token);
    return id < 0 ? null : id;
  }

  /**
   * Whether the id is a special token: one that marks structure and is no text of an answer.
   *
   * @example
   * const kept = ids.filter((id) => !tokenizer.isSpecial(id));
   */
  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /**
   * The bytes a token stands for; the caller must not write to them.
   *
   * @example
   * const bytes = tokenizer.tokenBytes(tokenizer.encode('é')[0]!); // perhaps half of a character
   */
  tokenBytes(id: number): Uint8Array {
    return this.#table.bytesOf(id);
  }

  /**
   * The bytes of tokens, joined, but for those that `skips` tells. An unknown id throws KEXA_INVALID_ARGUMENT.
   *
   * @example
   * const bytes = tokenizer.joinBytes(ids, (id) => tokenizer.isSpecial(id));
   */
  joinBytes(ids: ArrayLike<number>, skips?: (id: number) => boolean): Uint8Array {
    return this.#table.join(ids, skips);
  }

  /**
   * All tokens' bytes, and the special tokens but for `kept` ones, which no constrained answer may have.
   *
   * @internal
   */
  vocabulary(kept: readonly string[]): { bytes: Uint8Array; starts: Uint32Array; banned: number[] } {
    const keptIds = new Set(kept.map((token) => this.tokenToId(token)));
    return { ...this.#table.parts, banned: [...this.#specialIds].filter((id) => !keptIds.has(id)) };
  }

  /** The markers around the thinking in an answer, as the model's template has them. @internal */
  get reasoning(): ReasoningMarkers {
    return this.#template.reasoning;
  }

  /**
   * The prompt text of a conversation, by the model's own template, for people to read and for tests.
   *
   * The text alone does not tell who wrote what: {@link encode} reads special tokens in it as such, also where a user
   * or a tool wrote them. `generate` with messages does not.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT, KEXA_BAD_TEMPLATE, KEXA_UNSUPPORTED for a template that uses what the
   *   engine does not have
   *
   * @example
   * const text = tokenizer.applyChatTemplate([{ role: 'user', content: 'Hello' }], { thinking: false });
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.#template.render(messages, options).text;
  }

  /**
   * Renders as {@link applyChatTemplate} does, without holding the event loop for long. Also tells which tokens each
   * part of the text may become.
   *
   * @internal
   */
  renderChat(
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions = {},
    signal?: AbortSignal,
  ): Promise<RenderedChat> {
    return this.#template.renderAsync(messages, options, signal);
  }

  /**
   * Throws KEXA_BAD_TOKENIZER if the tokenizer has ids the model has no embedding for.
   *
   * @example
   * tokenizer.checkVocab(model.config.vocabSize);
   */
  checkVocab(modelVocabSize: number): void {
    const id = this.#table.highest;
    if (id >= modelVocabSize)
      throw new KexaError(
        'KEXA_BAD_TOKENIZER',
        `${this.#file}: token ${JSON.stringify(this.idToToken(id))} has id ${id}, ` +
          `but the model's vocabulary ends at ${modelVocabSize - 1}`,
      );
  }

  /**
   * Encoding throws KEXA_CLOSED from now on, also what is under way; everything else still works.
   *
   * @example
   * tokenizer.close();
   */
  close(): void {
    this.#closed = true;
    for (const end of this.#running) end();
  }

  #start(request: NativeEncodeRequest): ReturnType<NativeTokenizer['start']> {
    try {
      return this.#encoder.start(request);
    } catch (error) {
      throw nativeError(error);
    }
  }

  #request(text: unknown, spans: readonly TextSpan[] | undefined): NativeEncodeRequest {
    if (this.#closed) throw closed();
    if (typeof text !== 'string')
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `text: wanted a string, found ${text === null ? 'null' : typeof text}`,
      );
    return { text, spans: packSpans(text.length, spans) };
  }
}

/** Bytes that become one: three jamo are one syllable in NFC, a mathematical digit is an ASCII one in NFKC. */
const mostShrinkage = { none: 1, nfc: 3, nfkc: 4 } as const;

/** Bytes of a tokenizer's file: the largest real one has 11 MB. */
const largestFile = 2 ** 28;

const allows: readonly TextSpan['allow'][] = ['all', 'markers', 'none'];

function packSpans(length: number, spans: readonly TextSpan[] | undefined): Uint32Array {
  if (spans === undefined) return new Uint32Array();
  const packed = new Uint32Array(3 * spans.length);
  let end = 0;
  for (const [i, span] of spans.entries()) {
    const allow = allows.indexOf(span.allow);
    if (span.start !== end || !Number.isInteger(span.end) || span.end < end || span.end > length || allow < 0)
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `spans[${i}]: wanted one from ${end} to at most ${length}, of ${allows.join(', ')}, found ${JSON.stringify(span)}`,
      );
    end = span.end;
    packed.set([span.start, end, allow], 3 * i);
  }
  if (end === length) return packed;
  throw new KexaError('KEXA_INVALID_ARGUMENT', `spans: wanted all ${length} units of the text, found ${end}`);
}

function contextFull(found: string, mostIds: number): KexaError {
  return new KexaError('KEXA_CONTEXT_FULL', `prompt: ${found} tokens do not fit the context of ${mostIds}`);
}

function closed(): KexaError {
  return new KexaError('KEXA_CLOSED', 'the tokenizer was closed');
}

/** The addon's errors as kexa's. */
async function orKexaError<Result>(call: () => Result): Promise<Awaited<Result>> {
  try {
    return await call();
  } catch (error) {
    throw nativeError(error);
  }
}

/** NAME.jinja, as transformers writes templates of other names than `default`. */
/**
 * The chat templates of a folder, and what tokenizer_config.json says for them. @throws KexaError KEXA_BAD_TOKENIZER
 */
export async function readTemplates(folder: string): Promise<ChatTemplateSource> {
  const configFile = resolve(folder, 'tokenizer_config.json');
  const configText = await readOptional(configFile);
  return {
    folder: resolve(folder),
    file: (await readOptional(join(folder, 'chat_template.jinja')))?.toString('utf8'),
    named: await readNamedTemplates(join(folder, 'additional_chat_templates')),
    config: configText === undefined ? {} : parseObject(configText.toString('utf8'), configFile),
  };
}

async function readNamedTemplates(folder: string): Promise<Map<string, string>> {
  const files = await readdir(folder).catch(() => []);
  const templates = new Map<string, string>();
  for (const file of files.filter((name) => name.endsWith('.jinja')).sort()) {
    const bytes = await readOptional(join(folder, file));
    if (bytes !== undefined) templates.set(file.slice(0, -'.jinja'.length), bytes.toString('utf8'));
  }
  return templates;
}

async function readOptional(file: string): Promise<Buffer | undefined> {
  try {
    const { buffer, byteOffset, length } = await readBytes(file, largestFile);
    return Buffer.from(buffer, byteOffset, length);
  } catch (cause) {
    if (!(cause instanceof KexaError)) throw cause;
    if (cause.code === 'KEXA_NOT_FOUND') return undefined;
    throw new KexaError('KEXA_BAD_TOKENIZER', cause.message, { cause });
  }
}

function parseObject(text: string, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new KexaError('KEXA_BAD_TOKENIZER', `${file}: not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new KexaError('KEXA_BAD_TOKENIZER', `${file}: wanted a JSON object, found ${kindOf(value)}`);
}
