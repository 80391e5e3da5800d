import { attributeOf } from './access.js';
import { bind, integerArgument, textArgument, withoutArguments } from './arguments.js';
import { attributePath } from './attribute-path.js';
import type { Budget } from './budget.js';
import { TemplateError } from './failure.js';
import type { Filter } from './filter.js';
import { isIterable, itemsOf, iterate } from './iteration.js';
import { binary, orderOf } from './operators.js';
import { printed } from './printing.js';
import { lower, reverse } from './strings.js';
import { empty, Text } from './text.js';
import {
  type CallArguments,
  Dict,
  hashOf,
  isEqual,
  isTrue,
  List,
  lengthOf,
  Sequence,
  Tuple,
  text,
  typeName,
  Undefined,
  type Value,
} from './values.js';

/** The filters of lists, dicts and other iterables. */
export const listFilters: readonly (readonly [string, Filter])[] = [
  ['attr', attribute],
  ['batch', (value, args, budget) => new Sequence('generator', batches(value, args, budget))],
  ['count', length],
  ['dictsort', dictSort],
  ['first', first],
  ['groupby', groupBy],
  ['items', withoutArguments('items', (value, budget) => new Sequence('generator', pairs(value, budget)))],
  ['join', join],
  ['last', last],
  ['length', length],
  ['list', withoutArguments('list', (value, budget) => new List(itemsOf(value, budget), originOf(value)))],
  ['max', extreme('max', 1)],
  ['min', extreme('min', -1)],
  ['reverse', reverseFilter],
  ['slice', (value, args, budget) => new Sequence('generator', slices(value, args, budget))],
  ['sort', sort],
  ['sum', sum],
  ['unique', (value, args, budget) => new Sequence('generator', unique(value, args, budget))],
];

/** The origin of a value. A list made of another has that one's origin. */
function originOf(value: Value): number {
  return value instanceof List || value instanceof Dict ? value.origin : 0;
}

function ignoreCase(value: Value): Value {
  return value instanceof Text ? lower(value) : value;
}

/** The key to compare an item by: the item or an attribute, in lower case unless case counts. */
function keyOf(attributeName: Value, isCaseSensitive: Value, budget: Budget): (item: Value) => Value {
  const look = attributePath(attributeName, budget);
  return isTrue(isCaseSensitive) ? look : (item) => ignoreCase(look(item));
}

function attribute(value: Value, args: CallArguments, budget: Budget): Value {
  const name = textArgument('attr', bind('attr', args, 'name')[0]).value;
  const missing = () => new Undefined(`'${typeName(value)} object' has no attribute '${name}'`);
  // Unlike a dot, this filter takes no items of a dict.
  if (value instanceof Dict) {
    const bare = attributeOf(new Dict(), name, budget);
    return bare instanceof Undefined ? missing() : attributeOf(value, name, budget);
  }
  if (value instanceof Undefined) value.fail();
  return attributeOf(value, name, budget);
}

function* batches(value: Value, args: CallArguments, budget: Budget): Generator<Value> {
  const [linecount, fill = null] = bind('batch', args, 'linecount', 'fill_with=');
  const size = integerArgument('batch', linecount);
  let batch: Value[] = [];
  for (const item of iterate(value, budget)) {
    if (batch.length === size) {
      yield new List(batch);
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== null) while (batch.length < size) batch.push(fill);
  yield new List(batch);
}

function* slices(value: Value, args: CallArguments, budget: Budget): Generator<Value> {
  const [count, fill = null] = bind('slice', args, 'slices', 'fill_with=');
  const items = itemsOf(value, budget);
  const number = integerArgument('slice', count);
  if (number === 0) throw new TemplateError('integer division or modulo by zero');
  const size = Math.floor(items.length / number);
  const larger = items.length - size * number;
  for (let i = 0, from = 0; i < number; i++) {
    budget.spend(1);
    const to = from + size + (i < larger ? 1 : 0);
    yield new List(fill !== null && i >= larger ? [...items.slice(from, to), fill] : items.slice(from, to));
    from = to;
  }
}

function length(value: Value, args: CallArguments): Value {
  bind('length', args);
  const count = lengthOf(value);
  if (count === undefined) throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
  return BigInt(count);
}

function dictSort(value: Value, args: CallArguments, budget: Budget): Value {
  const [isCaseSensitive = false, by = text('key'), isReversed = false] = bind(
    'dictsort',
    args,
    ...['case_sensitive=', 'by=', 'reverse='],
  );
  const place = ['key', 'value'].indexOf(printed(by).value);
  if (place < 0) throw new TemplateError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) throw new TemplateError(`'${typeName(value)}' object has no attribute 'items'`);
  const entries = value.entries().map((entry) => new Tuple(entry));
  const key = (item: Value) => {
    const one = (item as Tuple).items[place]!;
    return isTrue(isCaseSensitive) ? one : ignoreCase(one);
  };
  return new List(sorted(entries, key, isTrue(isReversed), budget), value.origin);
}

