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
 * The tokens of a template by Jinja2's rules with trim_blocks and lstrip_blocks. Every line ending is `\n`. Removed are one
 * newline at the end of the template, the newline after a block, and the white space before one.
 *
 * @throws TemplateSyntaxError
 */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n?/g, '\n').replace(/\n$/, '');
  const tokens: Token[] = [];
  const brackets: string[] = [];
  let at = 0;
  let line = 1;
  let isLineStart = true;

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    return pattern.exec(source);
  };
  const advance = (end: number) => {
    for (let i = source.indexOf('\n', at); i >= 0 && i < end; i = source.indexOf('\n', i + 1)) line++;
    at = end;
  };
  /** Adds the data before a tag, without the white space that the tag removes. */
  const pushData = (data: string, sign: string, isVariable: boolean, end: number) => {
    let text = data;
    if (sign === '-') {
      text = data.replace(trailingSpace, '');
    } else if (sign !== '+' && !isVariable) {
      const start = data.lastIndexOf('\n') + 1;
      if ((start > 0 || isLineStart) && onlySpace.test(data.slice(start))) text = data.slice(0, start);
    }
    if (text !== '') tokens.push({ type: 'data', value: text, line });
    advance(end);
  };

  while (at < source.length) {
    const tag = nextTag(source, at);
    if (tag < 0) {
      tokens.push({ type: 'data', value: source.slice(at), line });
      break;
    }
    const data = source.slice(at, tag);
    const kind = source[tag + 1]!;
    patterns.rawBegin.lastIndex = tag;
    const raw = kind === '%' ? patterns.rawBegin.exec(source) : null;
    if (raw) {
      pushData(data, raw[1]!, false, tag + raw[0].length);
      isLineStart = source[at - 1] === '\n';
      const end = match(patterns.rawEnd);
      if (!end) throw new TemplateSyntaxError('Missing end of raw directive', line);
      pushData(source.slice(at, end.index), end[1]!, false, end.index + end[0].length);
      isLineStart = source[at - 1] === '\n';
      continue;
    }
    const sign = /[-+]/.test(source[tag + 2] ?? '') ? source[tag + 2]! : '';
    pushData(data, sign, kind === '{', tag + 2 + sign.length);
    if (kind === '#') {
      const end = match(patterns.commentEnd);
      if (!end) throw new TemplateSyntaxError('Missing end of comment tag', line);
      advance(end.index + end[0].length);
      isLineStart = source[at - 1] === '\n';
      continue;
    }
    const name = kind === '%' ? 'block' : 'variable';
    tokens.push({ type: `${name}_begin`, value: '', line });
    for (;;) {
      const end = brackets.length === 0 ? match(patterns[`${name}End`]) : null;
      if (end) {
        tokens.push({ type: `${name}_end`, value: '', line });
        advance(at + end[0].length);
        isLineStart = source[at - 1] === '\n';
        break;
      }
      if (at >= source.length) break;
      readToken();
    }
  }
  tokens.push({ type: 'eof', value: '', line });
  return tokens;

  function readToken(): void {
    const gap = match(patterns.space);
    if (gap) {
      advance(at + gap[0].length);
      return;
    }
    for (const type of ['float', 'integer', 'name', 'string', 'operator'] as const) {
      const found = match(patterns[type]);
      if (!found) continue;
      if (type === 'operator') balance(found[0]);
      tokens.push(tokenOf(type, found[0], line));
      advance(at + found[0].length);
      return;
    }
    throw new TemplateSyntaxError(`unexpected char ${JSON.stringify(source[at])}`, line);
  }

  function balance(operator: string): void {
    if (closing[operator] !== undefined) {
      brackets.push(closing[operator]);
    } else if (operator === ')' || operator === ']' || operator === '}') {
      const wanted = brackets.pop();
      if (wanted !== operator)
        throw new TemplateSyntaxError(`unexpected '${operator}'${wanted ? `, expected '${wanted}'` : ''}`, line);
    }
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
