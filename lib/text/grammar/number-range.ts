/** The decimal numerals of a range of numbers, as languages. */
import { either, emptyText, type Language, textOf } from './pattern.js';

/** A range of numbers. A missing bound is none. */
export interface NumberRange {
  least?: number | undefined;
  most?: number | undefined;
  /** Whether the bound itself is outside. */
  isAboveLeast?: boolean;
  isBelowMost?: boolean;
}

/** The most digits of an integer. Doubles hold so many exactly. */
const mostDigits = 15;
/** The most digits of a fraction beside a bound. */
const mostFraction = 9;
const largest = '9'.repeat(mostDigits);

const minus = textOf('-');
const digit: Language = digitRange(0, 9);

/** The integers of a range. Null if there are none. Bounds are safe integers. */
export function integersIn(least: number | undefined, most: number | undefined): Language | null {
  const found: (Language | null)[] = [];
  const isPositive = most === undefined || most >= 0;
  if (isPositive) found.push(naturals(String(Math.max(least ?? 0, 0)), most === undefined ? largest : String(most)));
  const isNegative = least === undefined || least < 0;
  if (isNegative) {
    const low = most === undefined || most >= 0 ? '1' : String(-most);
    found.push(after(minus, naturals(low, least === undefined ? largest : String(-least))));
  }
  return some(found);
}

/** The decimals of a range, with fractions but no exponents. Null if there are none. */
export function decimalsIn({ least, most, isAboveLeast = false, isBelowMost = false }: NumberRange): Language | null {
  const low = least === undefined ? undefined : { text: String(Math.abs(least)), isOutside: isAboveLeast };
  const high = most === undefined ? undefined : { text: String(Math.abs(most)), isOutside: isBelowMost };
  const zero = { text: '0', isOutside: false };
  const end = { text: '9'.repeat(6), isOutside: false };
  const found: (Language | null)[] = [];
  if (most === undefined || most >= 0)
    found.push(decimals(least !== undefined && least >= 0 ? low! : zero, high ?? end));
  if (least === undefined || least < 0)
    found.push(after(minus, decimals(most !== undefined && most < 0 ? high! : zero, low ?? end)));
  return some(found);
}

/**
 * Whether the bound has so few digits that no decimal beside it, with its fraction, is rounded to the bound itself: six
 * before the point, and six after it.
 */
export function isPlainDecimal(value: number): boolean {
  return /^-?\d{1,6}(\.\d{1,6})?$/.test(String(value));
}

interface Bound {
  text: string;
  isOutside: boolean;
}

/** Decimals from `low` to `high`, neither of them negative. */
function decimals(low: Bound, high: Bound): Language | null {
  const [lowWhole, lowPart = ''] = low.text.split('.') as [string, string?];
  const [highWhole, highPart = ''] = high.text.split('.') as [string, string?];
  const order = BigInt(highWhole) - BigInt(lowWhole);
  if (order < 0n) return null;
  const size = Math.max(lowPart.length, highPart.length);
  const from = lowPart.padEnd(size, '0');
  const to = highPart.padEnd(size, '0');
  if (order === 0n)
    return after(textOf(lowWhole), fraction(between(from, !low.isOutside, to, !high.isOutside, mostFraction)));
  const found = [
    after(textOf(lowWhole), fraction(atLeast(from, !low.isOutside, mostFraction))),
    after(textOf(highWhole), fraction(atMost(to, !high.isOutside, mostFraction))),
  ];
  if (order > 1n) {
    const inner = naturals(String(BigInt(lowWhole) + 1n), String(BigInt(highWhole) - 1n));
    found.push(after(inner, fraction(digitsUpTo(mostFraction))));
  }
  return some(found);
}

/** A point and digits, or nothing where no digit is needed. */
function fraction(tail: Language | null): Language | null {
  if (tail === null) return null;
  const dotted = after(textOf('.'), nonEmpty(tail));
  return some([hasEmpty(tail) ? emptyText : null, dotted]);
}

// The functions below give the digits after the point. Missing digits count as zeros. `left` is the most digits.

function atLeast(from: string, isIncluded: boolean, left: number): Language {
  if (/^0*$/.test(from)) return isIncluded ? digitsUpTo(left) : nonZero(left)!;
  const first = Number(from[0]);
  const higher = first === 9 ? null : after(digitRange(first + 1, 9), digitsUpTo(left - 1));
  return some([after(textOf(from[0]!), atLeast(from.slice(1), isIncluded, left - 1)), higher])!;
}

