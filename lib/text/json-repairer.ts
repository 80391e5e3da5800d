import { pythonWords } from './lenient-json.js';

/** How JSON goes on: which token may come next. */
type Expected = 'first key' | 'key' | 'colon' | 'member' | 'first element' | 'element' | 'separator' | 'end';

const scalar = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
const wordCharacter = /[\w+.-]/;

/**
 * Writes JSON with the mistakes that {@link readJson} takes as valid JSON, as it comes. Valid JSON stays as it is, to
 * the character. Text is given out as soon as it is certain, so it does not matter how the source is cut up.
 *
 * @example
 * const repairer = new JsonRepairer();
 * repairer.push("{'a': Tr") + repairer.push('ue,') + repairer.end() // '{"a": true}'
 */
export class JsonRepairer {
  /** The brackets that would close the open ones. */
  readonly #closers: string[] = [];
  #expected: Expected = 'member';
  /** The quote of the string that is open. */
  #quote = '';
  /** White space, and the comma before it. A bracket drops the comma, and the end drops both. */
  #held = '';
  /** Source that was not read yet: part of a word, or of an escape. */
  #rest = '';
  #isEnded = false;
  #isFailed = false;

  /** Whether the value is over. Text that follows it is not read. */
  get isDone(): boolean {
    return this.#expected === 'end';
  }

  /** Takes more of the source. Gives the text that is certain. After a mistake beyond repair it gives no more. */
  push(source: string): string {
    const unread = this.#rest + source;
    const written: string[] = [];
    let at = 0;
    while (at < unread.length && !this.#isFailed && !this.isDone) {
      const next = this.#quote === '' ? this.#readToken(unread, at, written) : this.#readString(unread, at, written);
      if (next === at) break;
      at = next;
    }
    this.#rest = this.#isFailed || this.isDone ? '' : unread.slice(at);
    return written.join('');
  }

  /** Closes the brackets that are open. Undefined: the source breaks off where nothing can be closed. */
  end(): string | undefined {
    this.#isEnded = true;
    const last = this.push('');
    if (this.isDone) return last;
    if (this.#isFailed || this.#quote !== '' || this.#expected !== 'separator') return undefined;
    return last + this.#closers.reverse().join('');
  }

  /** Reads one element outside strings. Returns its end, or `at` if more text is needed. */
  #readToken(text: string, at: number, written: string[]): number {
    const character = text[at]!;
    if (/\s/.test(character)) {
      this.#held += ' \t\n\r'.includes(character) ? character : ' ';
      return at + 1;
    }
    const expected = this.#expected;
    if (
      character === this.#closers.at(-1) &&
      ['first key', 'first element', 'key', 'element', 'separator'].includes(expected)
    ) {
      this.#write(character, written, this.#held.replace(',', ''));
      this.#closers.pop();
      this.#afterValue();
      return at + 1;
    }
    if (expected === 'separator') return this.#readComma(character, at);
    if (expected === 'colon') {
      if (character !== ':') return this.#fail(at);
      this.#write(':', written);
      this.#expected = 'member';
      return at + 1;
    }
    if (character === '"' || character === "'") {
      this.#write('"', written);
      this.#quote = character;
      return at + 1;
    }
    if (expected === 'key' || expected === 'first key') return this.#fail(at);
    if (character !== '{' && character !== '[') return this.#readWord(text, at, written);
    this.#write(character, written);
    this.#closers.push(character === '{' ? '}' : ']');
    this.#expected = character === '{' ? 'first key' : 'first element';
    return at + 1;
  }

  #readComma(character: string, at: number): number {
    if (character !== ',') return this.#fail(at);
    this.#held += ',';
    this.#expected = this.#closers.at(-1) === '}' ? 'key' : 'element';
    return at + 1;
  }

  #readWord(text: string, from: number, written: string[]): number {
    let at = from;
    while (at < text.length && wordCharacter.test(text[at]!)) at++;
    if (at === text.length && !this.#isEnded) return from;
    const word = text.slice(from, at);
    const valid = pythonWords.get(word) ?? word;
    if (!scalar.test(valid)) return this.#fail(from);
    this.#write(valid, written);
    this.#afterValue();
    return at;
  }

  /** Reads a stretch of plain characters, an escape or the end of a string. */
  #readString(text: string, at: number, written: string[]): number {
    const plain = /[^"'\\\p{Cc}]+/uy;
    plain.lastIndex = at;
    const stretch = plain.exec(text)?.[0];
    if (stretch !== undefined) {
      written.push(stretch);
      return at + stretch.length;
    }
    const character = text[at]!;
    if (character === '\\') return this.#readEscape(text, at, written);
    if (character === this.#quote) {
      written.push('"');
      this.#quote = '';
      if (this.#expected === 'key' || this.#expected === 'first key') this.#expected = 'colon';
      else this.#afterValue();
    } else {
      written.push(JSON.stringify(character).slice(1, -1));
    }
    return at + 1;
  }

  #readEscape(text: string, at: number, written: string[]): number {
    const escaped = text[at + 1];
    if (escaped === undefined) return this.#isEnded ? this.#fail(at) : at;
    if (escaped === 'u') {
      const digits = /^[0-9a-fA-F]*/.exec(text.slice(at + 2, at + 6))![0];
      if (digits.length < 4 && at + 2 + digits.length === text.length && !this.#isEnded) return at;
      written.push(digits.length === 4 ? `\\u${digits}` : '\\\\u');
      return at + (digits.length === 4 ? 6 : 2);
    }
    if (escaped === "'") written.push("'");
    else if ('bfnrt"\\/'.includes(escaped)) written.push(`\\${escaped}`);
    else {
      // The backslash stands for itself, and the character after it is read as any other.
      written.push('\\\\');
      return at + 1;
    }
    return at + 2;
  }

  #afterValue(): void {
    this.#expected = this.#closers.length === 0 ? 'end' : 'separator';
  }

  #write(text: string, written: string[], before = this.#held): void {
    written.push(before, text);
    this.#held = '';
  }

  #fail(at: number): number {
    this.#isFailed = true;
    return at;
  }
}

/** Writes a text that {@link readJson} can read as valid JSON. */
export function repairJson(source: string): string {
  const repairer = new JsonRepairer();
  const start = repairer.push(source);
  return start + (repairer.end() ?? '');
}
