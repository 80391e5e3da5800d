import type { Model } from '../model/model.js';
import type { Tokenizer } from '../text/tokenizer.js';
import { wholeText } from '../text/whole-text.js';

/** Spells tokens for a table: the text in quotes, with bytes that are no whole character as `\xEC`. */
export class TokenSpelling {
  readonly #tokenizer: Tokenizer | null;

  /** Without a tokenizer the spelling of every token is empty. */
  constructor(tokenizer: Tokenizer | null) {
    this.#tokenizer = tokenizer;
  }

  /** The spelling of a model's tokens, also of a model that has no tokenizer. */
  static of(model: Model): TokenSpelling {
    try {
      return new TokenSpelling(model.tokenizer);
    } catch {
      return new TokenSpelling(null);
    }
  }

  show(id: number): string {
    // A model may have more logits than its tokenizer has tokens.
    if (this.#tokenizer === null || this.#tokenizer.idToToken(id) === null) return '';
    const bytes = this.#tokenizer.tokenBytes(id);
    const text = wholeText(bytes);
    return text === null ? `"${Array.from(bytes, (byte) => byteText(byte)).join('')}"` : JSON.stringify(text);
  }
}

function byteText(byte: number): string {
  const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
  return isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}
