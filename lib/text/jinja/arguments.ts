import type { Budget } from './budget.js';
import { TemplateError } from './failure.js';
import { printed } from './printing.js';
import { Text } from './text.js';
import { type CallArguments, typeName, Undefined, type Value } from './values.js';

/**
 * A call's arguments in the order of the parameters. An optional parameter is written `name=`; it is undefined if it is
 * not given. Parameters before `/` cannot be given by name.
 *
 * @example bind('replace', args, 'old', 'new', 'count=')
 */
export function bind(what: string, args: CallArguments, ...parameters: string[]): (Value | undefined)[] {
  const slash = parameters.indexOf('/');
  const all = parameters.filter((parameter) => parameter !== '/');
  if (args.positional.length > all.length)
    throw new TemplateError(`${what}() takes at most ${all.length} arguments, got ${args.positional.length}`);
  const names = all.map((parameter) => parameter.replace('=', ''));
  for (const name of args.named.keys()) {
    const index = names.indexOf(name);
    if (index < 0 || index < slash) throw new TemplateError(`${what}() has no keyword argument '${name}'`);
    if (index < args.positional.length) throw new TemplateError(`${what}() got two values for argument '${name}'`);
  }
  return all.map((parameter, i) => {
    const value = i < args.positional.length ? args.positional[i] : args.named.get(names[i]!);
    if (value === undefined && !parameter.endsWith('='))
      throw new TemplateError(`${what}() needs the argument '${names[i]}'`);
    return value;
  });
}

/** A filter or method that takes no arguments. */
export function withoutArguments<Subject extends Value>(
  what: string,
  make: (value: Subject, budget: Budget) => Value,
): (value: Subject, args: CallArguments, budget: Budget) => Value {
  return (value, args, budget) => {
    bind(what, args);
    return make(value, budget);
  };
}

/** @throws TemplateError unless the value is a string */
export function textArgument(what: string, value: Value | undefined): Text {
  if (value instanceof Text) return value;
  if (value instanceof Undefined) value.fail();
  throw new TemplateError(`${what} wants a string, found ${value === undefined ? 'nothing' : typeName(value)}`);
}

/** An int (or bool) that fits a JavaScript number. @throws TemplateError for anything else */
export function integerArgument(what: string, value: Value | undefined, initial?: number): number {
  if (value === undefined && initial !== undefined) return initial;
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'bigint') {
    // Larger indices and counts have the same effect.
    if (value > 2n ** 31n) return 2 ** 31;
    return value < -(2n ** 31n) ? -(2 ** 31) : Number(value);
  }
  if (value instanceof Undefined) value.fail();
  throw new TemplateError(`${what} wants an integer, found ${value === undefined ? 'nothing' : typeName(value)}`);
}

/** A value as text. A string stays as it is, any other value is printed. */
export function softText(value: Value): Text {
  return value instanceof Text ? value : printed(value);
}
