import { bind, integerArgument } from './arguments.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { formatMethods } from './format-method.js';
import { printed } from './printing.js';
import { stringMethods, unsupportedStringMethods } from './string-methods.js';
import { reverse } from './strings.js';
import { empty, Text } from './text.js';
import {
  type CallArguments,
  Callable,
  Dict,
  isEqual,
  isNumeric,
  List,
  Namespace,
  Range,
  TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js';

const methodsOfStrings = new Map([...stringMethods, ...formatMethods({ attributeOf, itemOf })]);

/** Jinja2's `object.name`: an attribute if there is one, else an item, else undefined. */
export function attributeOf(object: Value, name: string, budget: Budget): Value {
  if (object instanceof Undefined) object.fail();
  const found = pythonAttribute(object, name, budget);
  if (found !== undefined) return found;
  if (object instanceof Dict) {
    const value = object.get(new Text(name));
    if (value !== undefined) return value;
  }
  return new Undefined(`'${typeName(object)} object' has no attribute '${name}'`);
}

/** Jinja2's `object[key]`: an item if there is one, else an attribute, else undefined. */
export function itemOf(object: Value, key: Value, budget: Budget): Value {
  if (object instanceof Undefined) object.fail();
  const item = pythonItem(object, key);
  if (item !== undefined) return item;
  if (!(key instanceof Text)) return new Undefined(`${typeName(object)} object has no element ${printed(key).value}`);
  const attribute = pythonAttribute(object, key.value, budget);
  if (attribute !== undefined) return attribute;
  return new Undefined(`'${typeName(object)} object' has no attribute '${key.value}'`);
}

/** Python's object[key]. Undefined if the object has no such item or does not take such a key. */
function pythonItem(object: Value, key: Value): Value | undefined {
  if (object instanceof Dict) {
    // Lists and dicts cannot be hashed, so they are no keys.
    if (key instanceof List || key instanceof Dict) return undefined;
    return object.get(key);
  }
  if (typeof key !== 'bigint' && typeof key !== 'boolean') return undefined;
  const place = (length: number) => {
    const at = Number(key);
    const index = at < 0 ? at + length : at;
    return index >= 0 && index < length ? index : -1;
  };
  if (object instanceof List || object instanceof Tuple) return object.items[place(object.items.length)];
  if (object instanceof Text) {
    const index = place(object.pointCount);
    return index < 0 ? undefined : object.point(index);
  }
  if (object instanceof Range) {
    const index = place(object.length);
    return index < 0 ? undefined : object.at(index);
  }
  return undefined;
}

/** Python's getattr, for the types that templates meet. Undefined if there is no such attribute. */
function pythonAttribute(object: Value, name: string, budget: Budget): Value | undefined {
  if (object instanceof Namespace) return object.attributes.get(name);
  // Jinja2's sandbox hides such names from templates.
  if (name.startsWith('_')) return undefined;
  if (object instanceof TemplateObject) return object.attribute(name);
  if (object instanceof Text) {
    const method = methodsOfStrings.get(name);
    if (method) return new Callable(name, (args) => method(object, args, budget));
    if (unsupportedStringMethods.has(name)) throw new UnsupportedTemplateError(`the string method ${name}()`);
    return undefined;
  }
  if (object instanceof Dict) return dictAttribute(object, name);
  if (object instanceof List || object instanceof Tuple) return listAttribute(object, name);
  if (object instanceof Range) {
    if (name === 'start' || name === 'stop' || name === 'step') return object[name];
    return refused(object, name, ['count', 'index']);
  }
  if (isNumeric(object)) return refused(object, name, numberAttributes);
  if (object instanceof View) return refused(object, name, ['isdisjoint', 'mapping']);
  return undefined;
}

const numberAttributes: readonly string[] = [
  ...['real', 'imag', 'numerator', 'denominator', 'conjugate', 'bit_length', 'bit_count', 'to_bytes', 'from_bytes'],
  ...['as_integer_ratio', 'is_integer', 'hex', 'fromhex'],
];

function refused(object: Value, name: string, names: readonly string[]): undefined {
  if (names.includes(name)) throw new UnsupportedTemplateError(`the attribute ${name} of a ${typeName(object)}`);
  return undefined;
}

const dictChanges: readonly string[] = ['clear', 'pop', 'popitem', 'setdefault', 'update'];
const listChanges: readonly string[] = ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove'];

function dictAttribute(dict: Dict, name: string): Value | undefined {
  if (name === 'items' || name === 'keys' || name === 'values')
    return new Callable(name, (args) => {
      bind(name, args);
      return new View(name, dict);
    });
  if (name === 'get')
    return new Callable(name, (args) => {
      const [key, initial = null] = bind(name, args, 'key', 'default=', '/');
      const value = dict.get(key!);
      return value === undefined ? initial : value;
    });
  if (name === 'copy') return copier(name, new Dict(dict.entries(), dict.origin));
  if (dictChanges.includes(name)) return unsafe(dict, name);
  return refused(dict, name, ['fromkeys']);
}

function listAttribute(list: List | Tuple, name: string): Value | undefined {
  if (name === 'count')
    return new Callable(name, (args) => {
      const [wanted] = bind(name, args, 'value', '/');
      return BigInt(list.items.filter((item) => isEqual(item, wanted!)).length);
    });
  if (name === 'index')
    return new Callable(name, (args) => {
      const [wanted, start, stop] = bind(name, args, 'value', 'start=', 'stop=', '/');
      const { length } = list.items;
      const [from, to] = sliceBounds(integerArgument(name, start, 0), integerArgument(name, stop, length), length);
      const at = list.items.findIndex((item, i) => i >= from && i < to && isEqual(item, wanted!));
      if (at < 0) throw new TemplateError(`${printed(wanted!).value} is not in ${typeName(list)}`);
      return BigInt(at);
    });
  if (list instanceof Tuple) {
    const field = list.fields.indexOf(name);
    return field < 0 ? undefined : list.items[field];
  }
  if (name === 'copy') return copier(name, new List(list.items, list.origin));
  return listChanges.includes(name) ? unsafe(list, name) : undefined;
}

function copier(name: string, copy: Value): Callable {
  return new Callable(name, (args) => {
    bind(name, args);
    return copy;
  });
}

/** Jinja2's sandbox lets no template change lists and dicts. */
function unsafe(object: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`);
}

function sliceBounds(start: number, stop: number, length: number): [number, number] {
  const place = (at: number) => Math.min(length, at < 0 ? Math.max(0, at + length) : at);
  return [place(start), place(stop)];
}

/** Python's object[start:stop:step]. */
export function sliceOf(object: Value, start: Value, stop: Value, step: Value, budget: Budget): Value {
  if (object instanceof Undefined) object.fail();
  const isSliced =
    object instanceof Text || object instanceof List || object instanceof Tuple || object instanceof Range;
  // Jinja2 prints nothing for a slice of a literal dict, and fails for any other.
  if (!isSliced) throw new UnsupportedTemplateError(`a slice of a ${typeName(object)}`);
  const length =
    object instanceof Text ? object.pointCount : object instanceof Range ? object.length : object.items.length;
  const number = (value: Value) => {
    if (value === null || typeof value === 'bigint' || typeof value === 'boolean') return value;
    throw new TemplateError(`slice indices must be integers or None, found ${typeName(value)}`);
  };
  const given = [number(start), number(stop), number(step)] as const;
  const by = given[2] === null ? 1 : integerArgument('slice', given[2]);
  if (by === 0) throw new TemplateError('slice step cannot be zero');
  const place = (value: Value, initial: number, low: number, high: number) => {
    if (value === null) return initial;
    const at = integerArgument('slice', value);
    return Math.min(high, Math.max(low, at < 0 ? at + length : at));
  };
  const from = by > 0 ? place(given[0], 0, 0, length) : place(given[0], length - 1, -1, length - 1);
  const to = by > 0 ? place(given[1], length, 0, length) : place(given[1], -1, -1, length - 1);
  const count = Math.max(0, Math.ceil((to - from) / by));
  budget.spend(count >>> 6);
  if (object instanceof Range)
    return new Range(
      object.start + object.step * BigInt(from),
      object.start + object.step * BigInt(to),
      object.step * BigInt(by),
    );
  if (object instanceof Text) {
    if (count === 0) return empty;
    if (by === 1) return object.slice(object.offsetOf(from), object.offsetOf(to));
    if (by === -1 && count === length) return reverse(object);
    budget.spend(count);
    const whole = Text.join(Array.from({ length: count }, (_, i) => object.point(from + i * by)));
    return object.isSafe ? whole.safe() : whole;
  }
  const items =
    by === 1 ? object.items.slice(from, to) : Array.from({ length: count }, (_, i) => object.items[from + i * by]!);
  return object instanceof List ? new List(items, object.origin) : new Tuple(items);
}

/** Python's value(...). */
export function callValue(value: Value, args: CallArguments): Value {
  if (value instanceof Callable) return value.call(args);
  if (value instanceof Undefined) value.fail();
  if (value instanceof TemplateObject && value.call) return value.call(args);
  throw new TemplateError(`'${typeName(value)}' object is not callable`);
}
