import { TemplateError } from './failure.js';
import { type Origin, Text } from './text.js';

/**
 * The values that a template computes with. Python's int is a bigint, its float a number; None is null.
 */
export type Value =
  | null
  | boolean
  | bigint
  | number
  | Text
  | List
  | Tuple
  | Dict
  | View
  | Range
  | Sequence
  | Undefined
  | Namespace
  | Callable
  | TemplateObject;

/** The arguments of a call. */
export interface CallArguments {
  positional: readonly Value[];
  named: ReadonlyMap<string, Value>;
}

export class List {
  readonly items: readonly Value[];
  /** Where the list came from: what is written around its items came from there too. */
  readonly origin: Origin;

  constructor(items: readonly Value[], origin: Origin = 0) {
    if (items.length > maxItems) throw new TemplateError(`a list has more than ${maxItems} items`);
    this.items = items;
    this.origin = origin;
  }
}

/** The most items a list may have. */
export const maxItems: number = 2 ** 24;

export class Tuple {
  readonly items: readonly Value[];
  /** The names of a named tuple's items. */
  readonly fields: readonly string[];

  constructor(items: readonly Value[], fields: readonly string[] = []) {
    this.items = items;
    this.fields = fields;
  }
}

export class Dict {
  readonly origin: Origin;
  readonly #entries = new Map<unknown, { key: Value; value: Value }>();

  constructor(entries: Iterable<readonly [Value, Value]> = [], origin: Origin = 0) {
    for (const [key, value] of entries) this.set(key, value);
    this.origin = origin;
  }

