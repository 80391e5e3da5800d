import { bind, integerArgument, softText, textArgument, withoutArguments } from './arguments.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import type { Filter } from './filter.js';
import { formatPercent } from './format-percent.js';
import { itemsOf } from './iteration.js';
import { toJson } from './json.js';
import { readFloat, readInteger, round, toFloat } from './numbers.js';
import { printed } from './printing.js';
import * as strings from './strings.js';
import { empty, Text } from './text.js';
import {
  type CallArguments,
  Dict,
  isNumeric,
  isTrue,
  List,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** Filters of strings and numbers. */
export const textFilters: readonly (readonly [string, Filter])[] = [
  ['abs', absolute],
  ['capitalize', ofText('capitalize', strings.capitalize)],
  ['center', center],
  ['d', initial],
  ['default', initial],
  ['e', escapeFilter],
  ['escape', escapeFilter],
  ['float', toFloatFilter],
  ['forceescape', withoutArguments('forceescape', (value) => strings.escapeHtml(printed(value).plain()))],
  ['format', format],
  ['indent', indent],
  ['int', toInteger],
  ['lower', ofText('lower', strings.lower)],
  ['replace', replace],
  ['round', roundFilter],
  ['safe', withoutArguments('safe', (value) => printed(value).safe())],
  ['string', withoutArguments('string', softText)],
  ['title', ofText('title', title)],
  ['tojson', json],
  ['trim', trim],
  ['truncate', truncate],
  ['upper', ofText('upper', strings.upper)],
  ['urlencode', urlEncode],
  ['wordcount', withoutArguments('wordcount', (value) => wordCount(softText(value)))],
];

function ofText(name: string, change: (value: Text) => Text): Filter {
  return withoutArguments(name, (value) => change(softText(value)));
}

/** Refuses to put text into a text marked as safe, because Python would escape it. */
function refuseSafe(name: string, ...values: (Value | undefined)[]): void {
  if (values.some((value) => value instanceof Text && value.isSafe))
    throw new UnsupportedTemplateError(`the filter '${name}' of a text marked as safe is not supported`);
}

function absolute(value: Value, args: CallArguments): Value {
  bind('abs', args);
  if (value instanceof Undefined) throw new TemplateError("bad operand type for abs(): 'Undefined'");
  if (!isNumeric(value)) throw new TemplateError(`bad operand type for abs(): '${typeName(value)}'`);
  if (typeof value === 'number') return Math.abs(value);
  const integer = BigInt(value);
  return integer < 0n ? -integer : integer;
}

function center(value: Value, args: CallArguments, budget: Budget): Value {
  const width = integerArgument('center', bind('center', args, 'width=')[0], 80);
  refuseSafe('center', value);
  budget.spendText(Math.max(0, width));
  return strings.pad(softText(value), width, 'both', text(' '));
}

function initial(value: Value, args: CallArguments): Value {
  const [other = empty, boolean = false] = bind('default', args, 'default_value=', 'boolean=');
  return value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? other : value;
}

function escapeFilter(value: Value, args: CallArguments): Value {
  bind('escape', args);
  const whole = printed(value);
  return whole.isSafe ? whole : strings.escapeHtml(whole);
}

function format(value: Value, { positional, named }: CallArguments, budget: Budget): Value {
  if (positional.length > 0 && named.size > 0)
    throw new TemplateError("can't handle positional and keyword arguments at the same time");
  const values =
    named.size > 0 ? new Dict(Array.from(named, ([name, one]) => [text(name), one] as const)) : new Tuple(positional);
  return formatPercent(softText(value), values, budget);
}

function indent(value: Value, args: CallArguments): Value {
  const [width = 4n, first = false, blank = false] = bind('indent', args, 'width=', 'first=', 'blank=');
  if (!(value instanceof Text)) throw new TemplateError(`indent wants a string, found ${typeName(value)}`);
  refuseSafe('indent', value, width);
  const by = width instanceof Text ? width : text(' '.repeat(Math.max(0, integerArgument('indent', width))));
  const newline = text('\n');
  const lines = strings.splitLines(value.concat(newline), false);
  const indented = lines.map((line, i) =>
    i === 0 || (line.value === '' && !isTrue(blank)) ? line : Text.join([by, line]),
  );
  const whole = Text.join(indented, newline);
  return isTrue(first) ? Text.join([by, whole]) : whole;
}

function toInteger(value: Value, args: CallArguments): Value {
  const [other = 0n, base = 10n] = bind('int', args, 'default=', 'base=');
  if (value instanceof Undefined) value.fail();
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return other;
    if (!Number.isFinite(value)) throw new TemplateError('cannot convert float infinity to integer');
    return BigInt(Math.trunc(value));
  }
  if (isNumeric(value)) return BigInt(value);
  if (!(value instanceof Text)) return other;
  if (integerArgument('int', base) !== 10)
    throw new UnsupportedTemplateError("the argument 'base' of the filter 'int'");
  const integer = readInteger(value.value);
  if (integer !== undefined) return integer;
  const float = readFloat(value.value);
  return float === undefined || !Number.isFinite(float) ? other : BigInt(Math.trunc(float));
}

