import type { BinaryOperator } from './ast.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import type { Numeric } from './values.js';

// Enough for any count or id. Longer integers only cost time.
const maxBits = 1 << 16;

/** Python's arithmetic. Integers are exact; an integer and a float are computed in floats. */
export function arithmetic(operator: BinaryOperator, left: Numeric, right: Numeric): bigint | number {
  const a = typeof left === 'boolean' ? BigInt(left) : left;
  const b = typeof right === 'boolean' ? BigInt(right) : right;
  if (typeof a === 'bigint' && typeof b === 'bigint') return ofIntegers(operator, a, b);
  return ofFloats(operator, toFloat(a), toFloat(b));
}

function ofIntegers(operator: BinaryOperator, a: bigint, b: bigint): bigint | number {
  switch (operator) {
    case '+':
      return bounded(a + b);
    case '-':
      return bounded(a - b);
    case '*':
      return bounded(a * b);
    case '/':
      if (b === 0n) throw new TemplateError('division by zero');
      return divide(a, b);
    case '//':
    case '%': {
      if (b === 0n) throw new TemplateError('integer division or modulo by zero');
      const rest = a % b;
      const isShifted = rest !== 0n && rest < 0n !== b < 0n;
      if (operator === '%') return isShifted ? rest + b : rest;
      return isShifted ? a / b - 1n : a / b;
    }
    case '**':
      if (b < 0n) return ofFloats('**', toFloat(a), toFloat(b));
      if (b * BigInt(a.toString(2).length) > BigInt(maxBits)) throw tooLarge();
      return bounded(a ** b);
  }
}

function ofFloats(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      if (b === 0) throw new TemplateError('float division by zero');
      return a / b;
    case '//': {
      if (b === 0) throw new TemplateError('float floor division by zero');
      const quotient = (a - modulo(a, b)) / b;
      const floor = Math.floor(quotient);
      return quotient - floor > 0.5 ? floor + 1 : quotient === 0 ? 0 * (a / b) : floor;
    }
    case '%':
      if (b === 0) throw new TemplateError('float modulo');
      return modulo(a, b);
    case '**': {
      if (a === 0 && b < 0) throw new TemplateError('0.0 cannot be raised to a negative power');
      if (a < 0 && !Number.isInteger(b) && Number.isFinite(b))
        throw new UnsupportedTemplateError('complex numbers are not supported');
      // Python's, unlike JavaScript's, is 1 whatever the exponent.
      if (a === 1 || (a === -1 && !Number.isFinite(b) && !Number.isNaN(b))) return 1;
      const power = a ** b;
      if (!Number.isFinite(power) && Number.isFinite(a) && Number.isFinite(b))
        throw new TemplateError('Numerical result out of range');
      return power;
    }
  }
}

function modulo(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 ? -0 : 0;
  return rest < 0 !== b < 0 ? rest + b : rest;
}

/** The nearest float of a quotient. */
function divide(a: bigint, b: bigint): number {
  const limit = 2n ** 53n;
  if (a <= limit && a >= -limit && b <= limit && b >= -limit) return Number(a) / Number(b);
  const negative = a < 0n !== b < 0n;
  const [numerator, denominator] = [a < 0n ? -a : a, b < 0n ? -b : b];
  // 64 bits of the quotient are enough to round it once. The last bit is set if any bit after it would be.
  const shift = BigInt(64 - (numerator.toString(2).length - denominator.toString(2).length));
  const scaled = shift >= 0n ? numerator << shift : numerator;
  const divisor = shift >= 0n ? denominator : denominator << -shift;
  const quotient = (scaled / divisor) | (scaled % divisor === 0n ? 0n : 1n);
  const value = scaledFloat(quotient, -Number(shift));
  return negative ? -value : value;
}

/** mantissa * 2 ** exponent; the mantissa has 64 or 65 bits. */
function scaledFloat(mantissa: bigint, exponent: number): number {
  const value = Number(mantissa) * 2 ** Math.max(exponent, -1000);
  if (!Number.isFinite(value)) throw new TemplateError('integer division result too large for a float');
  if (exponent < -1000) throw new UnsupportedTemplateError('a quotient this small is not supported');
  return value;
}

