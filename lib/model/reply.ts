import { commonReasoning, replyMarkers } from '../text/reply-markers.js';
import { emptyPiece, ReplyParser, type ReplyPiece } from '../text/reply-parser.js';
import { StopMatcher } from '../text/stop-matcher.js';
import { StreamDecoder } from '../text/stream-decoder.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type { Piece, Tool } from '../types.js';

/** How an answer's tokens are to be read. */
interface ReplyOptions {
  /** Null if the model has none: the answer then has ids but no text. */
  tokenizer: Tokenizer | null;
  /** The tokens that end the answer and have no text. */
  endTokens: ReadonlySet<number>;
  stop: readonly string[];
  /** How thinking and calls are found. Null: the answer is one plain text. */
  parsing: { startsInReasoning: boolean; tools: false | readonly Tool[] } | null;
}

/** Makes text of an answer's tokens: decodes them, separates thinking, text and calls, and cuts at a stop text. */
export class Reply {
  readonly #decoder: StreamDecoder | null;
  readonly #parser: ReplyParser | null;
  readonly #stops: StopMatcher;
  readonly #endTokens: ReadonlySet<number>;
  /** The number of ids that have a text. A model may have more logits than its tokenizer has tokens. */
  readonly #textTokens: number;
  #isStopped = false;

  constructor({ tokenizer, endTokens, stop, parsing }: ReplyOptions) {
    this.#endTokens = endTokens;
    this.#textTokens = tokenizer?.vocabSize ?? 0;
    this.#stops = new StopMatcher(stop);
    const reasoning = tokenizer?.reasoning ?? commonReasoning;
    this.#parser = parsing && new ReplyParser({ ...parsing, reasoning });
    // A plain text shows no structure, so all special tokens are left out.
    this.#decoder =
      tokenizer &&
      new StreamDecoder(tokenizer, { skipSpecialTokens: true, keep: parsing ? replyMarkers(reasoning) : [] });
  }

  /** The stop text that ended the answer. */
  get stopText(): string | undefined {
    return this.#stops.matched;
  }

  /** Takes tokens, up to the one that completes a stop text. */
  push(tokens: ArrayLike<number>): { piece: Piece; isStopped: boolean } {
    const piece: Piece = { ...emptyPiece(), ids: [] };
    for (let i = 0; i < tokens.length && !this.#isStopped; i++) {
      const id = tokens[i]!;
      piece.ids.push(id);
      if (this.#decoder !== null && id < this.#textTokens && !this.#endTokens.has(id))
        this.#add(piece, this.#decoder.push([id]));
    }
    return { piece, isStopped: this.#isStopped };
  }

  /**
   * Gives the text that was held back. Nothing comes after it. `isBrokenOff`: the answer was cut short before its end.
   */
  flush(isBrokenOff: boolean): { piece: Piece; isStopped: boolean } {
    const piece: Piece = { ...emptyPiece(), ids: [] };
    if (this.#isStopped) return { piece, isStopped: true };
    // Half a character is no text when the rest of it might have come.
    if (this.#decoder !== null && !isBrokenOff) this.#add(piece, this.#decoder.flush());
    if (this.#parser !== null) this.#addParsed(piece, this.#parser.flush());
    if (!this.#isStopped) piece.text += this.#stops.flush();
    return { piece, isStopped: this.#isStopped };
  }

  #add(piece: Piece, text: string): void {
    if (text === '') return;
    this.#addParsed(piece, this.#parser ? this.#parser.push(text) : { ...emptyPiece(), text });
  }

  #addParsed(piece: Piece, parsed: ReplyPiece): void {
    const { text, stopped } = this.#stops.push(parsed.text);
    piece.text += text;
    piece.reasoning += parsed.reasoning;
    piece.toolCallDeltas.push(...parsed.toolCallDeltas);
    piece.toolCalls.push(...parsed.toolCalls);
    piece.failedToolCalls.push(...parsed.failedToolCalls);
    this.#isStopped = stopped;
  }
}
