import type { Budget } from './budget.js';
import { TemplateError } from './failure.js';
import { Text } from './text.js';
import { Dict, List, Range, Sequence, Tuple, typeName, Undefined, type Value, View } from './values.js';

/** Iterates over the items of a value in Python's order. Each item costs a step. */
export function iterate(value: Value, budget: Budget): IterableIterator<Value> {
  return counted(iterator(value), budget);
}

function* counted(items: Iterable<Value>, budget: Budget): Generator<Value, void> {
  for (const item of items) {
    budget.spend(1);
    yield item;
  }
}

function iterator(value: Value): Iterable<Value> {
  if (value instanceof List || value instanceof Tuple || value instanceof View) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Text) return points(value);
  if (value instanceof Range) return numbers(value);
  if (value instanceof Sequence) return rest(value);
  if (value instanceof Undefined) return [];
  throw new TemplateError(`'${typeName(value)}' object is not iterable`);
}

/** All items, as a new array. */
export function itemsOf(value: Value, budget: Budget): Value[] {
  return Array.from(iterate(value, budget));
}

/** Whether Python could iterate over the value. */
export function isIterable(value: Value): boolean {
  return (
    value instanceof Text ||
    value instanceof List ||
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof View ||
    value instanceof Range ||
    value instanceof Sequence ||
    value instanceof Undefined
  );
}

function* points(value: Text): Generator<Value> {
  const count = value.pointCount;
  for (let i = 0; i < count; i++) yield value.point(i);
}

function* numbers(range: Range): Generator<Value> {
  for (let i = 0; i < range.length; i++) yield range.at(i);
}

/** The rest of a sequence. Leaving the loop early leaves the rest for the next reader. */
function* rest({ iterator }: Sequence): Generator<Value> {
  for (let next = iterator.next(); !next.done; next = iterator.next()) yield next.value;
}
