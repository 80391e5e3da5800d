import type { Budget } from './budget.js';
import type { CallArguments, Value } from './values.js';

/** A filter: `value|name(arguments)`. */
export type Filter = (value: Value, args: CallArguments, budget: Budget) => Value;
