import { listFilters } from './list-filters.js';
import { textFilters } from './text-filters.js';

/** The filters that call other filters or tests by name. */
const callingFilterNames = ['map', 'select', 'reject', 'selectattr', 'rejectattr'] as const;
export type CallingFilterName = (typeof callingFilterNames)[number];

/** The filters that there are. */
export const filterNames: ReadonlySet<string> = new Set([
  ...[...textFilters, ...listFilters].map(([name]) => name),
  ...callingFilterNames,
]);

/** The filters of Jinja2. */
export const jinjaFilterNames: ReadonlySet<string> = new Set([
  ...filterNames,
  ...['filesizeformat', 'pprint', 'random', 'striptags', 'urlize', 'wordwrap', 'xmlattr'],
]);
