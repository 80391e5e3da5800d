import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Tokenizer as RustTokenizer } from 'tokenizers';
import { KexaError } from '../errors.js';
import type { ChatTemplateOptions, Message } from '../types.js';
import { ChatTemplate } from './chat-template.js';
import { readGgufTokenizer } from './gguf-tokenizer.js';
import { StreamDecoder, type TokenSource } from './stream-decoder.js';
import { SyncEncoder } from './sync-encoder.js';
import { isTokenId, requireByteLevelDecoder, TokenBytes } from './token-bytes.js';

/** Options of {@link Tokenizer.decode}. */
export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  skipSpecialTokens?: boolean;
}

interface Parts {
  file: string;
  /** The tokenizer as JSON, where `file` is not it. */
  json?: string;
  rust: RustTokenizer;
  specialIds: ReadonlySet<number>;
  template: ChatTemplate;
}

/**
 * Text to token ids and back, by Hugging Face's Rust library and the model's own tokenizer.json.
 *
 * Nothing is added to the ids: no BOS, no EOS. Special tokens written out in the text become those tokens. A lone
 * surrogate, which is no character, is read as U+FFFD.
 *
 * @example
 * const tokenizer = await Tokenizer.open('models/tiny');
 * tokenizer.decode(tokenizer.encode('안녕'));  // '안녕'
 */
export class Tokenizer implements TokenSource {
  readonly #file: string;
  readonly #rust: RustTokenizer;
  readonly #specialIds: ReadonlySet<number>;
  readonly #template: ChatTemplate;
  readonly #bytes: TokenBytes;
  readonly #syncEncoder: SyncEncoder;
  #closed = false;

  private constructor({ file, json, rust, specialIds, template }: Parts) {
    this.#file = file;
    this.#rust = rust;
    this.#specialIds = specialIds;
    this.#template = template;
    this.#bytes = new TokenBytes(rust, this.vocabSize);
    this.#syncEncoder = new SyncEncoder(file, json);
  }

  /**
   * Reads a folder's tokenizer.json and, where they exist, tokenizer_config.json and chat_template.jinja; or all of it from
   * a GGUF file.
   *
   * Throws KEXA_NOT_FOUND, KEXA_BAD_TOKENIZER or KEXA_UNSUPPORTED (not byte-level). A broken chat template is only
   * reported when it is used, since a model can run without.
   */
  static async open(folder: string): Promise<Tokenizer> {
    if (/\.gguf$/i.test(folder)) return await Tokenizer.#openGguf(resolve(folder));
    const file = resolve(folder, 'tokenizer.json');
    const text = await readOptional(file);
    if (text === undefined)
      throw new KexaError('KEXA_NOT_FOUND', `${file}: no such file; the tokenizer is read from it`);
    const fields = parseObject(text, file);
    const rust = loadRust(text, file);
    requireByteLevelDecoder(fields.decoder, file);

    const configFile = resolve(folder, 'tokenizer_config.json');
    const configText = await readOptional(configFile);
    const template = new ChatTemplate({
      folder: resolve(folder),
      file: await readOptional(join(folder, 'chat_template.jinja')),
      config: configText === undefined ? {} : parseObject(configText, configFile),
    });
    return new Tokenizer({ file, rust, specialIds: readSpecialIds(fields.added_tokens, rust, file), template });
  }

