import { callClose, callOpen } from './reply-markers.js';

/** The text after `<tool_call>`, as far as {@link CallScanner} has read it. */
export type ScannedCall =
  /** No call begins there: the marker was a word in a text. */
  | { kind: 'prose' }
  /** The text began as a call and cannot be one. */
  | { kind: 'failed' }
  | {
      kind: 'call';
      /** The text between the tags: JSON, or the form with `<function=NAME>`. */
      body: { json: string } | { name: string; parameters: [key: string, value: string][]; source: string };
      /** The end of the call, its tag included, in the text that was read. */
      end: number;
      /** Whether something around the body was wrong: a missing tag, a code fence, a bracket too many. */
      repaired: boolean;
      /** Whether brackets of `json` are open at its end. */
      isOpen: boolean;
      /** Whether another call follows in the same tag. */
      continues: boolean;
    };

type State =
  | 'start'
  | 'fence'
  | 'json'
  | 'string'
  | 'afterJson'
  | 'functionName'
  | 'parameters'
  | 'parameterName'
  | 'value'
  | 'afterValue'
  | 'valueEnds'
  | 'afterFunction';

const functionOpen = '<function=';
const functionClose = '</function>';
const parameterOpen = '<parameter=';
const parameterClose = '</parameter>';
const fence = '```';

/**
 * Finds where a call ends that began with `<tool_call>`. `</tool_call>` in a JSON string or in a parameter's value is a
 * part of the call. Each character is read once, however the text is cut up.
 */
export class CallScanner {
  /** The text that was read so far, and its length in characters. */
  readonly #parts: string[] = [];
  #length = 0;
  /** The text that was not read yet: it may be the start of a marker. */
  #rest = '';
  #isEnded = false;
  #state: State = 'start';
  #repaired = false;
  /** The start and end of the body in the text that was read. */
  #start = 0;
  #end = 0;
  /** JSON: the brackets that would close the open ones, the quote of the string, and what came last. */
  readonly #closers: string[] = [];
  #quote = '';
  #isEscaped = false;
  #isAfterValue = false;
  #isInWord = false;
  /** The starts and ends of names and values in the form with `<function=NAME>`. */
  #name: [number, number] = [0, 0];
  #functionName: string | undefined;
  readonly #keys: string[] = [];
  readonly #values: [keyStart: number, keyEnd: number, valueStart: number, valueEnd: number][] = [];

  /** Undefined: more text is needed. */
  push(text: string): ScannedCall | undefined {
    const unread = this.#rest + text;
    this.#rest = '';
    return this.#scan(unread);
  }

  /** No more text comes. */
  end(): ScannedCall {
    this.#isEnded = true;
    return this.push('') ?? { kind: 'failed' };
  }

  /** All text that was pushed. */
  get text(): string {
    return this.#parts.join('') + this.#rest;
  }

