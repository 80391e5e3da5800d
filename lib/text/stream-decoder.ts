/** The part of a tokenizer that a {@link StreamDecoder} needs. */
export interface TokenSource {
  /**
   * The bytes of the tokens, joined, without the tokens that `skips` names. Throws KEXA_INVALID_ARGUMENT for an unknown
   * id.
   */
  joinBytes(ids: ArrayLike<number>, skips?: (id: number) => boolean): Uint8Array;
  isSpecial(id: number): boolean;
  tokenToId(token: string): number | null;
}

/** Options of {@link StreamDecoder}. */
export interface StreamDecoderOptions {
  /** Leave special tokens out of the text. Default false. */
  skipSpecialTokens?: boolean;
  /** Special tokens that `skipSpecialTokens` does not leave out, by their text. */
  keep?: readonly string[];
}

/**
 * Turns tokens into text as they come.
 *
 * `push` gives what is certain: bytes of a character that is not complete are held back, so the pieces put together
 * are exactly `decode` of all ids, and no piece ends in half a character. The cost is linear in the tokens.
 *
 * @example
 * const decoder = new StreamDecoder(tokenizer);
 * for (const id of ids) process.stdout.write(decoder.push([id]));
 * process.stdout.write(decoder.flush());
 */
export class StreamDecoder {
  readonly #source: TokenSource;
  readonly #skip: boolean;
  readonly #keep: ReadonlySet<number>;
  // A byte order mark is text like any other: the default would swallow it.
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(source: TokenSource, { skipSpecialTokens = false, keep = [] }: StreamDecoderOptions = {}) {
    this.#source = source;
    this.#skip = skipSpecialTokens;
    this.#keep = new Set(keep.map((token) => source.tokenToId(token)).filter((id) => id !== null));
  }

  /** The text that became certain. An unknown id throws KEXA_INVALID_ARGUMENT, and none of `ids` is taken. */
  push(ids: ArrayLike<number>): string {
    const skips = (id: number) => this.#source.isSpecial(id) && !this.#keep.has(id);
    return this.#utf8.decode(this.#source.joinBytes(ids, this.#skip ? skips : undefined), { stream: true });
  }

  /** The rest: U+FFFD if the tokens ended inside a character. The decoder can then be used again. */
  flush(): string {
    return this.#utf8.decode();
  }
}