/** Python's sorted: stable, also in reverse. */
function sorted(items: Value[], key: (item: Value) => Value, isReversed: boolean, budget: Budget): Value[] {
  budget.spend(items.length * 8);
  const keyed = items.map((item) => ({ item, key: key(item) }));
  keyed.sort((a, b) => (isReversed ? orderOf(b.key, a.key) : orderOf(a.key, b.key)));
  return keyed.map(({ item }) => item);
}

function first(value: Value, args: CallArguments, budget: Budget): Value {
  bind('first', args);
  const next = iterate(value, budget).next();
  return next.done ? new Undefined('No first item, sequence was empty.') : next.value;
}

function last(value: Value, args: CallArguments, budget: Budget): Value {
  bind('last', args);
  if (value instanceof Sequence) throw new TemplateError(`'${value.name}' object is not reversible`);
  if (value instanceof Text && value.pointCount > 0) return value.point(value.pointCount - 1);
  const items = itemsOf(value, budget);
  return items.length === 0 ? new Undefined('No last item, sequence was empty.') : items.at(-1)!;
}

function groupBy(value: Value, args: CallArguments, budget: Budget): Value {
  const [attributeName, initial = null, isCaseSensitive = false] = bind(
    'groupby',
    args,
    ...['attribute', 'default=', 'case_sensitive='],
  );
  const look = attributePath(attributeName!, budget, initial);
  const key = isTrue(isCaseSensitive) ? look : (item: Value) => ignoreCase(look(item));
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(itemsOf(value, budget), key, false, budget)) {
    const own = key(item);
    const group = groups.at(-1);
    if (group && isEqual(group.key, own)) group.items.push(item);
    else groups.push({ key: own, items: [item] });
  }
  return new List(groups.map(({ items }) => new Tuple([look(items[0]!), new List(items)], ['grouper', 'list'])));
}

function* pairs(value: Value, budget: Budget): Generator<Value> {
  if (value instanceof Undefined) return;
  if (!(value instanceof Dict)) throw new TemplateError('Can only get item pairs from a mapping.');
  for (const entry of value.entries()) {
    budget.spend(1);
    yield new Tuple(entry);
  }
}

function join(value: Value, args: CallArguments, budget: Budget): Value {
  const [separator = empty, attributeName = null] = bind('join', args, 'd=', 'attribute=');
  const look = attributePath(attributeName, budget);
  const parts = itemsOf(value, budget).map((item) => printed(look(item)).plain());
  return Text.join(parts, printed(separator).plain());
}

function extreme(name: 'min' | 'max', sign: number): Filter {
  return (value, args, budget) => {
    const [isCaseSensitive = false, attributeName = null] = bind(name, args, 'case_sensitive=', 'attribute=');
    const items = itemsOf(value, budget);
    if (items.length === 0) return new Undefined('No aggregated item, sequence was empty.');
    const key = keyOf(attributeName, isCaseSensitive, budget);
    let best: Value = items[0]!;
    let bestKey = key(best);
    for (const item of items.slice(1)) {
      const own = key(item);
      if (orderOf(own, bestKey, sign > 0 ? '>' : '<') * sign > 0) [best, bestKey] = [item, own];
    }
    return best;
  };
}

function reverseFilter(value: Value, args: CallArguments, budget: Budget): Value {
  bind('reverse', args);
  if (value instanceof Text) return reverse(value);
  if (!isIterable(value)) throw new TemplateError('argument must be iterable');
  const items = itemsOf(value, budget).reverse();
  return value instanceof Sequence ? new List(items) : new Sequence('list_reverseiterator', items[Symbol.iterator]());
}

function sort(value: Value, args: CallArguments, budget: Budget): Value {
  const [isReversed = false, isCaseSensitive = false, attributeName = null] = bind(
    'sort',
    args,
    ...['reverse=', 'case_sensitive=', 'attribute='],
  );
  const names = attributeName instanceof Text ? attributeName.value.split(',').map(text) : [attributeName];
  const keys = names.map((name) => keyOf(name, isCaseSensitive, budget));
  const key = (item: Value) => new List(keys.map((one) => one(item)));
  return new List(sorted(itemsOf(value, budget), key, isTrue(isReversed), budget), originOf(value));
}

function sum(value: Value, args: CallArguments, budget: Budget): Value {
  const [attributeName = null, start = 0n] = bind('sum', args, 'attribute=', 'start=');
  if (start instanceof Text) throw new TemplateError("sum() can't sum strings [use ''.join(seq) instead]");
  const look = attributePath(attributeName, budget);
  let total: Value = start;
  for (const item of iterate(value, budget)) total = binary('+', total, look(item), budget);
  return total;
}

function* unique(value: Value, args: CallArguments, budget: Budget): Generator<Value> {
  const [isCaseSensitive = false, attributeName = null] = bind('unique', args, 'case_sensitive=', 'attribute=');
  const key = keyOf(attributeName, isCaseSensitive, budget);
  const seen = new Set<unknown>();
  for (const item of iterate(value, budget)) {
    const hash = hashOf(key(item));
    if (seen.has(hash)) continue;
    seen.add(hash);
    yield item;
  }
}
