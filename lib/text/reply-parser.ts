import type { Tool, ToolCall } from '../types.js';
import { partialSuffix } from './stop-matcher.js';
import { parseToolCall } from './tool-call.js';

/** The special tokens that {@link ReplyParser} must see as text. */
export const replyMarkers: readonly string[] = ['<think>', '</think>', '<tool_call>', '</tool_call>'];

const [thinkOpen, thinkClose, callOpen, callClose] = replyMarkers as [string, string, string, string];

/** What a part of an answer's text turned out to be. */
export interface ReplyPiece {
  text: string;
  reasoning: string;
  toolCalls: ToolCall[];
}

/** Options of {@link ReplyParser}. */
export interface ReplyParserOptions {
  /** Whether the prompt ended inside the thinking; see {@link endsInsideThinking}. */
  startsInReasoning: boolean;
  /** Whether to read tool calls. The declared tools also tell the types of calls written as XML. */
  tools: boolean | readonly Tool[];
}

/** Whether a prompt ends with an open `<think>` block, so that the answer starts inside the thinking. */
export function endsInsideThinking(renderedPrompt: string): boolean {
  return renderedPrompt.trimEnd().endsWith(thinkOpen);
}

/**
 * Takes an answer's text apart into thinking, text and tool calls, as it comes.
 *
 *   lead       Nothing but whitespace yet. `<think>` goes to reasoning, anything else to answer.
 *   reasoning  Until `</think>`. One newline at either end belongs to the markers.
 *   answer     Newlines after `</think>` belong to the marker. `<tool_call>` goes to call.
 *   call       Until `</tool_call>`, then back to answer. What cannot be read as a call is text.
 *
 * Whitespace around calls is dropped. What might be the start of a marker, or whitespace before a call, is held back
 * until that is decided; so it does not matter how the text is cut up.
 */
export class ReplyParser {
  readonly #readsCalls: boolean;
  readonly #tools: readonly Tool[];
  #state: 'lead' | 'reasoning' | 'answer' | 'call';
  /** Text not read yet: at the end of a push, only what may be the start of a marker. */
  #pending = '';
  /** Whether newlines at the start of `#pending` belong to the marker before it. */
  #afterMarker: boolean;
  /** Whitespace of the answer that a call may follow. */
  #space = '';
  #hasText = false;
  #afterCall = false;
  #call: string[] = [];
  #calls = 0;

  constructor({ startsInReasoning, tools }: ReplyParserOptions) {
    this.#readsCalls = tools !== false;
    this.#tools = typeof tools === 'boolean' ? [] : tools;
    this.#state = startsInReasoning ? 'reasoning' : 'lead';
    this.#afterMarker = startsInReasoning;
  }

  /** What became certain with this text. */
  push(text: string): ReplyPiece {
    const piece: ReplyPiece = { text: '', reasoning: '', toolCalls: [] };
    this.#pending += text;
    while (this.#step(piece));
    return piece;
  }

  /** The rest, when no more text comes. A call that did not end is text. */
  flush(): ReplyPiece {
    const piece: ReplyPiece = { text: '', reasoning: '', toolCalls: [] };
    const rest = this.#pending;
    this.#pending = '';
    if (this.#state === 'reasoning') {
      if (rest !== '\n') piece.reasoning = rest;
      return piece;
    }
    this.#emit(this.#state === 'call' ? callOpen + this.#call.join('') + rest : rest, piece);
    if (!this.#afterCall) piece.text += this.#space;
    this.#space = '';
    this.#call = [];
    this.#state = 'answer';
    return piece;
  }

  /** Reads on as far as one marker; false when more text is needed. */
  #step(piece: ReplyPiece): boolean {
    if (this.#state === 'lead') return this.#readLead();
    if (this.#state === 'reasoning') return this.#readReasoning(piece);
    if (this.#state === 'answer') return this.#readAnswer(piece);
    return this.#readCall(piece);
  }

  #readLead(): boolean {
    const body = this.#pending.trimStart();
    this.#space += this.#pending.slice(0, this.#pending.length - body.length);
    this.#pending = body;
    if (body.startsWith(thinkOpen)) {
      this.#space = '';
      this.#pending = body.slice(thinkOpen.length);
      this.#afterMarker = true;
      this.#state = 'reasoning';
      return true;
    }
    if (thinkOpen.startsWith(body)) return false;
    this.#state = 'answer';
    return true;
  }

  #readReasoning(piece: ReplyPiece): boolean {
    if (this.#afterMarker && this.#pending !== '') {
      if (this.#pending.startsWith('\n')) this.#pending = this.#pending.slice(1);
      this.#afterMarker = false;
    }
    const text = this.#takeUntil(thinkClose, [thinkClose, `\n${thinkClose}`]);
    piece.reasoning += text.ended && text.before.endsWith('\n') ? text.before.slice(0, -1) : text.before;
    if (text.ended) {
      this.#afterMarker = true;
      this.#state = 'answer';
    }
    return text.ended;
  }

  #readAnswer(piece: ReplyPiece): boolean {
    if (this.#afterMarker) {
      this.#pending = this.#pending.replace(/^\n+/, '');
      if (this.#pending === '') return false;
      this.#afterMarker = false;
    }
    if (!this.#readsCalls) {
      piece.text += this.#space + this.#pending;
      this.#space = this.#pending = '';
      return false;
    }
    const text = this.#takeUntil(callOpen, [callOpen]);
    this.#emit(text.before, piece);
    if (text.ended) this.#state = 'call';
    return text.ended;
  }

  #readCall(piece: ReplyPiece): boolean {
    const text = this.#takeUntil(callClose, [callClose]);
    this.#call.push(text.before);
    if (!text.ended) return false;
    const body = this.#call.join('');
    this.#call = [];
    this.#state = 'answer';
    const call = parseToolCall(body, `call_${this.#calls}`, this.#tools);
    if (call) {
      this.#calls++;
      this.#space = '';
      this.#afterCall = true;
      piece.toolCalls.push(call);
    } else {
      this.#emit(callOpen + body + callClose, piece);
    }
    return true;
  }

  /** Takes pending text up to a marker, and the marker; or all but what may be the start of one of `held`. */
  #takeUntil(marker: string, held: readonly string[]): { before: string; ended: boolean } {
    const pending = this.#pending;
    const at = pending.indexOf(marker);
    const end = at < 0 ? pending.length - partialSuffix(pending, held) : at;
    this.#pending = pending.slice(at < 0 ? end : at + marker.length);
    return { before: pending.slice(0, end), ended: at >= 0 };
  }

  /** Gives text of the answer, but holds whitespace at its end back. */
  #emit(text: string, piece: ReplyPiece): void {
    if (text.trim() === '') {
      this.#space += text;
      return;
    }
    let whole = this.#space + text;
    // Between two texts with a call between them the whitespace stays, or they would run together.
    if (this.#afterCall && !this.#hasText) whole = whole.trimStart();
    const body = whole.trimEnd();
    piece.text += body;
    this.#space = whole.slice(body.length);
    this.#hasText = true;
    this.#afterCall = false;
  }
}
