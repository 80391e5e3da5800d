import { KexaError } from '../errors.js';

const spelledInBytes = 1;

/**
 * The bytes of each token, and the vocabulary's name for them.
 *
 * A token whose characters all belong to the byte alphabet stands for those bytes, any other (an added token that holds
 * a space, say) for its own UTF-8 bytes.
 */
export class TokenTable {
  /** The bytes of all tokens by id, one after another. */
  readonly #bytes: Uint8Array;
  /** [ids + 1]: token i is bytes[starts[i]] up to starts[i + 1]. */
  readonly #starts: Uint32Array;
  /** [ids]: 0 for an id that no token has, 1 for a token spelled in the byte alphabet, 2 for one spelled as it is. */
  readonly #spellings: Uint8Array;
  /** How many tokens there are. */
  readonly size: number;
  /** The length of the longest token (bytes). */
  readonly longest: number;

  constructor({ bytes, starts, spellings }: { bytes: Uint8Array; starts: Uint32Array; spellings: Uint8Array }) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.#spellings = spellings;
    let size = 0;
    let longest = 0;
    for (let id = 0; id < spellings.length; id++) {
      if (spellings[id] !== 0) size++;
      longest = Math.max(longest, starts[id + 1]! - starts[id]!);
    }
    this.size = size;
    this.longest = longest;
  }

  /** The highest id; -1 if there are no tokens. */
  get highest(): number {
    return this.#spellings.length - 1;
  }

  has(id: unknown): id is number {
    // A fraction is no index of the array.
    return typeof id === 'number' && (this.#spellings[id] ?? 0) !== 0;
  }

  /** Throws KEXA_INVALID_ARGUMENT for an id that no token has. The caller must not write to the result. */
  bytesOf(id: number): Uint8Array {
    this.#check(id);
    return this.#bytes.subarray(this.#starts[id], this.#starts[id + 1]);
  }

  /** The bytes of `ids`, but for those that `skips` tells, joined. Throws as {@link bytesOf}. */
  join(ids: ArrayLike<number>, skips?: (id: number) => boolean): Uint8Array {
    const starts = this.#starts;
    let length = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      this.#check(id);
      length += starts[id + 1]! - starts[id]!;
    }
    const all = this.#bytes;
    const joined = new Uint8Array(length);
    let end = 0;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      if (skips?.(id)) continue;
      const last = starts[id + 1]!;
      // Most tokens have a few bytes, for which a call of set() takes longer.
      for (let at = starts[id]!; at < last; at++) joined[end++] = all[at]!;
    }
    return end === length ? joined : joined.subarray(0, end);
  }

  /** The bytes of all tokens, and where each token's start. The caller must not write to them. */
  get parts(): { bytes: Uint8Array; starts: Uint32Array } {
    return { bytes: this.#bytes, starts: this.#starts };
  }

  /** The token as the vocabulary spells it, or null. */
  nameOf(id: number): string | null {
    if (!this.has(id)) return null;
    const bytes = this.bytesOf(id);
    if (this.#spellings[id] === spelledInBytes) return spell(bytes);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  }

  #check(id: number): void {
    if (this.has(id)) return;
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `token id ${id}: no token has it; the vocabulary holds ${this.size} tokens`,
    );
  }
}

/** GPT-2's alphabet: bytes that print in Latin-1 are themselves, the others follow from U+0100 on in order. */
const alphabet: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(prints ? byte : next++);
  });
})();

function spell(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => alphabet[byte]).join('');
}

/** Each token's bytes in the byte alphabet. Token i has `bytes` from `starts[i]` up to `starts[i + 1]`. */
export function byteNames(bytes: Uint8Array, starts: Uint32Array): string[] {
  return Array.from({ length: starts.length - 1 }, (_, id) => spell(bytes.subarray(starts[id], starts[id + 1])));
}
