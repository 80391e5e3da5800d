import { bind } from './arguments.js';
import { TemplateError } from './failure.js';
import {
  type CallArguments,
  Callable,
  isEqual,
  lengthOf,
  TemplateObject,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

/** The variable `loop`: the state of a for loop. It reads items ahead only if the template asks for them. */
export class Loop extends TemplateObject {
  readonly typeName = 'LoopContext';
  readonly #iterable: Value;
  #iterator: Iterator<Value, unknown>;
  readonly #depth: number;
  readonly #recurse: ((iterable: Value, depth: number) => Value) | null;
  #index = -1;
  #length: number | undefined;
  #before: Value | undefined;
  #current: Value | undefined;
  #after: Value | undefined;
  #isAhead = false;
  #changed: Value | undefined;

  constructor(
    iterable: Value,
    iterator: Iterator<Value, unknown>,
    recurse: ((iterable: Value, depth: number) => Value) | null,
    depth: number,
  ) {
    super();
    this.#iterable = iterable;
    this.#iterator = iterator;
    this.#recurse = recurse;
    this.#depth = depth;
  }

  /** The next item. Undefined after the last. */
  next(): Value | undefined {
    const item = this.#peek();
    if (item === undefined) return undefined;
    this.#isAhead = false;
    this.#index++;
    this.#before = this.#current;
    this.#current = item;
    return item;
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return BigInt(this.#index + 1);
      case 'index0':
        return BigInt(this.#index);
      case 'revindex':
        return BigInt(this.#count() - this.#index);
      case 'revindex0':
        return BigInt(this.#count() - this.#index - 1);
      case 'first':
        return this.#index === 0;
      case 'last':
        return this.#peek() === undefined;
      case 'length':
        return BigInt(this.#count());
      case 'depth':
        return BigInt(this.#depth + 1);
      case 'depth0':
        return BigInt(this.#depth);
      case 'previtem':
        return this.#index === 0 ? new Undefined('there is no previous item') : this.#before;
      case 'nextitem': {
        const next = this.#peek();
        return next === undefined ? new Undefined('there is no next item') : next;
      }
      case 'cycle':
        return new Callable(name, ({ positional }) => {
          if (positional.length === 0) throw new TemplateError('no items for cycling given');
          return positional[this.#index % positional.length]!;
        });
      case 'changed':
        return new Callable(name, ({ positional }) => {
          const now = new Tuple(positional);
          if (this.#changed !== undefined && isEqual(this.#changed, now)) return false;
          this.#changed = now;
          return true;
        });
      default:
        return undefined;
    }
  }

  override call(args: CallArguments): Value {
    if (this.#recurse === null)
      throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.");
    return this.#recurse(bind('loop', args, 'iterable')[0]!, this.#depth + 1);
  }

  #peek(): Value | undefined {
    if (!this.#isAhead) {
      const next = this.#iterator.next();
      this.#after = next.done ? undefined : next.value;
      this.#isAhead = true;
    }
    return this.#after;
  }

  #count(): number {
    if (this.#length === undefined) {
      this.#length = lengthOf(this.#iterable);
      if (this.#length === undefined) {
        const rest: Value[] = [];
        for (let next = this.#iterator.next(); !next.done; next = this.#iterator.next()) rest.push(next.value);
        this.#iterator = rest[Symbol.iterator]();
        const ahead = this.#isAhead && this.#after !== undefined ? 1 : 0;
        this.#length = rest.length + this.#index + 1 + ahead;
      }
    }
    return this.#length;
  }
}
