import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { exponentText, floatText, scaledInteger, toFloat } from './numbers.js';
import { printed } from './printing.js';
import { pad } from './strings.js';
import { Text } from './text.js';
import { isNumeric, type Numeric, text, typeName, type Value } from './values.js';

interface Spec {
  fill: string;
  align: string;
  sign: string;
  isAlternate: boolean;
  width: number;
  grouping: string;
  precision: number | null;
  type: string;
}

const specPattern = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d{1,6})?([,_])?(?:\.(\d{1,6}))?([a-zA-Z%])?$/su;

/** Python's format(value, spec). */
export function formatValue(value: Value, source: string): Text {
  if (source === '') return printed(value);
  const match = specPattern.exec(source);
  if (!match) throw new TemplateError(`Invalid format specifier '${source}'`);
  const [, fill, align, sign, alternate, zero, width, grouping, precision, type] = match;
  const spec: Spec = {
    fill: fill ?? (zero ? '0' : ' '),
    align: align ?? (zero ? '=' : ''),
    sign: sign ?? '-',
    isAlternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping: grouping ?? '',
    precision: precision === undefined ? null : Number(precision),
    type: type ?? '',
  };
  if (value instanceof Text) return formatText(value, spec, source, sign !== undefined);
  if (isNumeric(value)) return text(formatNumber(value, spec));
  throw new TemplateError(`unsupported format string passed to ${typeName(value)}.__format__`);
}

function formatText(value: Text, spec: Spec, source: string, hasSign: boolean): Text {
  if ((spec.type !== '' && spec.type !== 's') || hasSign || spec.isAlternate || spec.grouping)
    throw new TemplateError(`Invalid format specifier '${source}' for a str`);
  if (spec.align === '=' && spec.fill !== '0')
    throw new TemplateError("'=' alignment not allowed in string format specifier");
  const count = spec.precision;
  const cut = count === null || count >= value.pointCount ? value : value.slice(0, value.offsetOf(count));
  const side = spec.align === '>' ? 'left' : spec.align === '^' ? 'both' : 'right';
  if (side !== 'both') return pad(cut, spec.width, side, text(spec.fill));
  return centered(cut, spec.width, spec.fill);
}

/** Unlike str.center, a format puts the odd fill character at the right. */
function centered(value: Text, width: number, fill: string): Text {
  const missing = Math.max(0, width - value.pointCount);
  const left = missing >> 1;
  return Text.join([text(fill.repeat(left)), value, text(fill.repeat(missing - left))]);
}

function formatNumber(value: Numeric, spec: Spec): string {
  const isInteger = typeof value !== 'number';
  const isNegative = isInteger ? BigInt(value) < 0n : value < 0 || Object.is(value, -0);
  const digits =
    isInteger && 'bcdoxX'.includes(spec.type || 'd')
      ? integerDigits(BigInt(value), spec)
      : floatDigits(Math.abs(toFloat(value)), spec, isInteger);
  const sign = isNegative ? '-' : spec.sign === '-' ? '' : spec.sign;
  const prefix = spec.isAlternate && 'boxX'.includes(spec.type) && spec.type !== '' ? `0${spec.type}` : '';
  const grouped = spec.grouping ? group(digits, spec, sign.length + prefix.length) : digits;
  const body = sign + prefix + grouped;
  const missing = spec.width - Array.from(body).length;
  if (missing <= 0) return body;
  if (spec.align === '=') return sign + prefix + spec.fill.repeat(missing) + grouped;
  if (spec.align === '<') return body + spec.fill.repeat(missing);
  const right = spec.align === '^' ? missing - (missing >> 1) : 0;
  return spec.fill.repeat(missing - right) + body + spec.fill.repeat(right);
}

function integerDigits(value: bigint, spec: Spec): string {
  if (spec.precision !== null) throw new TemplateError('Precision not allowed in integer format specifier');
  const magnitude = value < 0n ? -value : value;
  if (spec.type === 'c') {
    if (value < 0n || value > 0x10ffffn) throw new TemplateError('%c arg not in range(0x110000)');
    return String.fromCodePoint(Number(value));
  }
  const bases: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 };
  const digits = magnitude.toString(bases[spec.type] ?? 10);
  return spec.type === 'X' ? digits.toUpperCase() : digits;
}

