import { bind, integerArgument, textArgument } from './arguments.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { itemsOf } from './iteration.js';
import * as strings from './strings.js';
import { empty, Text } from './text.js';
import { type CallArguments, List, Tuple, text, typeName, type Value } from './values.js';

/** A method of a string: `value.name(arguments)`. */
export type StringMethod = (value: Text, args: CallArguments, budget: Budget) => Value;

/** Methods that Python's str has and this engine does not. */
export const unsupportedStringMethods: ReadonlySet<string> = new Set([
  ...['casefold', 'encode', 'expandtabs', 'isidentifier', 'maketrans', 'translate'],
]);

/** The methods of strings but for those that format. */
export const stringMethods: ReadonlyMap<string, StringMethod> = new Map<string, StringMethod>([
  ['capitalize', withoutArguments('capitalize', strings.capitalize)],
  ['center', padding('center', 'both')],
  ['count', (value, args) => BigInt(occurrences(value, args))],
  ['endswith', affix('endswith')],
  ['find', search('find')],
  ['index', search('index')],
  ['isalnum', every('isalnum', /^[\p{L}\p{N}]+$/u)],
  ['isalpha', every('isalpha', /^\p{L}+$/u)],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII has control characters
  ['isascii', every('isascii', /^[\x00-\x7f]*$/)],
  ['isdecimal', every('isdecimal', /^\p{Nd}+$/u)],
  ['isdigit', numeric('isdigit', /\p{No}/u)],
  ['islower', withoutArguments('islower', (value) => strings.hasOnlyCase(value.value, 'lower'))],
  ['isnumeric', numeric('isnumeric', /[\p{No}\p{Nl}\p{Script=Han}]/u)],
  ['isprintable', every('isprintable', /^(?:[^\p{C}\p{Z}]| )*$/u)],
  ['isspace', withoutArguments('isspace', ({ value }) => value !== '' && [...value].every(strings.isSpace))],
  ['istitle', withoutArguments('istitle', ({ value }) => strings.isTitle(value))],
  ['isupper', withoutArguments('isupper', (value) => strings.hasOnlyCase(value.value, 'upper'))],
  ['join', join],
  ['ljust', padding('ljust', 'right')],
  ['lower', withoutArguments('lower', strings.lower)],
  ['lstrip', strip('lstrip', 'left')],
  ['partition', partition('partition')],
  ['removeprefix', removeAffix('removeprefix')],
  ['removesuffix', removeAffix('removesuffix')],
  ['replace', replace],
  ['rfind', search('rfind')],
  ['rindex', search('rindex')],
  ['rjust', padding('rjust', 'left')],
  ['rpartition', partition('rpartition')],
  ['rsplit', split('rsplit')],
  ['rstrip', strip('rstrip', 'right')],
  ['split', split('split')],
  ['splitlines', splitLines],
  ['startswith', affix('startswith')],
  ['strip', strip('strip', 'both')],
  ['swapcase', withoutArguments('swapcase', strings.swapCase)],
  ['title', withoutArguments('title', strings.title)],
  ['upper', withoutArguments('upper', strings.upper)],
  ['zfill', zeroFill],
]);

/** A text marked as `safe` stays marked if nothing is inserted. Python would escape inserted text. */
function kept(value: Text, result: Text): Text {
  return value.isSafe ? result.safe() : result.plain();
}

function refuseSafe(name: string, ...values: (Value | undefined)[]): void {
  if (values.some((value) => value instanceof Text && value.isSafe))
    throw new UnsupportedTemplateError(`${name}() of a text marked as safe is not supported`);
}

function withoutArguments(name: string, make: (value: Text) => Text | boolean): StringMethod {
  return (value, args) => {
    bind(name, args);
    const result = make(value);
    return result instanceof Text ? kept(value, result) : result;
  };
}

function every(name: string, pattern: RegExp): StringMethod {
  return withoutArguments(name, ({ value }) => pattern.test(value));
}

/**
 * A method about digits. It refuses the characters of `unclear`: JavaScript does not tell whether these have a value.
 */
function numeric(name: string, unclear: RegExp): StringMethod {
  return withoutArguments(name, ({ value }) => {
    if (unclear.test(value))
      throw new UnsupportedTemplateError(`${name}() of other characters than decimal digits is not supported`);
    return /^\p{Nd}+$/u.test(value);
  });
}

function strip(name: string, side: 'both' | 'left' | 'right'): StringMethod {
  return (value, args) => {
    const [chars = null] = bind(name, args, 'chars=', '/');
    return kept(value, strings.strip(value, chars === null ? null : textArgument(name, chars).value, side));
  };
}

function split(name: 'split' | 'rsplit'): StringMethod {
  return (value, args) => {
    const [separator = null, limit] = bind(name, args, 'sep=', 'maxsplit=');
    const by = separator === null ? null : textArgument(name, separator).value;
    const parts = (name === 'split' ? strings.split : strings.splitFromRight)(
      value,
      by,
      integerArgument(name, limit, -1),
    );
    return new List(parts.map((part) => kept(value, part)));
  };
}

