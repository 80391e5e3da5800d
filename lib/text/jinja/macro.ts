import type { Callee } from './ast.js';
import { TemplateError } from './failure.js';
import { type CallArguments, Dict, TemplateObject, Tuple, text, Undefined, type Value } from './values.js';

/** The values of a macro's parameters. Undefined if the call gives none. */
export type Bindings = Map<string, Value | undefined>;

/** A macro, or the body of a call block. */
export class Macro extends TemplateObject {
  readonly typeName = 'Macro';
  readonly #callee: Callee;
  readonly #run: (bindings: Bindings) => Value;

  constructor(callee: Callee, run: (bindings: Bindings) => Value) {
    super();
    this.#callee = callee;
    this.#run = run;
  }

  attribute(name: string): Value | undefined {
    const { parameters, reads } = this.#callee;
    switch (name) {
      case 'name':
        return this.#callee.name === null ? null : text(this.#callee.name);
      case 'arguments':
        return new Tuple(parameters.map((one) => text(one.name)));
      case 'catch_kwargs':
        return reads.has('kwargs');
      case 'catch_varargs':
        return reads.has('varargs');
      case 'caller':
        return reads.has('caller');
      case 'explicit_caller':
        return parameters.some((one) => one.name === 'caller');
      default:
        return undefined;
    }
  }

  override call({ positional, named }: CallArguments): Value {
    const { name, parameters, reads } = this.#callee;
    const bindings: Bindings = new Map();
    const rest = new Map(named);
    parameters.forEach((parameter, i) => {
      if (i < positional.length) {
        bindings.set(parameter.name, positional[i]);
      } else {
        bindings.set(parameter.name, rest.get(parameter.name));
        rest.delete(parameter.name);
      }
    });
    if (reads.has('caller')) {
      bindings.set('caller', rest.get('caller') ?? new Undefined('No caller defined'));
      rest.delete('caller');
    }
    if (reads.has('kwargs')) {
      bindings.set('kwargs', new Dict(Array.from(rest, ([key, value]) => [text(key), value] as const)));
    } else if (rest.size > 0) {
      const [first] = rest.keys();
      throw new TemplateError(`macro '${name}' takes no keyword argument '${first}'`);
    }
    if (reads.has('varargs')) bindings.set('varargs', new Tuple(positional.slice(parameters.length)));
    else if (positional.length > parameters.length)
      throw new TemplateError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    return this.#run(bindings);
  }
}