function toFloatFilter(value: Value, args: CallArguments): Value {
  const [other = 0] = bind('float', args, 'default=');
  if (value instanceof Undefined) value.fail();
  if (isNumeric(value)) return toFloat(value);
  const float = value instanceof Text ? readFloat(value.value) : undefined;
  return float === undefined ? other : float;
}

function roundFilter(value: Value, args: CallArguments): Value {
  const [precision = 0n, method = text('common')] = bind('round', args, 'precision=', 'method=');
  const how = textArgument('round', method).value;
  if (!['common', 'ceil', 'floor'].includes(how)) throw new TemplateError('method must be common, ceil or floor');
  if (value instanceof Undefined) value.fail();
  if (!isNumeric(value)) throw new TemplateError(`type ${typeName(value)} doesn't define __round__ method`);
  const digits = integerArgument('round', precision);
  if (how === 'common') {
    if (typeof value === 'number' && Math.abs(digits) > 400) return digits > 0 ? value : 0;
    return round(value, digits);
  }
  if (digits < 0 || digits > 22)
    throw new UnsupportedTemplateError(`round with the method ${how} and the precision ${digits}`);
  if (typeof value !== 'number') return toFloat(value);
  const scale = 10 ** digits;
  const scaled = toFloat(value) * scale;
  if (!Number.isFinite(scaled)) throw new TemplateError('cannot convert float infinity to integer');
  return Number(BigInt(how === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled))) / scale;
}

function replace(value: Value, args: CallArguments, budget: Budget): Value {
  const [old, by, count = null] = bind('replace', args, 'old', 'new', 'count=');
  const whole = printed(value).plain();
  budget.spendText(whole.length);
  const limit = count === null ? -1 : integerArgument('replace', count);
  return strings.replace(whole, printed(old!).value, printed(by!).plain(), limit);
}

function title(value: Text): Text {
  // Python's \s, and the other characters after which Jinja2 begins a word.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts them as white space
  const pattern = /([-\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000({[<]+)/g;
  const parts: Text[] = [];
  const push = (from: number, to: number) => {
    if (from >= to) return;
    const word = value.slice(from, to);
    const end = word.offsetOf(1);
    parts.push(strings.upper(word.slice(0, end)), strings.lower(word.slice(end)));
  };
  let from = 0;
  for (const { 0: gap, index } of value.value.matchAll(pattern)) {
    push(from, index);
    push(index, index + gap.length);
    from = index + gap.length;
  }
  push(from, value.length);
  return Text.join(parts);
}

function json(value: Value, args: CallArguments, budget: Budget): Value {
  const [ensureAscii = false, indent = null, separators = null, sortKeys = false] = bind(
    'tojson',
    args,
    ...['ensure_ascii=', 'indent=', 'separators=', 'sort_keys='],
  );
  let [itemSeparator, keySeparator] = [indent === null ? ', ' : ',', ': '];
  if (separators !== null) {
    const given = itemsOf(separators, budget).map((one) => textArgument('separators', one).value);
    if (given.length !== 2) throw new TemplateError('tojson: separators wants two strings');
    [itemSeparator, keySeparator] = given as [string, string];
  }
  const step =
    indent === null || indent instanceof Text
      ? (indent?.value ?? null)
      : ' '.repeat(Math.max(0, Math.min(1000, integerArgument('indent', indent))));
  return toJson(
    value,
    { ensureAscii: isTrue(ensureAscii), indent: step, itemSeparator, keySeparator, sortKeys: isTrue(sortKeys) },
    budget,
  );
}

function trim(value: Value, args: CallArguments): Value {
  const [chars = null] = bind('trim', args, 'chars=');
  return strings.strip(softText(value), chars === null ? null : textArgument('trim', chars).value);
}

function truncate(value: Value, args: CallArguments): Value {
  const [length, killWords = false, end = text('...'), leeway = null] = bind(
    'truncate',
    args,
    ...['length=', 'killwords=', 'end=', 'leeway='],
  );
  const whole = textArgument('truncate', value);
  const tail = textArgument('truncate', end);
  refuseSafe('truncate', whole, tail);
  const limit = integerArgument('truncate', length, 255);
  const slack = leeway === null ? 5 : integerArgument('truncate', leeway);
  if (limit < tail.pointCount) throw new TemplateError(`expected length >= ${tail.pointCount}, got ${limit}`);
  if (slack < 0) throw new TemplateError(`expected leeway >= 0, got ${slack}`);
  if (whole.pointCount <= limit + slack) return whole;
  const cut = whole.slice(0, whole.offsetOf(limit - tail.pointCount));
  return Text.join([isTrue(killWords) ? cut : strings.splitFromRight(cut, ' ', 1)[0]!, tail]);
}

function urlEncode(value: Value, args: CallArguments): Value {
  bind('urlencode', args);
  if (value instanceof Dict || value instanceof List || value instanceof Tuple)
    throw new UnsupportedTemplateError("the filter 'urlencode' of anything but a string is not supported");
  return printed(value)
    .plain()
    .map((part) =>
      encodeURIComponent(part)
        .replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
        .replaceAll('%2F', '/'),
    );
}

function wordCount(value: Text): bigint {
  return BigInt(Array.from(value.value.matchAll(/[\p{L}\p{N}_]+/gu)).length);
}
