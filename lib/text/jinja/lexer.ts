import { TemplateSyntaxError } from './failure.js';

/** A token of a template. The values of data, names and strings are texts; numbers are JavaScript's. */
export type Token = { line: number } & (
  | { type: 'data' | 'name' | 'string' | 'operator'; value: string }
  | { type: 'integer'; value: bigint }
  | { type: 'float'; value: number }
  | { type: 'block_begin' | 'block_end' | 'variable_begin' | 'variable_end' | 'eof'; value: '' }
);

// Python's white space for `\s` and str.strip().
const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';

const patterns = {
  rawBegin: new RegExp(`\\{%([-+]?)${space}*raw${space}*(?:-%\\}${space}*|%\\})`, 'y'),
  rawEnd: new RegExp(`\\{%([-+]?)${space}*endraw${space}*(?:\\+%\\}|-%\\}${space}*|%\\}\\n?)`, 'g'),
  commentEnd: new RegExp(`\\+#\\}|-#\\}${space}*|#\\}\\n?`, 'g'),
  blockEnd: new RegExp(`\\+%\\}|-%\\}${space}*|%\\}\\n?`, 'y'),
  variableEnd: new RegExp(`-\\}\\}${space}*|\\}\\}`, 'y'),
  space: new RegExp(`${space}+`, 'y'),
  float: /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy,
  integer: /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy,
  name: /[\p{L}\p{N}\p{M}\p{Pc}_]+/uy,
  string: /'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"/sy,
  operator: /\*\*|\/\/|==|!=|>=|<=|[-+/*%~[\](){}<>=.:|,;]/y,
};
const trailingSpace = new RegExp(`${space}+$`);
const onlySpace = new RegExp(`^${space}+$`);
const closing: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' };

/**
 * The tokens of a template by Jinja2's rules with trim_blocks and lstrip_blocks. Every line ending is `\n`. Removed are
 * one newline at the end of the template, the newline after a block, and the white space before one.
 *
 * @throws TemplateSyntaxError
 */
export function tokenize(template: string): Token[] {
  return new Lexer(template.replace(/\r\n?/g, '\n').replace(/\n$/, '')).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  /** The closing brackets that are awaited. */
  readonly #brackets: string[] = [];
  #at = 0;
  #line = 1;
  #isLineStart = true;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    while (this.#at < this.#source.length) {
      const tag = nextTag(this.#source, this.#at);
      if (tag < 0) {
        this.#push('data', this.#source.slice(this.#at));
        break;
      }
      this.#readTag(this.#source.slice(this.#at, tag), tag);
    }
    this.#push('eof', '');
    return this.#tokens;
  }

  /** Reads the tag at `tag`, and adds the data before it. */
  #readTag(data: string, tag: number): void {
    const kind = this.#source[tag + 1]!;
    patterns.rawBegin.lastIndex = tag;
    const raw = kind === '%' ? patterns.rawBegin.exec(this.#source) : null;
    if (raw) {
      this.#pushData(data, raw[1]!, false, tag + raw[0].length);
      this.#isLineStart = this.#source[this.#at - 1] === '\n';
      const end = this.#match(patterns.rawEnd);
      if (!end) throw new TemplateSyntaxError('Missing end of raw directive', this.#line);
      this.#pushData(this.#source.slice(this.#at, end.index), end[1]!, false, end.index + end[0].length);
      this.#isLineStart = this.#source[this.#at - 1] === '\n';
      return;
    }
    const sign = /[-+]/.test(this.#source[tag + 2] ?? '') ? this.#source[tag + 2]! : '';
    this.#pushData(data, sign, kind === '{', tag + 2 + sign.length);
    if (kind === '#') {
      const end = this.#match(patterns.commentEnd);
      if (!end) throw new TemplateSyntaxError('Missing end of comment tag', this.#line);
      this.#advance(end.index + end[0].length);
      this.#isLineStart = this.#source[this.#at - 1] === '\n';
      return;
    }
    this.#readExpression(kind === '%' ? 'block' : 'variable');
  }

  /** Reads the tokens of a block or a variable, as far as its end. */
  #readExpression(name: 'block' | 'variable'): void {
    this.#push(`${name}_begin`, '');
    for (;;) {
      const end = this.#brackets.length === 0 ? this.#match(patterns[`${name}End`]) : null;
      if (end) {
        this.#push(`${name}_end`, '');
        this.#advance(this.#at + end[0].length);
        this.#isLineStart = this.#source[this.#at - 1] === '\n';
        return;
      }
      if (this.#at >= this.#source.length) return;
      this.#readToken();
    }
  }

  #readToken(): void {
    const gap = this.#match(patterns.space);
    if (gap) {
      this.#advance(this.#at + gap[0].length);
      return;
    }
    for (const type of ['float', 'integer', 'name', 'string', 'operator'] as const) {
      const found = this.#match(patterns[type]);
      if (!found) continue;
      if (type === 'operator') this.#balance(found[0]);
      this.#tokens.push(tokenOf(type, found[0], this.#line));
      this.#advance(this.#at + found[0].length);
      return;
    }
    throw new TemplateSyntaxError(`unexpected char ${JSON.stringify(this.#source[this.#at])}`, this.#line);
  }

  #balance(operator: string): void {
    if (closing[operator] !== undefined) {
      this.#brackets.push(closing[operator]);
    } else if (operator === ')' || operator === ']' || operator === '}') {
      const wanted = this.#brackets.pop();
      if (wanted !== operator)
        throw new TemplateSyntaxError(`unexpected '${operator}'${wanted ? `, expected '${wanted}'` : ''}`, this.#line);
    }
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source);
  }

  #advance(end: number): void {
    const source = this.#source;
    for (let i = source.indexOf('\n', this.#at); i >= 0 && i < end; i = source.indexOf('\n', i + 1)) this.#line++;
    this.#at = end;
  }

  #push(type: Exclude<Token['type'], 'integer' | 'float'>, value: string): void {
    this.#tokens.push({ type, value, line: this.#line } as Token);
  }

  /** Adds the data before a tag, without the white space that the tag removes. */
  #pushData(data: string, sign: string, isVariable: boolean, end: number): void {
    let text = data;
    if (sign === '-') {
      text = data.replace(trailingSpace, '');
    } else if (sign !== '+' && !isVariable) {
      const start = data.lastIndexOf('\n') + 1;
      if ((start > 0 || this.#isLineStart) && onlySpace.test(data.slice(start))) text = data.slice(0, start);
    }
    if (text !== '') this.#push('data', text);
    this.#advance(end);
  }
}

function tokenOf(type: 'float' | 'integer' | 'name' | 'string' | 'operator', source: string, line: number): Token {
  switch (type) {
    case 'float':
      return { type, value: Number(source.replaceAll('_', '')), line };
    case 'integer':
      return { type, value: BigInt(source.replaceAll('_', '')), line };
    case 'string':
      return { type, value: unescaped(source.slice(1, -1), line), line };
    case 'name':
      if (!/^[\p{L}\p{Nl}_]/u.test(source)) throw new TemplateSyntaxError('Invalid character in identifier', line);
      // Python takes names in their compatible form; templates have no need for others.
      if (source !== source.normalize('NFKC'))
        throw new TemplateSyntaxError(`the name ${source} is not in the form NFKC`, line, true);
      return { type, value: source, line };
    case 'operator':
      return { type, value: source, line };
  }
}

/** The index of the next `{{`, `{%` or `{#`. -1 if there is none. */
function nextTag(source: string, from: number): number {
  for (let at = source.indexOf('{', from); at >= 0; at = source.indexOf('{', at + 1)) {
    const next = source[at + 1];
    if (next === '{' || next === '%' || next === '#') return at;
  }
  return -1;
}

const escapes: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Decodes a string literal as Python's unicode-escape does. */
function unescaped(body: string, line: number): string {
  return body.replace(
    /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\u0080-\u{10ffff}])|(.))/gsu,
    (whole, octal?: string, x?: string, u?: string, long?: string, wide?: string, letter?: string) => {
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
      const digits = x ?? u ?? long;
      if (digits !== undefined) {
        const point = Number.parseInt(digits, 16);
        if (point > 0x10ffff) throw new TemplateSyntaxError('illegal Unicode character', line);
        return String.fromCodePoint(point);
      }
      // Jinja2 writes other characters as escapes first, whose backslash this one then escapes.
      if (wide !== undefined) return asciiEscape(wide);
      if (letter === 'x' || letter === 'u' || letter === 'U')
        throw new TemplateSyntaxError(`truncated \\${letter} escape`, line);
      if (letter === 'N') throw new TemplateSyntaxError('characters by name (\\N{...}) in a string', line, true);
      return escapes[letter!] ?? whole;
    },
  );
}

function asciiEscape(character: string): string {
  const point = character.codePointAt(0)!;
  const [letter, width] = point < 0x100 ? ['x', 2] : point < 0x10000 ? ['u', 4] : ['U', 8];
  return `\\${letter}${point.toString(16).padStart(width as number, '0')}`;
}
