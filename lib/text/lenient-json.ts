/** JSON as models write it: read strictly first, then with the mistakes that leave no doubt about what is meant. */

/** The result of {@link readJson}. */
export interface JsonReading {
  value: unknown;
  /** Whether the text is no valid JSON, and was read all the same. */
  repaired: boolean;
  /** An object's members, each with its text as it was written; of two with one name, the last. */
  members: ReadonlyMap<string, string>;
  /** The text of each element of an array. */
  elements: readonly string[];
  /** JSON Pointers (RFC 6901) of the numbers that a double cannot hold: long integers, and those past its range. */
  inexactNumbers: string[];
}

/**
 * Reads a text as JSON. Undefined: it cannot be read. Beside valid JSON it takes
 *
 * - line ends, tabs and other control characters in strings, and a backslash before a character that needs none;
 * - a comma before a closing bracket;
 * - strings in single quotes, and Python's `True`, `False` and `None`;
 * - brackets that are left open at the end, if a value stands before the end.
 *
 * @example
 * readJson("{'a': [1, 2,]}")  // { value: { a: [1, 2] }, repaired: true, ... }
 */
export function readJson(text: string): JsonReading | undefined {
  let reading: JsonReading;
  try {
    reading = new Reader(text).read();
  } catch {
    // No JSON by any rule, or nested more deeply than the stack allows.
    return undefined;
  }
  try {
    return { ...reading, value: JSON.parse(text), repaired: false };
  } catch {
    return reading;
  }
}

/** Python's names of JSON's words, which models that were trained on Python write. */
export const pythonWords: ReadonlyMap<string, 'true' | 'false' | 'null'> = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);
const words: ReadonlyMap<string, unknown> = new Map(
  [...pythonWords].flatMap(([python, json]): [string, unknown][] => [
    [json, JSON.parse(json)],
    [python, JSON.parse(json)],
  ]),
);
const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };
const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

class Reader {
  readonly #text: string;
  #at = 0;
  readonly #members = new Map<string, string>();
  readonly #elements: string[] = [];
  readonly #inexactNumbers: string[] = [];
  readonly #path: string[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  read(): JsonReading {
    const value = this.#value();
    this.#skipSpace();
    if (this.#at < this.#text.length) throw new SyntaxError();
    return {
      value,
      repaired: true,
      members: this.#members,
      elements: this.#elements,
      inexactNumbers: this.#inexactNumbers,
    };
  }

  #value(): unknown {
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === '{') return Object.fromEntries(this.#items('}', () => this.#member()));
    if (first === '[') {
      let index = 0;
      return this.#items(']', () => this.#element(index++));
    }
    if (first === '"' || first === "'") return this.#string(first);
    return this.#word();
  }

  /** The items between a bracket and the one that closes it, or the end of the text after an item. */
  #items<Item>(close: string, readItem: () => Item): Item[] {
    const items: Item[] = [];
    this.#at++;
    for (;;) {
      this.#skipSpace();
      if (this.#text[this.#at] === close) break;
      items.push(readItem());
      this.#skipSpace();
      if (this.#at === this.#text.length) return items;
      if (this.#text[this.#at] === ',') this.#at++;
      else if (this.#text[this.#at] !== close) throw new SyntaxError();
    }
    this.#at++;
    return items;
  }

  #member(): [string, unknown] {
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") throw new SyntaxError();
    const key = this.#string(quote);
    this.#skipSpace();
    if (this.#text[this.#at++] !== ':') throw new SyntaxError();
    const isOuter = this.#path.length === 0;
    const { value, source } = this.#item(key);
    if (isOuter) this.#members.set(key, source);
    return [key, value];
  }

  #element(index: number): unknown {
    const isOuter = this.#path.length === 0;
    const { value, source } = this.#item(String(index));
    if (isOuter) this.#elements.push(source);
    return value;
  }

  #item(name: string): { value: unknown; source: string } {
    this.#skipSpace();
    const start = this.#at;
    this.#path.push(name.replaceAll('~', '~0').replaceAll('/', '~1'));
    const value = this.#value();
    this.#path.pop();
    return { value, source: this.#text.slice(start, this.#at).trimEnd() };
  }

  #string(quote: string): string {
    const parts: string[] = [];
    let start = ++this.#at;
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new SyntaxError();
      if (character === quote) break;
      if (character !== '\\') {
        this.#at++;
        continue;
      }
      parts.push(this.#text.slice(start, this.#at), this.#escape());
      start = this.#at;
    }
    parts.push(this.#text.slice(start, this.#at++));
    return parts.join('');
  }

  #escape(): string {
    const escaped = this.#text[this.#at + 1];
    if (escaped === undefined) throw new SyntaxError();
    const code = /^[0-9a-fA-F]{4}$/.exec(this.#text.slice(this.#at + 2, this.#at + 6))?.[0];
    if (escaped === 'u' && code !== undefined) {
      this.#at += 6;
      return String.fromCharCode(Number.parseInt(code, 16));
    }
    this.#at += 2;
    if (Object.hasOwn(escapes, escaped)) return escapes[escaped]!;
    return '"\'\\/'.includes(escaped) ? escaped : `\\${escaped}`;
  }

  #word(): unknown {
    const word = /[\w+.-]*/y;
    word.lastIndex = this.#at;
    const [text] = word.exec(this.#text)!;
    this.#at += text.length;
    if (words.has(text)) return words.get(text);
    if (!number.test(text)) throw new SyntaxError();
    if (!isHeldByDouble(text)) this.#inexactNumbers.push(this.#path.map((name) => `/${name}`).join(''));
    return Number(text);
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
  }
}

/**
 * Whether a number is the one that was written, as far as anyone can tell: fractions are rounded by all who read them.
 */
export function isHeldByDouble(text: string): boolean {
  const value = Number(text);
  if (!Number.isFinite(value)) return false;
  return !/^-?\d+$/.test(text) || BigInt(text) === BigInt(value);
}