function atMost(to: string, isIncluded: boolean, left: number): Language | null {
  if (/^0*$/.test(to)) return isIncluded ? repeated(textOf('0'), 0, left) : null;
  const first = Number(to[0]);
  const lower = first === 0 ? null : after(digitRange(0, first - 1), digitsUpTo(left - 1));
  return some([emptyText, after(textOf(to[0]!), atMost(to.slice(1), isIncluded, left - 1)), lower]);
}

/** `from` and `to` have the same length. */
function between(from: string, hasFrom: boolean, to: string, hasTo: boolean, left: number): Language | null {
  if (from === '') return hasFrom && hasTo ? repeated(textOf('0'), 0, left) : null;
  const [low, high] = [Number(from[0]), Number(to[0])];
  if (low > high) return null;
  const isZeroIn = hasFrom && /^0*$/.test(from) && (hasTo || !/^0*$/.test(to));
  if (low === high) {
    const rest = between(from.slice(1), hasFrom, to.slice(1), hasTo, left - 1);
    return some([isZeroIn ? emptyText : null, after(textOf(from[0]!), rest)]);
  }
  return some([
    isZeroIn ? emptyText : null,
    after(textOf(from[0]!), atLeast(from.slice(1), hasFrom, left - 1)),
    high - low > 1 ? after(digitRange(low + 1, high - 1), digitsUpTo(left - 1)) : null,
    after(textOf(to[0]!), atMost(to.slice(1), hasTo, left - 1)),
  ]);
}

function digitsUpTo(left: number): Language {
  return repeated(digit, 0, left);
}

/** Digits of which one is not zero. */
function nonZero(left: number): Language | null {
  if (left === 0) return null;
  return some([after(digitRange(1, 9), digitsUpTo(left - 1)), after(textOf('0'), nonZero(left - 1))]);
}

/** The integers from `low` to `high` without sign or leading zeros. */
function naturals(low: string, high: string): Language | null {
  if (BigInt(low) > BigInt(high)) return null;
  const found: Language[] = [];
  for (let size = low.length; size <= high.length; size++) {
    const from = size === low.length ? low : `1${'0'.repeat(size - 1)}`;
    const to = size === high.length ? high : '9'.repeat(size);
    found.push(sameSize(from, to));
  }
  return some(found);
}

/** Digits from `from` to `to`, which have the same length. */
function sameSize(from: string, to: string): Language {
  if (from === '') return emptyText;
  const [low, high, size] = [Number(from[0]), Number(to[0]), from.length - 1];
  if (/^0*$/.test(from.slice(1)) && /^9*$/.test(to.slice(1)))
    return after(digitRange(low, high), repeated(digit, size, size))!;
  if (low === high) return after(textOf(from[0]!), sameSize(from.slice(1), to.slice(1)))!;
  const inner = high - low > 1 ? after(digitRange(low + 1, high - 1), repeated(digit, size, size)) : null;
  return some([
    after(textOf(from[0]!), sameSize(from.slice(1), '9'.repeat(size))),
    inner,
    after(textOf(to[0]!), sameSize('0'.repeat(size), to.slice(1))),
  ])!;
}

function digitRange(first: number, last: number): Language {
  return { kind: 'set', ranges: [[0x30 + first, 0x30 + last]] };
}

function repeated(part: Language, least: number, most: number): Language {
  return { kind: 'repeat', part, least, most };
}

function after(first: Language | null, rest: Language | null): Language | null {
  return first === null || rest === null ? null : { kind: 'sequence', parts: [first, rest] };
}

function some(languages: readonly (Language | null)[]): Language | null {
  const found = languages.filter((language) => language !== null);
  return found.length === 0 ? null : either(found);
}

function hasEmpty(language: Language): boolean {
  switch (language.kind) {
    case 'set':
      return false;
    case 'sequence':
      return language.parts.every(hasEmpty);
    case 'or':
      return language.parts.some(hasEmpty);
    case 'repeat':
      return language.least === 0 || hasEmpty(language.part);
  }
}

/** The language without the empty text. Null if nothing is left. */
function nonEmpty(language: Language): Language | null {
  switch (language.kind) {
    case 'set':
      return language;
    case 'sequence':
      return language.parts.length === 0 ? null : language;
    case 'or':
      return some(language.parts.map(nonEmpty));
    case 'repeat':
      return language.most === 0 ? null : { ...language, least: Math.max(1, language.least) };
  }
}