  static async #openGguf(file: string): Promise<Tokenizer> {
    const found = await readGgufTokenizer(file);
    if (found === null) throw new KexaError('KEXA_NOT_FOUND', `${file}: it has no tokenizer`);
    const { json, addedTokens, config } = found;
    const rust = loadRust(json, file);
    const template = new ChatTemplate({ folder: file, file: undefined, config });
    return new Tokenizer({ file, json, rust, specialIds: readSpecialIds(addedTokens, rust, file), template });
  }

  /** How many tokens there are, added ones included. */
  get vocabSize(): number {
    return this.#rust.getVocabSize(true);
  }

  /** The ids of a text. Waits for a thread of its own; a long text is better given to {@link encodeAsync}. */
  encode(text: string): number[] {
    this.#check(text);
    return this.#syncEncoder.encode(text);
  }

  /** As {@link encode}, without blocking the event loop. */
  async encodeAsync(text: string): Promise<number[]> {
    this.#check(text);
    return (await this.#rust.encode(text, null, { addSpecialTokens: false })).getIds();
  }

  /** The text of ids. Bytes that are no UTF-8 become U+FFFD. An unknown id throws KEXA_INVALID_ARGUMENT. */
  decode(ids: ArrayLike<number>, { skipSpecialTokens = false }: DecodeOptions = {}): string {
    const decoder = new StreamDecoder(this, { skipSpecialTokens });
    return decoder.push(ids) + decoder.flush();
  }

  /** The token as the vocabulary spells it (byte-level, so `Ġthe` for ` the`), or null. */
  idToToken(id: number): string | null {
    return isTokenId(id) ? this.#rust.idToToken(id) : null;
  }

  /** The id of a token as the vocabulary spells it, or null. */
  tokenToId(token: string): number | null {
    return this.#rust.tokenToId(token);
  }

  /** Whether the id is a special token: one that marks structure and is no text of an answer. */
  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** The bytes a token stands for; the caller must not write to them. */
  tokenBytes(id: number): Uint8Array {
    return this.#bytes.of(id);
  }

  /** The prompt text of a conversation, by the model's own template. Throws KEXA_BAD_TEMPLATE. */
  applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    return this.#template.render(messages, options);
  }

  /** Throws KEXA_BAD_TOKENIZER if the tokenizer has ids the model has no embedding for. */
  checkVocab(modelVocabSize: number): void {
    let highest = { token: '', id: -1 };
    for (const [token, id] of Object.entries(this.#rust.getVocab(true))) if (id > highest.id) highest = { token, id };
    if (highest.id >= modelVocabSize)
      throw new KexaError(
        'KEXA_BAD_TOKENIZER',
        `${this.#file}: token ${JSON.stringify(highest.token)} has id ${highest.id}, ` +
          `but the model's vocabulary ends at ${modelVocabSize - 1}`,
      );
  }

  /** Ends the thread of {@link encode}. Encoding throws KEXA_CLOSED from then on; everything else still works. */
  close(): void {
    this.#closed = true;
    this.#syncEncoder.close();
  }

  #check(text: unknown): void {
    if (this.#closed) throw new KexaError('KEXA_CLOSED', 'the tokenizer was closed');
    if (typeof text !== 'string')
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `text: wanted a string, found ${text === null ? 'null' : typeof text}`,
      );
  }
}

function loadRust(text: string, file: string): RustTokenizer {
  try {
    const rust = RustTokenizer.fromString(text);
    // A file saved after training may carry limits that would silently cut or lengthen prompts.
    rust.disableTruncation();
    rust.disablePadding();
    return rust;
  } catch (cause) {
    throw new KexaError('KEXA_BAD_TOKENIZER', `${file}: not a tokenizer: ${(cause as Error).message}`, { cause });
  }
}

function readSpecialIds(addedTokens: unknown, rust: RustTokenizer, file: string): Set<number> {
  const special = new Set<number>();
  for (const added of Array.isArray(addedTokens) ? addedTokens : []) {
    // The library numbers added tokens itself; a file that disagrees would give the model other ids than it learned.
    const id = rust.tokenToId(added.content);
    if (id !== added.id)
      throw new KexaError(
        'KEXA_BAD_TOKENIZER',
        `${file}: added token ${JSON.stringify(added.content)}: wanted id ${added.id}, the vocabulary gives it ${id}`,
      );
    if (added.special) special.add(added.id);
  }
  return special;
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new KexaError('KEXA_BAD_TOKENIZER', `${file}: could not be read: ${message}`, { cause });
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
  throw new KexaError(
    'KEXA_BAD_TOKENIZER',
    `${file}: wanted a JSON object, found ${JSON.stringify(value).slice(0, 40)}`,
  );
}
