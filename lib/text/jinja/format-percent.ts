import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { printfFloat } from './format-spec.js';
import { toFloat } from './numbers.js';
import { printed, represented } from './printing.js';
import { pad } from './strings.js';
import { Text } from './text.js';
import { Dict, isNumeric, List, Tuple, text, typeName, Undefined, type Value } from './values.js';

const conversion = /%(?:\(([^)]*)\))?([-#0 +]*)(\d+|\*)?(?:\.(\d*|\*))?[hlL]?(.|$)/gsu;

/** Python's `format % values`. */
export function formatPercent(format: Text, values: Value, budget: Budget): Text {
  if (format.isSafe) throw new UnsupportedTemplateError("'%' on a text marked as safe is not supported");
  budget.spendText(format.length);
  const isTuple = values instanceof Tuple;
  const given = isTuple ? values.items : [values];
  let used = 0;
  let usesNames = false;
  const next = (): Value => {
    if (used >= given.length) throw new TemplateError('not enough arguments for format string');
    return given[used++]!;
  };
  const parts: Text[] = [];
  let from = 0;
  for (const match of format.value.matchAll(conversion)) {
    const [whole, name, flags = '', width, precision, type = ''] = match;
    parts.push(format.slice(from, match.index));
    from = match.index + whole.length;
    if (type === '') throw new TemplateError('incomplete format');
    if (type === '%') {
      parts.push(format.slice(from - 1, from));
      continue;
    }
    if (width === '*' || precision === '*') throw new UnsupportedTemplateError("'*' in a % format is not supported");
    let value: Value;
    if (name !== undefined) {
      if (!(values instanceof Dict)) throw new TemplateError('format requires a mapping');
      const found = values.get(text(name));
      if (found === undefined) throw new TemplateError(`'${name}'`);
      value = found;
      usesNames = true;
    } else {
      value = next();
    }
    const digits = precision === undefined ? null : Number(precision || 0);
    parts.push(converted(value, type, flags, Number(width ?? 0), digits));
  }
  parts.push(format.slice(from));
  const isRest = used < given.length && !usesNames && !(values instanceof Dict || (!isTuple && values instanceof List));
  if (isRest) throw new TemplateError('not all arguments converted during string formatting');
  const result = Text.join(parts);
  budget.spendText(result.length);
  return result;
}

function converted(value: Value, type: string, flags: string, width: number, precision: number | null): Text {
  const isLeft = flags.includes('-');
  let body: Text;
  let zeros = 0;
  if (type === 's' || type === 'r') {
    const whole = type === 's' ? printed(value).plain() : represented(value);
    body = precision === null || precision >= whole.pointCount ? whole : whole.slice(0, whole.offsetOf(precision));
  } else if (type === 'c') {
    body = character(value);
  } else {
    const number = numberParts(value, type, flags, precision);
    const sign = number.isNegative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
    if (flags.includes('0') && !isLeft)
      zeros = Math.max(0, width - sign.length - number.prefix.length - number.digits.length);
    body = text(sign + number.prefix + '0'.repeat(zeros) + number.digits);
  }
  return pad(body, width, isLeft ? 'right' : 'left', text(' '));
}

function character(value: Value): Text {
  if (value instanceof Text && value.pointCount === 1) return value.plain();
  if (typeof value === 'bigint' && value >= 0n && value <= 0x10ffffn) return text(String.fromCodePoint(Number(value)));
  throw new TemplateError('%c requires int or char');
}

function numberParts(
  value: Value,
  type: string,
  flags: string,
  precision: number | null,
): { isNegative: boolean; prefix: string; digits: string } {
  if (value instanceof Undefined && 'diuoxXeEfFgG'.includes(type)) value.fail();
  if (!isNumeric(value)) {
    if ('diuoxXeEfFgG'.includes(type))
      throw new TemplateError(`%${type} format: a real number is required, not ${typeName(value)}`);
    throw new TemplateError(`unsupported format character '${type}'`);
  }
  if ('diuoxX'.includes(type)) {
    if (typeof value === 'number' && (!'diu'.includes(type) || !Number.isFinite(value)))
      throw new TemplateError(`%${type} format: an integer is required, not float`);
    const integer = typeof value === 'number' ? BigInt(Math.trunc(value)) : BigInt(value);
    const magnitude = integer < 0n ? -integer : integer;
    const digits = magnitude.toString(type === 'o' ? 8 : type.toLowerCase() === 'x' ? 16 : 10);
    const prefix = flags.includes('#') && 'oxX'.includes(type) ? `0${type}` : '';
    return {
      isNegative: integer < 0n,
      prefix,
      digits: (type === 'X' ? digits.toUpperCase() : digits).padStart(precision ?? 0, '0'),
    };
  }
  if ('eEfFgG'.includes(type)) {
    if (flags.includes('#')) throw new UnsupportedTemplateError("'#' in the format of a float is not supported");
    const float = toFloat(value);
    const isNegative = float < 0 || Object.is(float, -0);
    return { isNegative, prefix: '', digits: printfFloat(Math.abs(float), type, precision ?? 6) };
  }
  if (type === 'a') throw new UnsupportedTemplateError("the format '%a' is not supported");
  throw new TemplateError(`unsupported format character '${type}'`);
}
