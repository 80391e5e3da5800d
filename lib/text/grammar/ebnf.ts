/** Writes languages in the EBNF of grammars. */
import { type CodeRanges, complement, intersection, type Language, readPattern } from './pattern.js';

/** How the characters of a language are written: as they are, or inside a JSON string. */
export type Spelling = 'plain' | 'json';

/** Characters that stand as they are in a JSON string. */
export const bareCharacters: CodeRanges = complement([
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
]);
/** Characters with an escape of one letter. Other control characters are not written. */
const shortEscapes: readonly (readonly [code: number, written: string])[] = [
  [0x22, '\\"'],
  [0x5c, '\\\\'],
  [0x08, '\\b'],
  [0x0c, '\\f'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
];

/** The grammar of the texts that match a pattern as a whole. @throws KexaError as {@link readPattern} */
export function regexGrammar(pattern: string): string {
  return `root ::= ${toEbnf(readPattern(pattern, 'regex', true), 'plain') ?? '""'}`;
}

/** A grammar in EBNF of one of several texts. */
export function choiceGrammar(texts: readonly string[]): string {
  return `root ::= ${texts.map(literal).join(' | ')}`;
}

/** The text as a literal of EBNF. */
export function literal(text: string): string {
  let escaped = '';
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === '\\') escaped += `\\${character}`;
    else if (code >= 0x20 && code < 0x7f) escaped += character;
    else escaped += codeEscape(code);
  }
  return `"${escaped}"`;
}

/** A character of EBNF by its number. */
function codeEscape(code: number): string {
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

/** The language as an expression that can stand anywhere. Undefined if no text of it can be written so. */
export function toEbnf(language: Language, spelling: Spelling): string | undefined {
  switch (language.kind) {
    case 'set':
      return spelling === 'plain' ? characterClass(language.ranges) : jsonCharacter(language.ranges);
    case 'sequence':
      return sequence(language.parts, spelling);
    case 'or': {
      const parts = language.parts.map((part) => toEbnf(part, spelling)).filter((part) => part !== undefined);
      return parts.length === 0 ? undefined : `(${parts.join(' | ')})`;
    }
    case 'repeat': {
      const part = toEbnf(language.part, spelling);
      if (part === undefined) return language.least === 0 ? '""' : undefined;
      return repeat(part, language.least, language.most);
    }
  }
}

/** The expression, repeated. */
export function repeat(part: string, least: number, most: number): string {
  if (most === 0) return '""';
  if (most !== Number.POSITIVE_INFINITY) return `(${part}){${least},${most}}`;
  return least === 0 ? `(${part})*` : least === 1 ? `(${part})+` : `(${part}){${least},}`;
}

/** The items of an array, or the members of an object, with commas between them and white space around them. */
export function commaList(item: string, least: number, most: number): string {
  if (most === 0) return '""';
  const all = `${item} ${repeat(`"," ws ${item}`, Math.max(0, least - 1), most - 1)} ws`;
  return least > 0 ? all : `(${all})?`;
}

function sequence(parts: readonly Language[], spelling: Spelling): string | undefined {
  const written = parts.map((part) => toEbnf(part, spelling));
  if (written.includes(undefined)) return undefined;
  return written.length === 0 ? '""' : `(${written.join(' ')})`;
}

const lastAscii = 0x7f;
const beyondAscii: CodeRanges = complement([[0, lastAscii]]);

/**
 * One character of the ranges. XGrammar's classes match bytes above 127, so that characters beyond ASCII are written as
 * their bytes in UTF-8. A class with `^` matches all of them.
 */
function characterClass(ranges: CodeRanges): string | undefined {
  const ascii = intersection(ranges, [[0, lastAscii]]);
  const others = intersection(ranges, beyondAscii);
  if (JSON.stringify(others) === JSON.stringify(beyondAscii)) {
    const missing = intersection(complement(ranges), [[0, lastAscii]]);
    return missing.length > 0 ? `[^${members(missing)}]` : `([\\u0000-\\u007f] | [^\\u0000-\\u007f])`;
  }
  const written = others.flatMap(([first, last]) => byteSequences(first, last));
  if (ascii.length > 0) written.unshift(`[${members(ascii)}]`);
  return written.length === 0 ? undefined : written.length === 1 ? written[0] : `(${written.join(' | ')})`;
}

function members(ranges: CodeRanges): string {
  return ranges
    .map(([first, last]) => (first === last ? codeEscape(first) : `${codeEscape(first)}-${codeEscape(last)}`))
    .join('');
}

/** The characters of a range beyond ASCII, as sequences of ranges of bytes. */
function byteSequences(first: number, last: number): string[] {
  for (const end of [0x7ff, 0xffff])
    if (first <= end && last > end) return [...byteSequences(first, end), ...byteSequences(end + 1, last)];
  const size = first <= 0x7ff ? 2 : first <= 0xffff ? 3 : 4;
  // Where the first bytes differ, the bytes after them must take every value.
  for (let i = 1; i < size; i++) {
    const low = 2 ** (6 * i) - 1;
    if (Math.floor(first / (low + 1)) === Math.floor(last / (low + 1))) continue;
    if ((first & low) !== 0) return [...byteSequences(first, first | low), ...byteSequences((first | low) + 1, last)];
    if ((last & low) !== low) return [...byteSequences(first, (last & ~low) - 1), ...byteSequences(last & ~low, last)];
  }
  const from = Buffer.from(String.fromCodePoint(first));
  const to = Buffer.from(String.fromCodePoint(last));
  // A class of one member would be taken for a character, so a single byte is named twice.
  const classes = Array.from(
    from,
    (byte, i) => `[${codeEscape(byte)}${byte === to[i] ? '' : '-'}${codeEscape(to[i]!)}]`,
  );
  return [`(${classes.join(' ')})`];
}

function jsonCharacter(ranges: CodeRanges): string | undefined {
  const plain = characterClass(intersection(ranges, bareCharacters));
  const escaped = shortEscapes
    .filter(([code]) => ranges.some(([first, last]) => first <= code && code <= last))
    .map(([, written]) => literal(written));
  const all = plain === undefined ? escaped : [plain, ...escaped];
  return all.length === 0 ? undefined : all.length === 1 ? all[0] : `(${all.join(' | ')})`;
}
