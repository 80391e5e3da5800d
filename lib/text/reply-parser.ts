import { randomId } from '../random.js';
import type { FailedToolCall, Tool, ToolCall, ToolCallDelta } from '../types.js';
import { CallScanner, type ScannedCall } from './call-scanner.js';
import { CallStream } from './call-stream.js';
import { callClose, callOpen, commonReasoning, type ReasoningMarkers } from './reply-markers.js';
import { partialSuffix } from './stop-matcher.js';
import { type Call, readCalls } from './tool-call.js';

/** A part of an answer, sorted into text, reasoning and tool calls. */
export interface ReplyPiece {
  text: string;
  reasoning: string;
  toolCallDeltas: ToolCallDelta[];
  toolCalls: ToolCall[];
  failedToolCalls: FailedToolCall[];
}

/** Options of {@link ReplyParser}. */
export interface ReplyParserOptions {
  /** Whether the prompt ended inside the thinking; see {@link endsInsideThinking}. */
  startsInReasoning: boolean;
  /** Whether to read tool calls. The declared tools also tell the types of calls written as XML. */
  tools: boolean | readonly Tool[];
  /** The markers around the thinking; below, they are written as `<think>` and `</think>`, which is the default. */
  reasoning?: ReasoningMarkers;
  /** Makes the id of a call. Default: a random one, so that no two calls of a conversation share theirs. */
  newCallId?: () => string;
}

/** Whether a prompt ends with an open `<think>` block, so that the answer starts inside the thinking. */
export function endsInsideThinking(renderedPrompt: string, { open }: ReasoningMarkers = commonReasoning): boolean {
  return renderedPrompt.trimEnd().endsWith(open);
}

/** An empty piece. */
export function emptyPiece(): ReplyPiece {
  return { text: '', reasoning: '', toolCallDeltas: [], toolCalls: [], failedToolCalls: [] };
}

function newId(): string {
  return randomId('call_', 24);
}

/** The calls found in the thinking, the text held back for them, and whether one of them is still being read. */
interface Thought {
  source: string;
  calls: Call[];
  isInCall: boolean;
}

/**
 * Takes an answer's text apart into thinking, text and tool calls, as it comes.
 *
 *   lead       Nothing but whitespace yet. `<think>` goes to reasoning, anything else to answer.
 *   reasoning  Until `</think>`. One newline at either end belongs to the markers.
 *   thought    A call in the thinking. It counts if the answer ends after it, with the thinking still open. If
 *              anything else comes, it was a thought like the rest.
 *   answer     Newlines after `</think>` belong to the marker. `<tool_call>` goes to call.
 *   call       Until the call is over, then back to answer. If no call can follow the marker, it was a word of the text.
 *              Meanwhile the call's name and arguments are given as they come.
 *   failed     Text that began as a call and is none, until its closing tag or the next call.
 *
 * Whitespace around calls is dropped. Text that may be the start of a marker, or whitespace before a call, is held back
 * until that is decided. So it does not matter how the text is cut up.
 */
export class ReplyParser {
  readonly #readsCalls: boolean;
  readonly #tools: readonly Tool[];
  readonly #thinkOpen: string;
  readonly #thinkClose: string;
  #state: 'lead' | 'reasoning' | 'thought' | 'answer' | 'call' | 'failed';
  /** Text not read yet: at the end of a push, only what may be the start of a marker. */
  #pending = '';
  #isEnded = false;
  /** Whether newlines at the start of `#pending` belong to the marker before it. */
  #afterMarker: boolean;
  /** Whitespace of the answer that a call may follow. */
  #space = '';
  #hasText = false;
  #hasReasoning = false;
  #afterCall = false;
  readonly #newCallId: () => string;
  #scanner = new CallScanner();
  #stream: CallStream;
  /** The call that `#stream` has begun to give. */
  #begun: Pick<ToolCallDelta, 'id' | 'index'> | undefined;
  /** The text before the scanner's text: the tag, or nothing if one tag holds several calls. */
  #callStart = '';
  #thought: Thought = { source: '', calls: [], isInCall: false };
  /** The text between two stretches of thinking. */
  #separator = '';
  #failed: { parts: string[]; reason: string } = { parts: [], reason: '' };
  #calls = 0;