  /** The function's name in the form with `<function=NAME>`, once it is read. */
  get functionName(): string | undefined {
    if (this.#name[1] === 0) return undefined;
    this.#functionName ??= this.slice(...this.#name).trim();
    return this.#functionName;
  }

  /**
   * A parameter in the form with `<function=NAME>`, as far as it is certain: its name, and the start and end of its
   * value in the text that was read. Undefined if its value has not begun.
   */
  parameter(index: number): { key: string; start: number; end: number; isWhole: boolean } | undefined {
    const [keyStart, keyEnd, start, found] = this.#values[index] ?? [0, 0, 0, 0];
    if (start === 0) return undefined;
    const isLast = index === this.#values.length - 1;
    const isWhole = !isLast || !['value', 'afterValue', 'valueEnds'].includes(this.#state);
    const end = this.#state === 'value' && isLast ? this.#length : found;
    this.#keys[index] ??= this.slice(keyStart, keyEnd).trim();
    return { key: this.#keys[index], start, end, isWhole };
  }

  /** A part of the text that was read. A part near its end costs little. */
  slice(start: number, end: number): string {
    const tail: string[] = [];
    let from = this.#length;
    for (let i = this.#parts.length - 1; i >= 0 && from > start; i--) {
      tail.unshift(this.#parts[i]!);
      from -= this.#parts[i]!.length;
    }
    return tail.join('').slice(start - from, end - from);
  }

  #scan(text: string): ScannedCall | undefined {
    const base = this.#length;
    let at = 0;
    let found: ScannedCall | 'wait' | undefined;
    while (found === undefined && (at < text.length || this.#isEnded)) {
      const before = at;
      const state = this.#state;
      [at, found] = this.#step(text, at, base);
      if (at === before && this.#state === state && found === undefined) break;
    }
    // The parts of a call are looked up in the text, so all of the text before it is handed over first.
    this.#parts.push(text.slice(0, at));
    this.#length += at;
    this.#rest = text.slice(at);
    if (found === 'wait' || found === undefined) return undefined;
    return found.kind === 'call' ? this.#withBody(found) : found;
  }

  /** Reads one element. Returns its end, and the result if the call is over. */
  #step(text: string, at: number, base: number): [number, ScannedCall | 'wait' | undefined] {
    switch (this.#state) {
      case 'start':
        return this.#readStart(text, at, base);
      case 'fence':
        return this.#readFence(text, at);
      case 'json':
        return this.#readJson(text, at, base);
      case 'string':
        return this.#readString(text, at);
      case 'afterJson':
        return this.#readAfter(text, at, base, '{');
      case 'afterFunction':
        return this.#readAfter(text, at, base, functionOpen);
      case 'functionName':
      case 'parameterName':
        return this.#readName(text, at, base);
      case 'parameters':
        return this.#readParameters(text, at, base);
      case 'value':
        return this.#readValue(text, at, base);
      case 'afterValue':
        return this.#readAfterValue(text, at);
      case 'valueEnds':
        return this.#readValueEnds(text, at, base);
    }
  }

  #readStart(text: string, from: number, base: number): [number, ScannedCall | 'wait' | undefined] {
    const at = skipSpace(text, from);
    const marker = this.#markerAt(text, at, [fence, functionOpen, '{', '[']);
    if (marker === 'wait') return [at, marker];
    if (marker === undefined) return [at, { kind: this.#repaired ? 'failed' : 'prose' }];
    this.#start = base + at;
    if (marker === fence) {
      this.#repaired = true;
      this.#state = 'fence';
      return [at + fence.length, undefined];
    }
    this.#state = marker === functionOpen ? 'functionName' : 'json';
    if (marker !== functionOpen) return [at, undefined];
    this.#name = [base + at + marker.length, 0];
    return [at + marker.length, undefined];
  }

  /** The language that a code fence names. */
  #readFence(text: string, from: number): [number, undefined] {
    let at = from;
    while (/[a-z]/i.test(text[at] ?? '')) at++;
    if (at < text.length || this.#isEnded) this.#state = 'start';
    return [at, undefined];
  }

  #readJson(text: string, at: number, base: number): [number, ScannedCall | 'wait' | undefined] {
    const character = text[at];
    if (character === undefined) return [at, { kind: 'failed' }];
    const isWord = /[\w+.-]/.test(character);
    const goesOn = isWord && this.#isInWord;
    this.#isInWord = isWord;
    if (goesOn || /\s/.test(character)) return [at + 1, undefined];
    const beginsValue = isWord || '{["\''.includes(character);
    if (beginsValue && this.#isAfterValue) return [at, { kind: 'failed' }];
    if (isWord) {
      this.#isAfterValue = true;
    } else if (character === '"' || character === "'") {
      this.#quote = character;
      this.#state = 'string';
    } else if (character === '{' || character === '[') {
      this.#closers.push(character === '{' ? '}' : ']');
    } else if (character === ',' || character === ':') {
      if (!this.#isAfterValue) return [at, { kind: 'failed' }];
      this.#isAfterValue = false;
    } else if (character === '}' || character === ']') {
      if (this.#closers.pop() !== character) return [at, { kind: 'failed' }];
      this.#isAfterValue = true;
      if (this.#closers.length === 0) {
        this.#end = base + at + 1;
        this.#state = 'afterJson';
      }
    } else {
      const marker = this.#isAfterValue ? this.#markerAt(text, at, [callClose]) : undefined;
      if (marker === 'wait') return [at, marker];
      if (marker === undefined) return [at, { kind: 'failed' }];
      this.#end = base + at;
      this.#repaired = true;
      return [at + marker.length, this.#call(base + at + marker.length)];
    }
    return [at + 1, undefined];
  }

  #readString(text: string, from: number): [number, ScannedCall | undefined] {
    let at = from;
    for (; at < text.length; at++) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (text[at] === '\\') this.#isEscaped = true;
      else if (text[at] === this.#quote) {
        this.#isAfterValue = true;
        this.#state = 'json';
        return [at + 1, undefined];
      }
    }
    return [at, this.#isEnded ? { kind: 'failed' } : undefined];
  }

  /** Reads the text after the body: up to the closing tag, the tag, or whatever stands in its place. */
  #readAfter(text: string, from: number, base: number, next: string): [number, ScannedCall | 'wait' | undefined] {
    const at = skipSpace(text, from);
    if (at === text.length && this.#isEnded) {
      this.#repaired = true;
      return [at, this.#call(base + at)];
    }
    const marker = this.#markerAt(text, at, [callClose, callOpen, fence, next, ',', '}', ']']);
    if (marker === 'wait') return [at, marker];
    if (marker === callClose) return [at + marker.length, this.#call(base + at + marker.length)];
    this.#repaired = true;
    // The answer ends in the middle of the tag.
    if (marker === undefined && this.#isEnded && callClose.startsWith(text.slice(at)))
      return [text.length, this.#call(base + text.length)];
    if (marker === next) return [at, this.#call(base + at, true)];
    if (marker === undefined || marker === callOpen) return [at, this.#call(marker ? base + at : this.#end)];
    return [at + marker.length, undefined];
  }

  #readName(text: string, from: number, base: number): [number, ScannedCall | undefined] {
    for (let at = from; at < text.length; at++) {
      if (text[at] === '\n' || text[at] === '<') return [at, { kind: 'failed' }];
      if (text[at] !== '>') continue;
      if (this.#state === 'functionName') {
        this.#name[1] = base + at;
        this.#state = 'parameters';
      } else {
        const value = this.#values.at(-1)!;
        value[1] = base + at;
        value[2] = base + at + 1;
        this.#state = 'value';
      }
      return [at + 1, undefined];
    }
    return [text.length, this.#isEnded ? { kind: 'failed' } : undefined];
  }

  #readParameters(text: string, from: number, base: number): [number, ScannedCall | 'wait' | undefined] {
    const at = skipSpace(text, from);
    const marker = this.#markerAt(text, at, [parameterOpen, functionClose, callClose]);
    if (marker === 'wait') return [at, marker];
    if (marker === undefined) return [at, { kind: 'failed' }];
    const after = at + marker.length;
    if (marker === parameterOpen) {
      this.#values.push([base + after, 0, 0, 0]);
      this.#state = 'parameterName';
      return [after, undefined];
    }
    this.#end = base + at;
    if (marker === functionClose) {
      this.#state = 'afterFunction';
      return [after, undefined];
    }
    this.#repaired = true;
    return [after, this.#call(base + after)];
  }

  #readValue(text: string, from: number, base: number): [number, ScannedCall | 'wait' | undefined] {
    const at = text.indexOf('<', from);
    if (at < 0) return [text.length, this.#isEnded ? { kind: 'failed' } : undefined];
    const marker = this.#markerAt(text, at, [parameterClose, functionClose]);
    if (marker === 'wait') return [at, marker];
    if (marker === undefined) return [at + 1, undefined];
    this.#values.at(-1)![3] = base + at;
    this.#state = marker === parameterClose ? 'afterValue' : 'valueEnds';
    return [at + marker.length, undefined];
  }

  /**
   * `</parameter>` ends a value only if another parameter or the end of the call follows. Else it is part of the value.
   */
  #readAfterValue(text: string, from: number): [number, ScannedCall | 'wait' | undefined] {
    const at = skipSpace(text, from);
    if (at === text.length && !this.#isEnded) return [at, undefined];
    const marker = this.#markerAt(text, at, [parameterOpen, functionClose, callClose]);
    if (marker === 'wait') return [at, marker];
    this.#state = marker === undefined ? 'value' : 'parameters';
    return [at, undefined];
  }

  /**
   * `</function>` ends a value that was not closed only if the call ends there and another one, or nothing, follows.
   */
  #readValueEnds(text: string, from: number, base: number): [number, ScannedCall | 'wait' | undefined] {
    const tag = skipSpace(text, from);
    const marker = this.#markerAt(text, tag, [callClose]);
    if (marker === 'wait') return [from, marker];
    if (marker !== undefined) {
      const end = tag + marker.length;
      const next = skipSpace(text, end);
      const isEnd = next === text.length;
      const following = isEnd ? undefined : this.#markerAt(text, next, [callOpen]);
      if ((isEnd && !this.#isEnded) || following === 'wait') return [from, 'wait'];
      if (isEnd || following !== undefined) {
        this.#end = this.#values.at(-1)![3];
        this.#repaired = true;
        return [end, this.#call(base + end)];
      }
    }
    this.#state = 'value';
    return [from, undefined];
  }

  /** The marker that stands at `at`. `'wait'` if more text is needed to tell. */
  #markerAt(text: string, at: number, markers: readonly string[]): string | undefined | 'wait' {
    const marker = markers.find((candidate) => text.startsWith(candidate, at));
    if (marker !== undefined || this.#isEnded) return marker;
    const start = text.slice(at, at + callClose.length);
    return markers.some((candidate) => candidate.startsWith(start)) ? 'wait' : undefined;
  }

  #call(end: number, continues = false): ScannedCall {
    const isOpen = this.#closers.length > 0;
    return { kind: 'call', body: { json: '' }, end, repaired: this.#repaired, isOpen, continues };
  }

  #withBody(call: Extract<ScannedCall, { kind: 'call' }>): ScannedCall {
    const text = this.text;
    if (this.#name[0] === 0) return { ...call, body: { json: text.slice(this.#start, this.#end).trimEnd() } };
    const name = text.slice(...this.#name).trim();
    const parameters = this.#values.map(([keyStart, keyEnd, valueStart, valueEnd]): [string, string] => [
      text.slice(keyStart, keyEnd).trim(),
      text.slice(valueStart, valueEnd),
    ]);
    const source = text.slice(this.#name[1] + 1, this.#end).trim();
    return { ...call, body: { name, parameters, source } };
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (/\s/.test(text[at] ?? '')) at++;
  return at;
}
