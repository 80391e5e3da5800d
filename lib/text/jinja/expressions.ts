import { attributeOf, callValue, itemOf, sliceOf } from './access.js';
import type { Arguments, Expression } from './ast.js';
import type { Budget } from './budget.js';
import { TemplateError } from './failure.js';
import { callFilter } from './filters.js';
import { itemsOf } from './iteration.js';
import { binary, compare } from './operators.js';
import { printed } from './printing.js';
import type { Scope } from './scope.js';
import { callTest } from './tests.js';
import { Text } from './text.js';
import { type CallArguments, Dict, isNumeric, isTrue, List, Tuple, typeName, Undefined, type Value } from './values.js';

const literals = new WeakMap<Expression, Text>();

/** An expression's value. */
export function evaluate(expression: Expression, scope: Scope, budget: Budget): Value {
  budget.spend(1);
  switch (expression.kind) {
    case 'text':
      return literalOf(expression);
    case 'constant':
      return expression.value;
    case 'name':
      return named(expression.name, scope);
    case 'attribute':
      return attributeOf(evaluate(expression.object, scope, budget), expression.name, budget);
    case 'item':
      return itemOf(evaluate(expression.object, scope, budget), evaluate(expression.key, scope, budget), budget);
    case 'slice': {
      const object = evaluate(expression.object, scope, budget);
      const part = (one: Expression | null) => (one === null ? null : evaluate(one, scope, budget));
      return sliceOf(object, part(expression.start), part(expression.stop), part(expression.step), budget);
    }
    case 'call': {
      const callee = evaluate(expression.callee, scope, budget);
      return spent(callValue(callee, evaluateArguments(expression.args, scope, budget)), budget);
    }
    case 'filter': {
      // A block's filter gets its value from callers of callFilter.
      const value = evaluate(expression.value!, scope, budget);
      return spent(
        callFilter(expression.name, value, evaluateArguments(expression.args, scope, budget), budget),
        budget,
      );
    }
    case 'test': {
      const value = evaluate(expression.value, scope, budget);
      return callTest(expression.name, value, evaluateArguments(expression.args, scope, budget), budget);
    }
    case 'not':
      return !isTrue(evaluate(expression.operand, scope, budget));
    case 'negative':
    case 'positive':
      return signed(expression.kind, evaluate(expression.operand, scope, budget));
    case 'and': {
      const left = evaluate(expression.left, scope, budget);
      return isTrue(left) ? evaluate(expression.right, scope, budget) : left;
    }
    case 'or': {
      const left = evaluate(expression.left, scope, budget);
      return isTrue(left) ? left : evaluate(expression.right, scope, budget);
    }
    case 'binary': {
      const left = evaluate(expression.left, scope, budget);
      return spent(binary(expression.operator, left, evaluate(expression.right, scope, budget), budget), budget);
    }
    case 'concat': {
      const parts = expression.parts.map((part) => printed(evaluate(part, scope, budget)).plain());
      // Joined as a tree, so that a text that grows in a loop costs what is added to it.
      return spent(
        parts.reduce((whole, part) => whole.concat(part)),
        budget,
      );
    }
    case 'compare':
      return compared(expression, scope, budget);
    case 'conditional':
      return conditional(expression, scope, budget);
    case 'list':
      return new List(expression.items.map((one) => evaluate(one, scope, budget)));
    case 'tuple':
      return new Tuple(expression.items.map((one) => evaluate(one, scope, budget)));
    case 'dict':
      return new Dict(
        expression.entries.map(
          ({ key, value }) => [evaluate(key, scope, budget), evaluate(value, scope, budget)] as const,
        ),
      );
  }
}

type Kind<K extends Expression['kind']> = Extract<Expression, { kind: K }>;

function literalOf(expression: Kind<'text'>): Text {
  let literal = literals.get(expression);
  if (literal === undefined) {
    literal = new Text(expression.value);
    literals.set(expression, literal);
  }
  return literal;
}

/** A chain of comparisons: `a < b < c`. Operands after one that fails are not evaluated. */
function compared({ first, rest }: Kind<'compare'>, scope: Scope, budget: Budget): boolean {
  let left = evaluate(first, scope, budget);
  for (const { operator, operand } of rest) {
    const right = evaluate(operand, scope, budget);
    if (!compare(operator, left, right, budget)) return false;
    left = right;
  }
  return true;
}

function conditional({ test, then, otherwise, line }: Kind<'conditional'>, scope: Scope, budget: Budget): Value {
  if (isTrue(evaluate(test, scope, budget))) return evaluate(then, scope, budget);
  if (otherwise !== null) return evaluate(otherwise, scope, budget);
  return new Undefined(`the inline if-expression on line ${line} evaluated to false and no else section was defined.`);
}

/** A text that an operation made costs steps by its length. */
function spent(value: Value, budget: Budget): Value {
  if (value instanceof Text) budget.spendText(value.length);
  return value;
}

function named(name: string, scope: Scope): Value {
  const value = scope.get(name);
  return value === undefined ? new Undefined(`'${name}' is undefined`) : value;
}

function signed(kind: 'negative' | 'positive', value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumeric(value))
    throw new TemplateError(`bad operand type for unary ${kind === 'negative' ? '-' : '+'}: '${typeName(value)}'`);
  const number = typeof value === 'boolean' ? BigInt(value) : value;
  return kind === 'negative' ? -number : number;
}

/** The values of a call's arguments. */
export function evaluateArguments(args: Arguments, scope: Scope, budget: Budget): CallArguments {
  const positional = args.positional.map((one) => evaluate(one, scope, budget));
  const named = new Map(args.named.map(({ name, value }) => [name, evaluate(value, scope, budget)] as const));
  if (args.spread) positional.push(...itemsOf(evaluate(args.spread, scope, budget), budget));
  if (args.spreadNamed) {
    const more = evaluate(args.spreadNamed, scope, budget);
    if (!(more instanceof Dict)) throw new TemplateError('argument after ** must be a mapping');
    for (const [key, value] of more.entries()) {
      if (!(key instanceof Text)) throw new TemplateError('keywords must be strings');
      if (named.has(key.value)) throw new TemplateError(`got multiple values for keyword argument '${key.value}'`);
      named.set(key.value, value);
    }
  }
  return { positional, named };
}