/** @throws TemplateError for an integer that no float holds */
export function toFloat(value: Numeric): number {
  const float = Number(value);
  if (typeof value === 'bigint' && !Number.isFinite(float))
    throw new TemplateError('int too large to convert to float');
  return float;
}

function bounded(value: bigint): bigint {
  if (value > 2n ** BigInt(maxBits) || value < -(2n ** BigInt(maxBits))) throw tooLarge();
  return value;
}

function tooLarge(): TemplateError {
  return new TemplateError(`an integer has more than ${maxBits} bits`);
}

/** Python's repr of a float. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [digits, exponent] = shortest(value);
  const sign = value < 0 ? '-' : '';
  if (exponent < -4 || exponent >= 16) return sign + exponentText(digits, exponent, 'e');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** d.ddde+XX */
export function exponentText(digits: string, exponent: number, letter: string): string {
  const sign = exponent < 0 ? '-' : '+';
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
  return `${digits[0]}${fraction}${letter}${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

/** The fewest digits that read as this float, and the exponent of the first. */
function shortest(value: number): [string, number] {
  const [mantissa, exponent] = Math.abs(value).toExponential().split('e') as [string, string];
  return [mantissa.replace('.', ''), Number(exponent)];
}

/**
 * |value| * 10 ** digits, rounded to an integer, halves to even, from the exact value.
 *
 * @example scaledInteger(2.5, 0)  // 2n
 */
export function scaledInteger(value: number, digits: number): bigint {
  const [mantissa, exponent] = parts(Math.abs(value));
  let numerator = mantissa * (digits > 0 ? 10n ** BigInt(digits) : 1n);
  let denominator = digits < 0 ? 10n ** BigInt(-digits) : 1n;
  if (exponent > 0) numerator <<= BigInt(exponent);
  else denominator <<= BigInt(-exponent);
  return divideHalfEven(numerator, denominator);
}

/** a / b for numbers that are not negative, rounded, halves to even. */
export function divideHalfEven(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  const twice = (a % b) * 2n;
  return twice > b || (twice === b && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

/** A float that is not negative, as mantissa * 2 ** exponent. */
function parts(value: number): [bigint, number] {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const whole = bits.getBigUint64(0);
  const exponent = Number(whole >> 52n);
  const fraction = whole & (2n ** 52n - 1n);
  return exponent === 0 ? [fraction, -1074] : [fraction | (2n ** 52n), exponent - 1075];
}

/** Python's round(value, digits). */
export function round(value: Numeric, digits: number): bigint | number {
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || digits > 323) return value;
    if (digits < -308) return value < 0 ? -0 : 0;
    const magnitude = Number(`${scaledInteger(value, digits)}e${-digits}`);
    return value < 0 || Object.is(value, -0) ? -magnitude : magnitude;
  }
  const integer = BigInt(value);
  if (digits >= 0) return integer;
  if (digits < -maxBits) return 0n;
  const unit = 10n ** BigInt(-digits);
  const rounded = divideHalfEven(integer < 0n ? -integer : integer, unit) * unit;
  return integer < 0n ? -rounded : rounded;
}

const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*';
const integerPattern = new RegExp(`^${space}([-+]?)(\\d+(?:_\\d+)*)${space}$`);
const floatPattern = new RegExp(
  `^${space}([-+]?)(?:(inf|infinity|nan)|((?:\\d+(?:_\\d+)*)?\\.?(?:(?<=\\.)\\d+(?:_\\d+)*)?(?:(?<=[\\d.])e[-+]?\\d+(?:_\\d+)*)?))${space}$`,
  'i',
);

/** Python's int(text). Undefined if the text is no integer. */
export function readInteger(source: string): bigint | undefined {
  const match = integerPattern.exec(source);
  if (!match) return undefined;
  const value = BigInt(match[2]!.replaceAll('_', ''));
  return match[1] === '-' ? -value : value;
}

/** Python's float(text). Undefined if the text is no float. */
export function readFloat(source: string): number | undefined {
  const match = floatPattern.exec(source);
  if (!match) return undefined;
  const sign = match[1] === '-' ? -1 : 1;
  if (match[2]) return sign * (/nan/i.test(match[2]) ? Number.NaN : Number.POSITIVE_INFINITY);
  const digits = match[3]!.replaceAll('_', '');
  return /\d/.test(digits) && !/^\.?e/i.test(digits) ? sign * Number(digits) : undefined;
}
