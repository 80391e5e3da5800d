/** Python's operations on strings, which keep where each character came from. */
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { checkLength, empty, Text } from './text.js';

// Python's white space, for split(), strip() and isspace().
const spaces: ReadonlySet<string> = new Set(
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000',
);
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python ends lines there
const lineEnds = /\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]/g;

export function isSpace(character: string): boolean {
  return spaces.has(character);
}

/** Removes the characters of `chars` (white space if null) from the start, the end or both. */
export function strip(value: Text, chars: string | null, side: 'both' | 'left' | 'right' = 'both'): Text {
  const set = chars === null ? spaces : new Set(chars);
  const source = value.value;
  let start = 0;
  let end = source.length;
  if (side !== 'right')
    while (start < end) {
      const point = String.fromCodePoint(source.codePointAt(start)!);
      if (!set.has(point)) break;
      start += point.length;
    }
  if (side !== 'left')
    while (end > start) {
      const last = source.slice(end - 1, end);
      const pair = source.slice(Math.max(start, end - 2), end);
      const point = pair.length === 2 && pair.codePointAt(0)! > 0xffff ? pair : last;
      if (!set.has(point)) break;
      end -= point.length;
    }
  return value.slice(start, end);
}

/** Python's split(separator, limit). A limit below 0 is none. */
export function split(value: Text, separator: string | null, limit: number): Text[] {
  if (separator === '') throw new TemplateError('empty separator');
  const parts: Text[] = [];
  let from = 0;
  if (separator === null) {
    const source = value.value;
    for (;;) {
      while (from < source.length && isSpace(source[from]!)) from++;
      if (from >= source.length) return parts;
      if (limit >= 0 && parts.length >= limit) break;
      let end = from;
      while (end < source.length && !isSpace(source[end]!)) end++;
      parts.push(value.slice(from, end));
      from = end;
    }
    parts.push(value.slice(from));
    return parts;
  }
  for (let at = value.value.indexOf(separator); at >= 0; at = value.value.indexOf(separator, from)) {
    if (limit >= 0 && parts.length >= limit) break;
    parts.push(value.slice(from, at));
    from = at + separator.length;
  }
  parts.push(value.slice(from));
  return parts;
}

/** Python's rsplit(separator, limit). */
export function splitFromRight(value: Text, separator: string | null, limit: number): Text[] {
  if (limit < 0) return split(value, separator, limit);
  if (separator === '') throw new TemplateError('empty separator');
  const parts: Text[] = [];
  let to = value.length;
  if (separator === null) {
    const source = value.value;
    for (;;) {
      while (to > 0 && isSpace(source[to - 1]!)) to--;
      if (to <= 0) return parts.reverse();
      if (parts.length >= limit) break;
      let start = to;
      while (start > 0 && !isSpace(source[start - 1]!)) start--;
      parts.push(value.slice(start, to));
      to = start;
    }
    parts.push(value.slice(0, to));
    return parts.reverse();
  }
  while (parts.length < limit) {
    const at = to < separator.length ? -1 : value.value.lastIndexOf(separator, to - separator.length);
    if (at < 0) break;
    parts.push(value.slice(at + separator.length, to));
    to = at;
  }
  parts.push(value.slice(0, to));
  return parts.reverse();
}

export function splitLines(value: Text, keepsEnds: boolean): Text[] {
  const lines: Text[] = [];
  let from = 0;
  for (const { 0: end, index } of value.value.matchAll(lineEnds)) {
    lines.push(value.slice(from, keepsEnds ? index + end.length : index));
    from = index + end.length;
  }
  if (from < value.length) lines.push(value.slice(from));
  return lines;
}

/** Replaces `old` by `by`, at most `limit` times if that is not negative. */
export function replace(value: Text, old: string, by: Text, limit: number): Text {
  const parts: Text[] = [];
  if (old === '') {
    const count = limit < 0 ? value.pointCount + 1 : Math.min(limit, value.pointCount + 1);
    checkLength(value.length + count * by.length);
    for (let i = 0; i < count; i++) parts.push(by, i < value.pointCount ? value.point(i) : empty);
    if (count <= value.pointCount && count > 0) parts.push(value.slice(value.offsetOf(count)));
    return count === 0 ? value : Text.join(parts);
  }
  const pieces = split(value, old, limit);
  if (pieces.length === 1) return value.plain();
  checkLength(value.length + (pieces.length - 1) * (by.length - old.length));
  return Text.join(pieces, by);
}

export function repeat(value: Text, count: number): Text {
  if (count === 1) return value;
  checkLength(value.length * count);
  const { origin } = value;
  const whole =
    origin === undefined
      ? Text.join(Array.from({ length: count }, () => value))
      : new Text(value.value.repeat(count), origin);
  return value.isSafe ? whole.safe() : whole;
}

/** Fills a text up with `fill` to `width` characters. */
export function pad(value: Text, width: number, side: 'left' | 'right' | 'both', fill: Text): Text {
  if (fill.pointCount !== 1) throw new TemplateError('The fill character must be exactly one character long');
  const missing = width - value.pointCount;
  if (missing <= 0) return value;
  // CPython puts an odd fill character to the left if the width is odd.
  const left = side === 'left' ? missing : side === 'right' ? 0 : (missing >> 1) + (missing & width & 1);
  return Text.join([repeat(fill, left), value, repeat(fill, missing - left)]);
}