function floatDigits(value: number, spec: Spec, isInteger: boolean): string {
  const { type } = spec;
  if (type === 'n') throw new UnsupportedTemplateError("the format 'n' is not supported");
  if (!'eEfFgG%'.includes(type)) throw new TemplateError(`Unknown format code '${type}' for object of type 'float'`);
  if (type === '' && !isInteger) {
    if (spec.precision === null) return floatText(value);
    return generalDigits(value, spec.precision || 1, true, spec.isAlternate);
  }
  if (spec.isAlternate) throw new UnsupportedTemplateError("'#' in the format of a float is not supported");
  return printfFloat(value, type === '%' ? '%' : type, spec.precision ?? 6);
}

/** The digits of |value| as C's printf writes them for e, f, g and their capitals, and Python's `%`. */
export function printfFloat(value: number, type: string, precision: number): string {
  if (!Number.isFinite(value)) {
    const word = Number.isNaN(value) ? 'nan' : 'inf';
    return (type >= 'A' && type <= 'Z' ? word.toUpperCase() : word) + (type === '%' ? '%' : '');
  }
  if (precision > 1000) throw new UnsupportedTemplateError('a precision above 1000 is not supported');
  const lower = type.toLowerCase();
  if (type === '%') return `${fixed(value * 100, precision)}%`;
  if (lower === 'f') return fixed(value, precision);
  const digits =
    lower === 'e' ? exponential(value, precision, 'e') : generalDigits(value, precision || 1, false, false);
  return type === lower ? digits : digits.toUpperCase();
}

function fixed(value: number, precision: number): string {
  const digits = scaledInteger(value, precision)
    .toString()
    .padStart(precision + 1, '0');
  if (precision === 0) return digits;
  return `${digits.slice(0, -precision)}.${digits.slice(-precision)}`;
}

function exponential(value: number, precision: number, letter: string): string {
  const [digits, exponent] = significant(value, precision + 1);
  return exponentText(digits, exponent, letter);
}

/** The first `count` significant digits, and the exponent of the first one. */
function significant(value: number, count: number): [string, number] {
  if (value === 0) return ['0'.repeat(count), 0];
  let exponent = Number(value.toExponential().split('e')[1]);
  let digits = scaledInteger(value, count - 1 - exponent).toString();
  // Rounding up may have added a digit.
  if (digits.length > count) {
    exponent++;
    digits = scaledInteger(value, count - 1 - exponent).toString();
  }
  return [digits, exponent];
}

function generalDigits(value: number, precision: number, keepsPoint: boolean, isAlternate: boolean): string {
  if (isAlternate) throw new UnsupportedTemplateError("'#' in the format of a float is not supported");
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : 'inf';
  const [digits, exponent] = significant(value, precision);
  const limit = keepsPoint ? precision - 1 : precision;
  if (exponent < -4 || exponent >= limit) return exponentText(digits.replace(/0+$/, '') || '0', exponent, 'e');
  const whole =
    exponent < 0
      ? `0.${'0'.repeat(-exponent - 1)}${digits}`
      : `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
  const trimmed = whole.replace(/0+$/, '').replace(/\.$/, '');
  return keepsPoint && !trimmed.includes('.') ? `${trimmed}.0` : trimmed;
}

/** Puts a separator at every third digit, or every fourth in bases 2, 8 and 16. */
function group(digits: string, spec: Spec, prefixLength: number): string {
  const every = 'boxX'.includes(spec.type) && spec.type !== '' ? 4 : 3;
  if (spec.grouping === ',' && every === 4) throw new TemplateError(`Cannot specify ',' with '${spec.type}'.`);
  if (spec.align === '=' && spec.fill === '0' && spec.width > digits.length + prefixLength)
    throw new UnsupportedTemplateError('zeros with separators in a format are not supported');
  const [, whole, rest] = /^([\da-fA-F]*)(.*)$/s.exec(digits)!;
  let result = '';
  for (let i = 0; i < whole!.length; i++) {
    if (i > 0 && (whole!.length - i) % every === 0) result += spec.grouping;
    result += whole![i];
  }
  return result + rest;
}
