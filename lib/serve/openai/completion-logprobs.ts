/** Log-probabilities as OpenAI's completions interface writes them, and vLLM's form for a prompt. */
import { StreamDecoder } from '../../text/stream-decoder.js';
import type { Tokenizer } from '../../text/tokenizer.js';
import { wholeText } from '../../text/whole-text.js';
import type { TokenLogprob } from '../../types.js';
import { finite } from './logprobs.js';

/** A token of a text; the first of a prompt has no log-probability. */
export type LoggedToken = TokenLogprob | { id: number; logprob: null };

/** The lists of an answer's tokens, an entry for each token. */
export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

/** Writes the lists of a text that comes in parts. */
export class LogprobWriter {
  readonly #tokenizer: Tokenizer;
  readonly #decoder: StreamDecoder;
  /** Characters of the text before the next token. */
  #offset = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#decoder = new StreamDecoder(tokenizer);
  }

  /** The lists of the next tokens. */
  write(tokens: readonly LoggedToken[]): CompletionLogprobs {
    const lists: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const token of tokens) {
      const name = tokenName(token.id, this.#tokenizer);
      lists.tokens.push(name);
      lists.text_offset.push(this.#offset);
      lists.token_logprobs.push(token.logprob === null ? null : finite(token.logprob));
      lists.top_logprobs.push(token.logprob === null ? null : this.#top(name, token));
      if (token.id < this.#tokenizer.vocabSize) this.#offset += [...this.#decoder.push([token.id])].length;
    }
    return lists;
  }

  /** The best tokens and the token itself, by their names. */
  #top(name: string, { logprob, top }: TokenLogprob): Record<string, number> {
    const entries = top.map((other): [string, number] => [tokenName(other.id, this.#tokenizer), finite(other.logprob)]);
    return Object.fromEntries([...entries, [name, finite(logprob)]]);
  }
}

/** vLLM's `prompt_logprobs`: for each token of a prompt the best ones and the token itself, by their ids. */
export function promptLogprobs(tokens: readonly LoggedToken[], tokenizer: Tokenizer): object[] {
  return tokens.map((token): object => {
    if (token.logprob === null) return null as unknown as object;
    const entries = token.top.map(({ id, logprob }, i): [number, object] => [
      id,
      entryOf(id, logprob, i + 1, tokenizer),
    ]);
    if (!token.top.some(({ id }) => id === token.id))
      entries.push([token.id, entryOf(token.id, token.logprob, null, tokenizer)]);
    return Object.fromEntries(entries);
  });
}

function entryOf(id: number, logprob: number, rank: number | null, tokenizer: Tokenizer): object {
  return { logprob: finite(logprob), rank, decoded_token: tokenName(id, tokenizer) };
}

/** A token's text, or its bytes (`bytes:\xed\x95`) if it is not made of whole characters. */
function tokenName(id: number, tokenizer: Tokenizer): string {
  if (id >= tokenizer.vocabSize) return `token:${id}`;
  const bytes = tokenizer.tokenBytes(id);
  const text = wholeText(bytes);
  return text ?? `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
}
