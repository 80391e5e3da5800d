import type { Tool } from '../types.js';
import type { CallScanner } from './call-scanner.js';
import { JsonRepairer } from './json-repairer.js';
import { declaredTypes, isOnlyText, parameterJson, trimValue } from './tool-call.js';

/** The most characters before a call's arguments in which its name is looked for. */
const longestHead = 1000;
const head = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\\p{Cc}]|\\["\\/bfnrt])+")\s*,\s*"arguments"\s*:\s*(?=\{)/u;

/**
 * Gives a call's name and the text of its arguments while the call is still being written. It begins once both are
 * beyond doubt: at `{"name": NAME, "arguments": {` or `<function=NAME>`. Calls in other forms are given when they are
 * whole.
 *
 * The text is valid JSON, in which mistakes that can be repaired are repaired. It is the beginning of the whole call's
 * `argumentsText`.
 */
export class CallStream {
  readonly #tools: readonly Tool[];
  #head: string | undefined = '';
  readonly #repairer = new JsonRepairer();
  #name: string | undefined;
  #given = '';
  /** The parameters that were given whole, and how much of the next one's value was read. */
  #parameters = 0;
  #readTo = 0;

  constructor(tools: readonly Tool[]) {
    this.#tools = tools;
  }

  /** The function's name. Undefined if it is not certain yet. */
  get name(): string | undefined {
    return this.#name;
  }

  /** All text of the arguments that was given. */
  get given(): string {
    return this.#given;
  }

  /** Takes the text that `scanner` has just taken. Returns new text of the arguments. */
  push(text: string, scanner: CallScanner): string {
    const added = scanner.functionName === undefined ? this.#pushJson(text) : this.#pushParameters(scanner);
    this.#given += added;
    return added;
  }

  #pushJson(text: string): string {
    if (this.#head === undefined) return this.#name === undefined ? '' : this.#repairer.push(text);
    this.#head += text;
    const found = head.exec(this.#head);
    if (found === null) {
      if (this.#head.length > longestHead) this.#head = undefined;
      return '';
    }
    // A match that a larger piece happens to bring with it is no other than one that came late.
    const isTooLong = found[0].length > longestHead;
    const rest = this.#head.slice(found[0].length);
    this.#head = undefined;
    if (isTooLong) return '';
    this.#name = JSON.parse(found[1]!) as string;
    return this.#repairer.push(rest);
  }

  #pushParameters(scanner: CallScanner): string {
    const name = scanner.functionName!;
    if (name === '') return '';
    this.#name = name;
    let added = '';
    for (;;) {
      const value = scanner.parameter(this.#parameters);
      if (value === undefined) return added;
      const types = declaredTypes(this.#tools, name, value.key);
      const start = `${this.#parameters === 0 ? '{' : ','}${JSON.stringify(value.key)}:`;
      if (!isOnlyText(types)) {
        if (!value.isWhole) return added;
        added += start + parameterJson(scanner.slice(value.start, value.end), types);
      } else {
        added += this.#pushText(scanner, value, start);
        if (!value.isWhole) return added;
      }
      this.#parameters++;
      this.#readTo = 0;
    }
  }

  /** Gives new text of a value that is a string, whatever it looks like. One newline at either end is no part of it. */
  #pushText(scanner: CallScanner, value: { start: number; end: number; isWhole: boolean }, start: string): string {
    const isFirst = this.#readTo === 0;
    if (isFirst && value.start === value.end && !value.isWhole) return '';
    const from = isFirst ? value.start : this.#readTo;
    const source = scanner.slice(from, value.end);
    // A newline may be the last, and half of a pair of units cannot be written alone.
    const isOpen = /[\ud800-\udbff]$/.test(source) || (isFirst ? source.slice(1) : source).endsWith('\n');
    const held = isOpen && !value.isWhole ? 1 : 0;
    this.#readTo = value.end - held;
    let text = held === 0 ? source : source.slice(0, -held);
    if (isFirst) text = value.isWhole ? trimValue(text) : text.replace(/^\n/, '');
    else if (value.isWhole) text = text.replace(/\n$/, '');
    const written = JSON.stringify(text).slice(1, -1);
    return `${isFirst ? `${start}"` : ''}${written}${value.isWhole ? '"' : ''}`;
  }
}
