/** What a {@link StreamDecoder} needs of a tokenizer. */
export interface TokenSource {
  /** The bytes a token stands for. Throws KEXA_INVALID_ARGUMENT for an unknown id. */
  tokenBytes(id: number): Uint8Array;
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
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      const bytes = this.#source.tokenBytes(id);
      if (this.#skip && this.#source.isSpecial(id) && !this.#keep.has(id)) continue;
      parts.push(bytes);
      length += bytes.length;
    }
    return this.#utf8.decode(join(parts, length), { stream: true });
  }

  /** The rest: U+FFFD if the tokens ended inside a character. The decoder can then be used again. */
  flush(): string {
    return this.#utf8.decode();
  }
}

function join(parts: Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
