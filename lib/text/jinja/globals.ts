import { bind, textArgument } from './arguments.js';
import type { Budget } from './budget.js';
import { TemplateError, TemplateRefusal } from './failure.js';
import { itemsOf } from './iteration.js';
import { printed } from './printing.js';
import { strftime } from './strftime.js';
import { empty, type Text } from './text.js';
import {
  type CallArguments,
  Callable,
  Dict,
  Namespace,
  Range,
  TemplateObject,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from './values.js';

// The limit of Jinja2's sandbox.
const maxRange = 100_000;

/** The functions that every template has: Jinja2's, and those that transformers adds for chat templates. */
export function globals(budget: Budget): Map<string, Value> {
  const functions: Readonly<Record<string, (args: CallArguments) => Value>> = {
    range: makeRange,
    namespace: (args) => new Namespace(new Map(dictOf('namespace', args, budget).entries().map(named))),
    dict: (args) => dictOf('dict', args, budget),
    cycler: ({ positional }) => new Cycler(positional),
    joiner: (args) => new Joiner(textArgument('joiner', bind('joiner', args, 'sep=')[0] ?? text(', '))),
    strftime_now: (args) =>
      text(strftime(new Date(), textArgument('strftime_now', bind('strftime_now', args, 'format')[0]).value)),
    raise_exception: (args) => {
      throw new TemplateRefusal(printed(bind('raise_exception', args, 'message')[0]!).value);
    },
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)] as const));
}

function makeRange(args: CallArguments): Value {
  const [first, second, third] = bind('range', args, 'start', 'stop=', 'step=', '/');
  const number = (value: Value) => {
    if (typeof value === 'bigint' || typeof value === 'boolean') return BigInt(value);
    if (value instanceof Undefined) value.fail();
    throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  };
  const step = third === undefined ? 1n : number(third);
  if (step === 0n) throw new TemplateError('range() arg 3 must not be zero');
  const range =
    second === undefined ? new Range(0n, number(first!), step) : new Range(number(first!), number(second), step);
  if (range.length > maxRange)
    throw new TemplateError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${maxRange}).`);
  return range;
}

/** Python's dict(mapping or pairs, name=value ...). */
function dictOf(what: string, { positional, named: more }: CallArguments, budget: Budget): Dict {
  if (positional.length > 1) throw new TemplateError(`${what} expected at most 1 argument, got ${positional.length}`);
  const [first] = positional;
  const pairs =
    first === undefined
      ? []
      : first instanceof Dict
        ? first.entries()
        : itemsOf(first, budget).map((pair) => itemsOf(pair, budget));
  const dict = new Dict([], first instanceof Dict ? first.origin : 0);
  for (const pair of pairs) {
    if (pair.length !== 2) throw new TemplateError(`${what}: wanted pairs, found ${pair.length} items`);
    dict.set(pair[0]!, pair[1]!);
  }
  for (const [name, value] of more) dict.set(text(name), value);
  return dict;
}

function named([key, value]: [Value, Value]): [string, Value] {
  return [textArgument('namespace', key).value, value];
}

class Cycler extends TemplateObject {
  readonly typeName = 'Cycler';
  readonly #items: readonly Value[];
  #at = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new TemplateError('at least one item has to be provided');
    this.#items = items;
  }

  attribute(name: string): Value | undefined {
    if (name === 'current') return this.#items[this.#at];
    if (name === 'items') return new Tuple(this.#items);
    if (name === 'pos') return BigInt(this.#at);
    if (name === 'reset')
      return new Callable(name, (args) => {
        bind(name, args);
        this.#at = 0;
        return null;
      });
    if (name !== 'next') return undefined;
    return new Callable(name, (args) => {
      bind(name, args);
      const value = this.#items[this.#at]!;
      this.#at = (this.#at + 1) % this.#items.length;
      return value;
    });
  }
}

class Joiner extends TemplateObject {
  readonly typeName = 'Joiner';
  readonly #separator: Text;
  #isUsed = false;

  constructor(separator: Text) {
    super();
    this.#separator = separator;
  }

  attribute(name: string): Value | undefined {
    if (name === 'sep') return this.#separator;
    return name === 'used' ? this.#isUsed : undefined;
  }

  override call(args: CallArguments): Value {
    bind('joiner', args);
    if (this.#isUsed) return this.#separator;
    this.#isUsed = true;
    return empty;
  }
}