  get size(): number {
    return this.#entries.size;
  }

  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    const known = this.#entries.get(hash);
    if (known) known.value = value;
    else this.#entries.set(hash, { key, value });
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.value;
  }

  has(key: Value): boolean {
    return this.#entries.has(hashOf(key));
  }

  entries(): [Value, Value][] {
    return Array.from(this.#entries.values(), ({ key, value }) => [key, value]);
  }

  keys(): Value[] {
    return Array.from(this.#entries.values(), ({ key }) => key);
  }

  values(): Value[] {
    return Array.from(this.#entries.values(), ({ value }) => value);
  }
}

/** A view that a dict's keys(), values() or items() gives. */
export class View {
  readonly kind: 'keys' | 'values' | 'items';
  readonly items: readonly Value[];

  constructor(kind: 'keys' | 'values' | 'items', dict: Dict) {
    this.kind = kind;
    this.items =
      kind === 'keys'
        ? dict.keys()
        : kind === 'values'
          ? dict.values()
          : dict.entries().map((entry) => new Tuple(entry));
  }
}

export class Range {
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly length: number;

  constructor(start: bigint, stop: bigint, step: bigint) {
    this.start = start;
    this.stop = stop;
    this.step = step;
    const span = step > 0n ? stop - start : start - stop;
    const width = step > 0n ? step : -step;
    this.length = span <= 0n ? 0 : Number((span + width - 1n) / width);
  }

  at(index: number): bigint {
    return this.start + this.step * BigInt(index);
  }
}

/** A generator of Python's: it can be gone through once. */
export class Sequence {
  readonly name: string;
  readonly iterator: Iterator<Value, unknown>;

  constructor(name: string, iterator: Iterator<Value, unknown>) {
    this.name = name;
    this.iterator = iterator;
  }
}

/** The value of a name, attribute or item that does not exist. It prints as nothing, and any other use fails. */
export class Undefined {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }

  fail(): never {
    throw new TemplateError(this.message);
  }
}

/** `namespace(...)`: the only thing whose attributes a template can set. */
export class Namespace {
  readonly attributes: Map<string, Value>;

  constructor(attributes: Map<string, Value>) {
    this.attributes = attributes;
  }
}

/** A function, or a method of a value. */
export class Callable {
  readonly name: string;
  readonly call: (args: CallArguments) => Value;

  constructor(name: string, call: (args: CallArguments) => Value) {
    this.name = name;
    this.call = call;
  }
}

/** An object with attributes of its own: a macro, `loop`, what `cycler()` and `joiner()` give. */
export abstract class TemplateObject {
  abstract readonly typeName: string;
  /** Undefined: there is no such attribute. */
  abstract attribute(name: string): Value | undefined;
  /** Undefined: it cannot be called. */
  call?(args: CallArguments): Value;
}

/** A text of the template's own. */
export function text(value: string): Text {
  return new Text(value);
}

/** The type's name in Python, for errors. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float';
  if (value instanceof Text) return value.isSafe ? 'Markup' : 'str';
  if (value instanceof List) return 'list';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof Dict) return 'dict';
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Range) return 'range';
  if (value instanceof Sequence) return value.name;
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Namespace) return 'Namespace';
  if (value instanceof Callable) return 'function';
  return value.typeName;
}

export function isTrue(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'bigint') return value !== 0n;
  if (typeof value === 'number') return value !== 0;
  const length = lengthOf(value);
  return length === undefined || length > 0;
}

/** Does the same as Python's len; undefined for values without a length. */
export function lengthOf(value: Value): number | undefined {
  if (value instanceof Text) return value.pointCount;
  if (value instanceof List || value instanceof Tuple || value instanceof View) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  return value instanceof Undefined ? 0 : undefined;
}

/** The key under which a dict keeps a value: equal for values that are equal in Python (1, 1.0 and True). */
export function hashOf(value: Value): unknown {
  if (value instanceof Text) return value.value;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (value instanceof Undefined) return Undefined;
  if (value instanceof Tuple) {
    const parts = value.items.map((item) => {
      const hash = hashOf(item);
      return typeof hash === 'object' || typeof hash === 'function' ? objectNumber(hash) : `${typeof hash}${hash}`;
    });
    // A lone surrogate at the start, which no text of a caller has.
    return `\ud800${JSON.stringify(parts)}`;
  }
  if (value instanceof List || value instanceof Dict || (value instanceof View && value.kind !== 'values'))
    throw new TemplateError(`unhashable type: '${typeName(value)}'`);
  return value;
}

const objectNumbers = new WeakMap<object, number>();
let objects = 0;

function objectNumber(value: object | null): string {
  if (value === null) return 'none';
  const number = objectNumbers.get(value) ?? objects++;
  objectNumbers.set(value, number);
  return `object ${number}`;
}

/** Python's `==`. */
export function isEqual(a: Value, b: Value): boolean {
  if (isNumeric(a)) return isNumeric(b) && compareNumbers(a, b) === 0;
  if (a instanceof Text) return b instanceof Text && a.value === b.value;
  if (a instanceof List) return b instanceof List && areEqual(a.items, b.items);
  if (a instanceof Tuple) return b instanceof Tuple && areEqual(a.items, b.items);
  if (a instanceof Dict)
    return (
      b instanceof Dict &&
      a.size === b.size &&
      a.entries().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && isEqual(value, other);
      })
    );
  if (a instanceof Undefined) return b instanceof Undefined;
  if (a instanceof Range)
    return b instanceof Range && a.length === b.length && a.at(0) === b.at(0) && (a.length < 2 || a.step === b.step);
  if (a instanceof View && b instanceof View && a !== b)
    throw new TemplateError('comparing what keys(), values() or items() give is not supported; use |list');
  return a === b;
}

function areEqual(a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i] || isEqual(item, b[i]!));
}

export type Numeric = boolean | bigint | number;

export function isNumeric(value: Value): value is Numeric {
  return typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
}

/** Negative, 0 or positive; NaN where a NaN is among them. */
export function compareNumbers(a: Numeric, b: Numeric): number {
  const [x, y] = [typeof a === 'boolean' ? BigInt(a) : a, typeof b === 'boolean' ? BigInt(b) : b];
  if (x < y) return -1;
  return x > y ? 1 : x >= y ? 0 : Number.NaN;
}
