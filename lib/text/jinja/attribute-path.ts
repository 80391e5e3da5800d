import { itemOf } from './access.js';
import type { Budget } from './budget.js';
import { Text } from './text.js';
import { text, Undefined, type Value } from './values.js';

/** Looks up a filter's `attribute`: items inside items, with dots between. Digits are indices. */
export function attributePath(attribute: Value, budget: Budget, initial: Value = null): (item: Value) => Value {
  const parts =
    attribute instanceof Text ? attribute.value.split('.').map(part) : attribute === null ? [] : [attribute];
  return (item) => {
    let found = item;
    for (const key of parts) {
      found = itemOf(found, key, budget);
      if (initial !== null && found instanceof Undefined) found = initial;
    }
    return found;
  };
}

function part(source: string): Value {
  return /^\d+$/.test(source) ? BigInt(source) : text(source);
}