  constructor({ startsInReasoning, tools, reasoning = commonReasoning, newCallId = newId }: ReplyParserOptions) {
    this.#thinkOpen = reasoning.open;
    this.#thinkClose = reasoning.close;
    this.#readsCalls = tools !== false;
    this.#tools = typeof tools === 'boolean' ? [] : tools;
    this.#newCallId = newCallId;
    this.#stream = new CallStream(this.#tools);
    this.#state = startsInReasoning ? 'reasoning' : 'lead';
    this.#afterMarker = startsInReasoning;
  }

  /** Takes the next text. Returns the pieces that are certain now. */
  push(text: string): ReplyPiece {
    const piece = emptyPiece();
    this.#pending += text;
    while (this.#step(piece));
    return piece;
  }

  /** Ends the answer and gives the rest. A call without its closing tag counts if it is whole otherwise. */
  flush(): ReplyPiece {
    this.#isEnded = true;
    const piece = this.push('');
    if (!this.#afterCall) piece.text += this.#space;
    this.#space = '';
    return piece;
  }

  /** Reads up to one marker. False if more text is needed. */
  #step(piece: ReplyPiece): boolean {
    switch (this.#state) {
      case 'lead':
        return this.#readLead();
      case 'reasoning':
        return this.#readReasoning(piece);
      case 'thought':
        return this.#readThought(piece);
      case 'answer':
        return this.#readAnswer(piece);
      case 'call':
        return this.#readCall(piece);
      case 'failed':
        return this.#readFailed(piece);
    }
  }

  #readLead(): boolean {
    if (this.#afterMarker) {
      this.#pending = this.#pending.replace(/^\n+/, '');
      if (this.#pending === '') return false;
      this.#afterMarker = false;
    }
    const body = this.#pending.trimStart();
    this.#space += this.#pending.slice(0, this.#pending.length - body.length);
    this.#pending = body;
    if (body.startsWith(this.#thinkOpen)) {
      this.#space = '';
      this.#pending = body.slice(this.#thinkOpen.length);
      this.#afterMarker = true;
      this.#separator = this.#hasReasoning ? '\n' : '';
      this.#state = 'reasoning';
      return true;
    }
    if (!this.#isEnded && this.#thinkOpen.startsWith(body)) return false;
    this.#state = 'answer';
    return true;
  }

  #readReasoning(piece: ReplyPiece): boolean {
    if (this.#afterMarker) {
      // A model whose prompt opened the thinking may open it again.
      const body = this.#pending.trimStart();
      if (!this.#hasReasoning && body.startsWith(this.#thinkOpen)) {
        this.#pending = body.slice(this.#thinkOpen.length);
        return true;
      }
      if (!this.#isEnded && this.#thinkOpen.startsWith(body)) return false;
      if (this.#pending.startsWith('\n')) this.#pending = this.#pending.slice(1);
      this.#afterMarker = false;
    }
    const markers = this.#readsCalls ? [this.#thinkClose, callOpen] : [this.#thinkClose];
    const { before, marker } = this.#takeUntil(markers, [...markers, ...markers.map((each) => `\n${each}`)]);
    const isParted = (marker !== undefined || this.#isEnded) && before.endsWith('\n');
    this.#emitReasoning(isParted ? before.slice(0, -1) : before, piece);
    if (marker === undefined) return false;
    if (marker === this.#thinkClose) {
      this.#afterMarker = true;
      // More thinking may follow while the answer has no text.
      this.#state = this.#hasText ? 'answer' : 'lead';
      return true;
    }
    this.#thought = { source: isParted ? '\n' : '', calls: [], isInCall: true };
    this.#beginCall(callOpen, 'thought');
    return true;
  }

  #readThought(piece: ReplyPiece): boolean {
    const thought = this.#thought;
    if (!thought.isInCall) return this.#readAfterThought(piece);
    const scanned = this.#scan();
    if (scanned === undefined) return false;
    const text = this.#scanner.text;
    const calls = scanned.kind === 'call' ? readCalls(scanned, this.#tools) : '';
    if (scanned.kind !== 'call' || typeof calls === 'string') {
      this.#pending = text;
      return this.#releaseThought(this.#callStart, piece);
    }
    thought.source += this.#callStart + text.slice(0, scanned.end);
    thought.calls.push(...calls);
    thought.isInCall = scanned.continues;
    this.#pending = text.slice(scanned.end);
    if (scanned.continues) this.#beginCall('', 'thought');
    return true;
  }

  /** Reads on after a call in the thinking. The text that follows decides whether the call was a thought. */
  #readAfterThought(piece: ReplyPiece): boolean {
    const thought = this.#thought;
    const body = this.#pending.trimStart();
    if (body.startsWith(callOpen)) {
      thought.source += this.#pending.slice(0, this.#pending.length - body.length);
      thought.isInCall = true;
      this.#pending = body.slice(callOpen.length);
      this.#beginCall(callOpen, 'thought');
      return true;
    }
    if (!this.#isEnded && callOpen.startsWith(body)) return false;
    if (body !== '') return this.#releaseThought('', piece);
    for (const call of thought.calls) this.#give(call, this.#begin(call.name, piece), '', piece);
    this.#pending = '';
    this.#state = 'answer';
    return true;
  }

  /** Treats text that looked like a call as thinking, up to and with `marker`. The pending text is read next. */
  #releaseThought(marker: string, piece: ReplyPiece): boolean {
    this.#emitReasoning(this.#thought.source + marker, piece);
    this.#state = 'reasoning';
    return true;
  }

  #readAnswer(piece: ReplyPiece): boolean {
    if (this.#afterMarker) {
      this.#pending = this.#pending.replace(/^\n+/, '');
      if (this.#pending === '') return false;
      this.#afterMarker = false;
    }
    if (!this.#readsCalls) {
      piece.text += this.#space + this.#pending;
      if (this.#pending !== '') this.#hasText = true;
      this.#space = this.#pending = '';
      return false;
    }
    const { before, marker } = this.#takeUntil([callOpen], [callOpen]);
    this.#emit(before, piece);
    if (marker !== undefined) this.#beginCall(callOpen, 'call');
    return marker !== undefined;
  }

  #beginCall(start: string, state: 'call' | 'thought'): void {
    this.#scanner = new CallScanner();
    this.#stream = new CallStream(this.#tools);
    this.#begun = undefined;
    this.#callStart = start;
    this.#state = state;
  }

  #scan(): ScannedCall | undefined {
    const scanned = this.#scanner.push(this.#pending);
    this.#pending = '';
    return scanned ?? (this.#isEnded ? this.#scanner.end() : undefined);
  }

  #readCall(piece: ReplyPiece): boolean {
    const taken = this.#pending;
    const scanned = this.#scan();
    this.#giveParts(taken, piece);
    if (scanned === undefined) return false;
    const text = this.#scanner.text;
    const start = this.#callStart;
    this.#state = 'answer';
    if (scanned.kind === 'call') {
      this.#pending = text.slice(scanned.end);
      const calls = this.#readCalls(scanned);
      if (typeof calls === 'string') {
        const rawText = start + text.slice(0, scanned.end);
        this.#emit(rawText, piece);
        this.#tellFailed(rawText, calls, piece);
      } else {
        for (const call of calls)
          this.#give(call, this.#begun ?? this.#begin(call.name, piece), this.#begun ? this.#stream.given : '', piece);
      }
      if (scanned.continues) this.#beginCall('', 'call');
      return true;
    }
    this.#pending = text;
    this.#emit(start, piece);
    if (scanned.kind === 'prose') return true;
    this.#failed = { parts: [start], reason: 'it breaks off, or is neither JSON nor <function=NAME>' };
    this.#state = 'failed';
    return true;
  }

  #readFailed(piece: ReplyPiece): boolean {
    const { before, marker } = this.#takeUntil([callClose, callOpen], [callClose, callOpen]);
    const own = before + (marker === callClose ? marker : '');
    this.#emit(own, piece);
    this.#failed.parts.push(own);
    if (marker === undefined && !this.#isEnded) return false;
    this.#tellFailed(this.#failed.parts.join(''), this.#failed.reason, piece);
    this.#state = 'answer';
    if (marker === callOpen) this.#beginCall(callOpen, 'call');
    return marker !== undefined;
  }

  /** Gives a call's name and arguments as far as they are certain. */
  #giveParts(taken: string, piece: ReplyPiece): void {
    const added = this.#stream.push(taken, this.#scanner);
    const { name } = this.#stream;
    if (name === undefined) return;
    this.#begun ??= this.#begin(name, piece);
    if (added !== '') piece.toolCallDeltas.push({ ...this.#begun, argumentsText: added });
  }

  #begin(name: string, piece: ReplyPiece): Pick<ToolCallDelta, 'id' | 'index'> {
    const begun = { id: this.#newCallId(), index: this.#calls++ };
    piece.toolCallDeltas.push({ ...begun, name, argumentsText: '' });
    return begun;
  }

  /** Reads the calls. A text whose end contradicts the parts that were given is no call. */
  #readCalls(scanned: Extract<ScannedCall, { kind: 'call' }>): Call[] | string {
    const calls = readCalls(scanned, this.#tools);
    if (typeof calls === 'string' || this.#begun === undefined) return calls;
    const { name, given } = this.#stream;
    const [call] = calls;
    if (call!.name === name && call!.argumentsText.startsWith(given)) return calls;
    return 'the call has its name or its arguments twice';
  }

  #tellFailed(rawText: string, reason: string, piece: ReplyPiece): void {
    piece.failedToolCalls.push({ rawText: rawText.trim(), reason, ...(this.#begun && { id: this.#begun.id }) });
  }

  /** Gives a whole call, and the arguments that were not given before. */
  #give(call: Call, { id, index }: Pick<ToolCallDelta, 'id' | 'index'>, given: string, piece: ReplyPiece): void {
    const argumentsText = call.argumentsText.slice(given.length);
    if (argumentsText !== '') piece.toolCallDeltas.push({ id, index, argumentsText });
    piece.toolCalls.push({ id, ...call });
    this.#space = '';
    this.#afterCall = true;
  }

  /**
   * Takes pending text up to and with the first of `markers`. Without one, takes all but a possible start of one of
   * `held`.
   */
  #takeUntil(markers: readonly string[], held: readonly string[]): { before: string; marker: string | undefined } {
    const pending = this.#pending;
    let at = -1;
    let marker: string | undefined;
    for (const candidate of markers) {
      const found = pending.indexOf(candidate);
      if (found >= 0 && (at < 0 || found < at)) [at, marker] = [found, candidate];
    }
    const end = marker ? at : pending.length - (this.#isEnded ? 0 : partialSuffix(pending, held));
    this.#pending = pending.slice(end + (marker?.length ?? 0));
    return { before: pending.slice(0, end), marker };
  }

  #emitReasoning(text: string, piece: ReplyPiece): void {
    if (text === '') return;
    piece.reasoning += this.#separator + text;
    this.#separator = '';
    this.#hasReasoning = true;
  }

  /** Gives text of the answer, but holds whitespace at its end back. */
  #emit(text: string, piece: ReplyPiece): void {
    if (text.trim() === '') {
      this.#space += text;
      return;
    }
    let whole = this.#space + text;
    // Two texts with a call between them keep their whitespace, or they would run together.
    if (this.#afterCall && !this.#hasText) whole = whole.trimStart();
    const body = whole.trimEnd();
    piece.text += body;
    this.#space = whole.slice(body.length);
    this.#hasText = true;
    this.#afterCall = false;
  }
}