function splitLines(value: Text, args: CallArguments): Value {
  const [keepsEnds = false] = bind('splitlines', args, 'keepends=');
  const isKept = integerArgument('splitlines', keepsEnds) !== 0;
  return new List(strings.splitLines(value, isKept).map((line) => kept(value, line)));
}

function partition(name: 'partition' | 'rpartition'): StringMethod {
  return (value, args) => {
    const separator = textArgument(name, bind(name, args, 'sep', '/')[0]).value;
    if (separator === '') throw new TemplateError('empty separator');
    const { value: source } = value;
    const at = name === 'partition' ? source.indexOf(separator) : source.lastIndexOf(separator);
    const cut = (from: number, to?: number) => kept(value, value.slice(from, to));
    if (at < 0) return new Tuple(name === 'partition' ? [value, empty, empty] : [empty, empty, value]);
    const end = at + separator.length;
    return new Tuple([cut(0, at), cut(at, end), cut(end)]);
  };
}

function replace(value: Text, args: CallArguments): Value {
  const [old, by, count] = bind('replace', args, 'old', 'new', 'count=', '/');
  refuseSafe('replace', value, by);
  const limit = integerArgument('replace', count, -1);
  return strings.replace(value, textArgument('replace', old).value, textArgument('replace', by), limit);
}

function join(separator: Text, args: CallArguments, budget: Budget): Value {
  refuseSafe('join', separator);
  const items = itemsOf(bind('join', args, 'iterable', '/')[0]!, budget).map((item, i) => {
    if (item instanceof Text) return item;
    throw new TemplateError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
  });
  return Text.join(items, separator);
}

/** The part that find(), count() and the like search, in UTF-16 units. Null if it is outside of the text. */
function bounds(name: string, value: Text, start: Value | undefined, end: Value | undefined): [number, number] | null {
  const count = value.pointCount;
  const place = (given: Value | undefined, initial: number) => {
    const at = given === undefined || given === null ? initial : integerArgument(name, given);
    return at < 0 ? Math.max(0, at + count) : at;
  };
  const from = place(start, 0);
  const to = Math.min(count, place(end, count));
  return from > count || from > to ? null : [value.offsetOf(from), value.offsetOf(to)];
}

function search(name: 'find' | 'rfind' | 'index' | 'rindex'): StringMethod {
  return (value, args) => {
    const [wanted, start, end] = bind(name, args, 'sub', 'start=', 'end=', '/');
    const sub = textArgument(name, wanted).value;
    const range = bounds(name, value, start, end);
    let at = -1;
    if (range) {
      const part = value.value.slice(range[0], range[1]);
      at = name.startsWith('r') ? part.lastIndexOf(sub) : part.indexOf(sub);
    }
    if (at >= 0) return BigInt(value.pointOf(range![0] + at));
    if (name.endsWith('index')) throw new TemplateError('substring not found');
    return -1n;
  };
}

function occurrences(value: Text, args: CallArguments): number {
  const [wanted, start, end] = bind('count', args, 'sub', 'start=', 'end=', '/');
  const sub = textArgument('count', wanted).value;
  const range = bounds('count', value, start, end);
  if (!range) return 0;
  const part = value.slice(range[0], range[1]);
  return sub === '' ? part.pointCount + 1 : part.value.split(sub).length - 1;
}

function affix(name: 'startswith' | 'endswith'): StringMethod {
  return (value, args) => {
    const [wanted, start, end] = bind(name, args, 'prefix', 'start=', 'end=', '/');
    const all = wanted instanceof Tuple ? wanted.items : [wanted!];
    const range = bounds(name, value, start, end);
    return all.some((one) => {
      const sub = textArgument(name, one).value;
      return (
        range !== null && value.value.slice(range[0], range[1])[name === 'startswith' ? 'startsWith' : 'endsWith'](sub)
      );
    });
  };
}

function removeAffix(name: 'removeprefix' | 'removesuffix'): StringMethod {
  return (value, args) => {
    const { value: sub } = textArgument(name, bind(name, args, 'prefix', '/')[0]);
    const { value: source } = value;
    if (sub === '') return value;
    if (name === 'removeprefix') return source.startsWith(sub) ? kept(value, value.slice(sub.length)) : value;
    return source.endsWith(sub) ? kept(value, value.slice(0, source.length - sub.length)) : value;
  };
}

function padding(name: string, side: 'left' | 'right' | 'both'): StringMethod {
  return (value, args, budget) => {
    const [width, fill = text(' ')] = bind(name, args, 'width', 'fillchar=', '/');
    refuseSafe(name, value, fill);
    const count = integerArgument(name, width);
    budget.spendText(Math.max(0, count));
    return strings.pad(value, count, side, textArgument(name, fill));
  };
}

function zeroFill(value: Text, args: CallArguments, budget: Budget): Value {
  const count = integerArgument('zfill', bind('zfill', args, 'width', '/')[0]);
  budget.spendText(Math.max(0, count));
  const signs = /^[-+]/.test(value.value) ? 1 : 0;
  const filled = strings.pad(value.slice(signs), count - signs, 'left', text('0'));
  return kept(value, Text.join([value.slice(0, signs), filled]));
}
