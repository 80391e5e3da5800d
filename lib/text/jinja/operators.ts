import type { BinaryOperator, CompareOperator } from './ast.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { formatPercent } from './format-percent.js';
import { iterate } from './iteration.js';
import { arithmetic } from './numbers.js';
import { escapeHtml, repeat } from './strings.js';
import { Text } from './text.js';
import {
  compareNumbers,
  Dict,
  isEqual,
  isNumeric,
  List,
  maxItems,
  Namespace,
  Range,
  Sequence,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.js';

/** Python's arithmetic operators. */
export function binary(operator: BinaryOperator, a: Value, b: Value, budget: Budget): Value {
  if (isNumeric(a) && isNumeric(b)) return arithmetic(operator, a, b);
  if (a instanceof Text && operator === '%') return formatPercent(a, b, budget);
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if (operator === '+') {
    if (a instanceof Text && b instanceof Text) return addTexts(a, b);
    if (a instanceof List && b instanceof List) {
      budget.spend((a.items.length + b.items.length) >>> 3);
      return new List([...a.items, ...b.items], a.origin || b.origin);
    }
    if (a instanceof Tuple && b instanceof Tuple) return new Tuple([...a.items, ...b.items]);
  }
  if (operator === '*') {
    const repeated = times(a, b, budget) ?? times(b, a, budget);
    if (repeated !== undefined) return repeated;
  }
  throw new TemplateError(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);
}

/** A text marked as `safe` escapes a text that is added to it. */
function addTexts(a: Text, b: Text): Text {
  if (!a.isSafe && !b.isSafe) return a.concat(b);
  return Text.join([a.isSafe ? a : escapeHtml(a), b.isSafe ? b : escapeHtml(b)]).safe();
}

function times(value: Value, count: Value, budget: Budget): Value | undefined {
  if (typeof count !== 'bigint' && typeof count !== 'boolean') return undefined;
  const number = Number(count) > 0 ? Number(count) : 0;
  if (value instanceof Text) {
    budget.spendText(value.length * number);
    return repeat(value, number);
  }
  if (!(value instanceof List) && !(value instanceof Tuple)) return undefined;
  if (value.items.length * number > maxItems) throw new TemplateError(`a list has more than ${maxItems} items`);
  budget.spend(value.items.length * number);
  const items = Array.from({ length: number }, () => value.items).flat();
  return value instanceof List ? new List(items, value.origin) : new Tuple(items);
}

/** Python's comparisons. */
export function compare(operator: CompareOperator, a: Value, b: Value, budget: Budget): boolean {
  switch (operator) {
    case '==':
      return isEqual(a, b);
    case '!=':
      return !isEqual(a, b);
    case 'in':
      return contains(b, a, budget);
    case 'not in':
      return !contains(b, a, budget);
    default: {
      const order = orderOf(a, b, operator);
      if (operator === '<') return order < 0;
      if (operator === '<=') return order <= 0;
      return operator === '>' ? order > 0 : order >= 0;
    }
  }
}

/** Negative, 0 or positive, or NaN. @throws TemplateError for values without an order */
export function orderOf(a: Value, b: Value, operator = '<'): number {
  if (isNumeric(a) && isNumeric(b)) return compareNumbers(a, b);
  if (a instanceof Text && b instanceof Text) return compareTexts(a.value, b.value);
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if ((a instanceof List && b instanceof List) || (a instanceof Tuple && b instanceof Tuple)) {
    const [left, right] = [a.items, b.items];
    for (const [i, item] of left.entries()) {
      if (i >= right.length) return 1;
      if (!isEqual(item, right[i]!)) return orderOf(item, right[i]!, operator);
    }
    return left.length - right.length;
  }
  throw new TemplateError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

/** Compares by code points, as Python does. JavaScript would compare UTF-16 units. */
function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    // Units of a surrogate pair stand for points above all other units.
    const isPair = (unit: number) => unit >= 0xd800 && unit < 0xe000;
    if (isPair(x) !== isPair(y)) return isPair(x) ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** Python's `item in whole`. */
export function contains(whole: Value, item: Value, budget: Budget): boolean {
  if (whole instanceof Text) {
    if (item instanceof Undefined || !(item instanceof Text))
      throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    budget.spendText(whole.length);
    return whole.value.includes(item.value);
  }
  if (whole instanceof Dict) return whole.has(item);
  if (whole instanceof List || whole instanceof Tuple || whole instanceof View) {
    budget.spend(whole.items.length >>> 2);
    return whole.items.some((one) => one === item || isEqual(one, item));
  }
  if (whole instanceof Range || whole instanceof Sequence || whole instanceof Undefined) {
    for (const one of iterate(whole, budget)) if (isEqual(one, item)) return true;
    return false;
  }
  if (whole instanceof Namespace || isNumeric(whole) || whole === null)
    throw new TemplateError(`argument of type '${typeName(whole)}' is not iterable`);
  throw new UnsupportedTemplateError(`'in' of a ${typeName(whole)} is not supported`);
}