export function reverse(value: Text): Text {
  if (value.origin !== undefined)
    return new Text(Array.from(value.value).reverse().join(''), value.origin, value.isSafe);
  const points = Array.from({ length: value.pointCount }, (_, i) => value.point(value.pointCount - 1 - i));
  return value.isSafe ? Text.join(points).safe() : Text.join(points);
}

export function lower(value: Text): Text {
  // A sigma at the end of a word has another small letter, so that the whole counts; both are one unit long.
  const whole = value.value.toLowerCase();
  const changed = value.map((part) => part.toLowerCase());
  return changed.value === whole ? changed : new Text(whole, changed.runs, value.isSafe);
}

export function upper(value: Text): Text {
  return value.map((part) => part.toUpperCase());
}

/** Letters whose title case is not their upper case. */
const titles: ReadonlyMap<string, string> = new Map([
  ...['ǅǄǆ', 'ǈǇǉ', 'ǋǊǌ', 'ǲǱǳ'].flatMap((three) => Array.from(three, (one) => [one, three[0]!] as const)),
]);

/** A character in title case. */
function titlePoint(point: string): string {
  if (point === 'ŉ') return 'ʼN';
  const known = titles.get(point);
  if (known !== undefined) return known;
  const code = point.codePointAt(0)!;
  if (code >= 0x10d0 && code <= 0x10ff) return point;
  if ((code >= 0x1f80 && code <= 0x1faf) || [0x1fb3, 0x1fbc, 0x1fc3, 0x1fcc, 0x1ff3, 0x1ffc].includes(code))
    return String.fromCodePoint(code >= 0x1fb0 ? (code & ~0xf) | 0xc : code | 8);
  if ([0x1fb7, 0x1fc7, 0x1ff7].includes(code)) return `${[...point.toUpperCase()].slice(0, 2).join('')}\u0345`;
  const [first = '', ...rest] = point.toUpperCase();
  if ([0x1fb2, 0x1fb4, 0x1fc2, 0x1fc4, 0x1ff2, 0x1ff4].includes(code)) return `${first}\u0345`;
  return first + rest.join('').toLowerCase();
}

export function capitalize(value: Text): Text {
  if (value.pointCount === 0) return value;
  const end = value.offsetOf(1);
  const joined = Text.join([value.slice(0, end).map(titlePoint), lower(value).slice(lowerLength(value, end))]);
  return value.isSafe ? joined.safe() : joined;
}

/** The length of the first `end` units in lower case. */
function lowerLength(value: Text, end: number): number {
  return value.value.slice(0, end).toLowerCase().length;
}

/** Python's str.title(): a letter after a letter is small, any other is in title case. */
export function title(value: Text): Text {
  const small = lower(value);
  const parts: Text[] = [];
  let at = 0;
  let isAfterLetter = false;
  for (let i = 0; i < value.pointCount; i++) {
    const point = value.point(i);
    const length = point.value.toLowerCase().length;
    parts.push(isAfterLetter ? small.slice(at, at + length) : point.map(titlePoint));
    at += length;
    isAfterLetter = isCased(point.value);
  }
  return Text.join(parts);
}

export function swapCase(value: Text): Text {
  return value.map((part) => {
    if (part.includes('Σ')) throw new UnsupportedTemplateError('swapcase() of a capital sigma is not supported');
    let result = '';
    for (const point of part) {
      if (isUpperPoint(point)) result += point.toLowerCase();
      else result += isLowerPoint(point) ? point.toUpperCase() : point;
    }
    return result;
  });
}

const isUpperPoint = (point: string) => /\p{Uppercase}/u.test(point);
const isLowerPoint = (point: string) => /\p{Lowercase}/u.test(point);
const isCased = (point: string) => /[\p{Uppercase}\p{Lowercase}\p{Lt}]/u.test(point);

/** Python's isupper() and islower(): the text has letters of the wanted case, and none of the other. */
export function hasOnlyCase(value: string, wanted: 'upper' | 'lower'): boolean {
  const other = wanted === 'upper' ? /[\p{Lowercase}\p{Lt}]/u : /[\p{Uppercase}\p{Lt}]/u;
  const own = wanted === 'upper' ? /\p{Uppercase}/u : /\p{Lowercase}/u;
  return own.test(value) && !other.test(value);
}

export function isTitle(value: string): boolean {
  let isAfterLetter = false;
  let hasLetter = false;
  for (const point of value) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(point)) {
      if (isAfterLetter) return false;
      isAfterLetter = hasLetter = true;
    } else if (isLowerPoint(point)) {
      if (!isAfterLetter) return false;
      hasLetter = true;
    } else {
      isAfterLetter = false;
    }
  }
  return hasLetter;
}

const htmlEscapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
};

/** Python's markupsafe.escape: marked as safe. */
export function escapeHtml(value: Text): Text {
  return value.map((part) => part.replace(/[&<>'"]/g, (character) => htmlEscapes[character]!)).safe();
}
