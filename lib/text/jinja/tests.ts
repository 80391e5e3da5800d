import { bind } from './arguments.js';
import type { CompareOperator } from './ast.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import { jinjaFilterNames } from './filter-names.js';
import { isIterable } from './iteration.js';
import { Loop } from './loop.js';
import { binary, compare } from './operators.js';
import { printed } from './printing.js';
import { hasOnlyCase } from './strings.js';
import { Text } from './text.js';
import {
  type CallArguments,
  Callable,
  Dict,
  isEqual,
  isNumeric,
  List,
  Range,
  TemplateObject,
  Tuple,
  Undefined,
  type Value,
} from './values.js';

type Test = (value: Value, args: CallArguments, budget: Budget) => boolean;

const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['odd', remainder('odd', 2n, 1n)],
  ['even', remainder('even', 2n, 0n)],
  ['divisibleby', (value, args, budget) => isRemainder(value, bind('divisibleby', args, 'num')[0]!, 0n, budget)],
  ['defined', plain('defined', (value) => !(value instanceof Undefined))],
  ['undefined', plain('undefined', (value) => value instanceof Undefined)],
  ['filter', plain('filter', (value) => jinjaFilterNames.has(printed(value).value))],
  ['test', plain('test', (value) => jinjaTestNames.has(printed(value).value))],
  ['none', plain('none', (value) => value === null)],
  ['boolean', plain('boolean', (value) => typeof value === 'boolean')],
  ['false', plain('false', (value) => value === false)],
  ['true', plain('true', (value) => value === true)],
  ['integer', plain('integer', (value) => typeof value === 'bigint')],
  ['float', plain('float', (value) => typeof value === 'number')],
  ['number', plain('number', isNumeric)],
  ['string', plain('string', (value) => value instanceof Text)],
  ['mapping', plain('mapping', (value) => value instanceof Dict)],
  ['sequence', plain('sequence', isSequence)],
  ['iterable', plain('iterable', (value) => isIterable(value) || value instanceof Loop)],
  ['callable', plain('callable', isCallable)],
  ['lower', plain('lower', (value) => hasOnlyCase(printed(value).value, 'lower'))],
  ['upper', plain('upper', (value) => hasOnlyCase(printed(value).value, 'upper'))],
  ['escaped', plain('escaped', (value) => value instanceof Text && value.isSafe)],
  ['sameas', (value, args) => isSame(value, bind('sameas', args, 'other')[0]!)],
  ['in', comparison('in')],
  ...(['==', 'eq', 'equalto'] as const).map((name) => [name, comparison('==')] as const),
  ...(['!=', 'ne'] as const).map((name) => [name, comparison('!=')] as const),
  ...(['>', 'gt', 'greaterthan'] as const).map((name) => [name, comparison('>')] as const),
  ...(['>=', 'ge'] as const).map((name) => [name, comparison('>=')] as const),
  ...(['<', 'lt', 'lessthan'] as const).map((name) => [name, comparison('<')] as const),
  ...(['<=', 'le'] as const).map((name) => [name, comparison('<=')] as const),
]);

/** The names of all tests, which are Jinja2's. */
export const testNames: ReadonlySet<string> = new Set(tests.keys());
export const jinjaTestNames: ReadonlySet<string> = testNames;

/** `value is name(arguments)`. @throws TemplateError for a name that is no test */
export function callTest(name: string, value: Value, args: CallArguments, budget: Budget): boolean {
  const test = tests.get(name);
  if (test === undefined) throw new TemplateError(`No test named '${name}'.`);
  return test(value, args, budget);
}

function plain(name: string, is: (value: Value) => boolean): Test {
  return (value, args) => {
    bind(name, args);
    return is(value);
  };
}

function comparison(operator: CompareOperator): Test {
  return (value, args, budget) => compare(operator, value, bind(operator, args, 'other', '/')[0]!, budget);
}

function remainder(name: string, by: bigint, wanted: bigint): Test {
  return (value, args, budget) => {
    bind(name, args);
    return isRemainder(value, by, wanted, budget);
  };
}

function isRemainder(value: Value, by: Value, wanted: bigint, budget: Budget): boolean {
  return isEqual(binary('%', value, by, budget), wanted);
}

function isSequence(value: Value): boolean {
  return (
    value instanceof Text ||
    value instanceof List ||
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof Range ||
    value instanceof Undefined
  );
}

function isCallable(value: Value): boolean {
  if (value instanceof TemplateObject) return value.call !== undefined;
  return value instanceof Callable || value instanceof Undefined;
}

function isSame(value: Value, other: Value): boolean {
  const isShared = (one: Value) =>
    one === null || typeof one === 'boolean' || (typeof one === 'bigint' && one <= 256n && one >= -5n);
  if (isShared(value) || isShared(other)) return value === other;
  if (typeof value !== 'object' || typeof other !== 'object' || value instanceof Text || other instanceof Text)
    throw new UnsupportedTemplateError("'sameas' of strings and numbers is not supported");
  return value === other;
}
