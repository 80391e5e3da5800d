import { bind } from './arguments.js';
import { attributePath } from './attribute-path.js';
import type { Budget } from './budget.js';
import { TemplateError, UnsupportedTemplateError } from './failure.js';
import type { Filter } from './filter.js';
import { type CallingFilterName, jinjaFilterNames } from './filter-names.js';
import { iterate } from './iteration.js';
import { listFilters } from './list-filters.js';
import { callTest } from './tests.js';
import { Text } from './text.js';
import { textFilters } from './text-filters.js';
import { type CallArguments, isTrue, Sequence, type Value } from './values.js';

// The filters that call other filters or tests by name.
const callingFilters: Readonly<Record<CallingFilterName, Filter>> = {
  map,
  select: choose('select', true, false),
  reject: choose('reject', false, false),
  selectattr: choose('selectattr', true, true),
  rejectattr: choose('rejectattr', false, true),
};

const filters: ReadonlyMap<string, Filter> = new Map([
  ...textFilters,
  ...listFilters,
  ...Object.entries(callingFilters),
]);

/** Applies a filter. @throws TemplateError for a name that is no filter */
export function callFilter(name: string, value: Value, args: CallArguments, budget: Budget): Value {
  const filter = filters.get(name);
  if (filter) return filter(value, args, budget);
  if (jinjaFilterNames.has(name)) throw new UnsupportedTemplateError(`the filter '${name}'`);
  throw new TemplateError(`No filter named '${name}'.`);
}

function map(value: Value, args: CallArguments, budget: Budget): Value {
  return new Sequence('generator', mapped(value, args, budget));
}

function* mapped(value: Value, args: CallArguments, budget: Budget): Generator<Value> {
  if (!isTrue(value)) return;
  let change: (item: Value) => Value;
  if (args.positional.length === 0 && args.named.has('attribute')) {
    const [attribute, initial] = bind('map', args, 'attribute', 'default=');
    change = attributePath(attribute!, budget, initial);
  } else {
    const [name, ...positional] = args.positional;
    if (!(name instanceof Text)) throw new TemplateError('map requires a filter argument');
    change = (item) => callFilter(name.value, item, { positional, named: args.named }, budget);
  }
  for (const item of iterate(value, budget)) yield change(item);
}

function choose(filter: string, wanted: boolean, byAttribute: boolean): Filter {
  return (value, args, budget) => new Sequence('generator', chosen(value, args, budget));

  function* chosen(value: Value, args: CallArguments, budget: Budget): Generator<Value> {
    if (!isTrue(value)) return;
    const given = [...args.positional];
    let look = (item: Value) => item;
    if (byAttribute) {
      const attribute = given.shift();
      if (attribute === undefined) throw new TemplateError(`${filter}: Missing parameter for attribute name`);
      look = attributePath(attribute, budget);
    }
    const [name, ...positional] = given;
    if (name !== undefined && !(name instanceof Text)) throw new TemplateError(`${filter} wants the name of a test`);
    for (const item of iterate(value, budget)) {
      const seen = look(item);
      const is =
        name === undefined ? isTrue(seen) : callTest(name.value, seen, { positional, named: args.named }, budget);
      if (is === wanted) yield item;
    }
  }
}
