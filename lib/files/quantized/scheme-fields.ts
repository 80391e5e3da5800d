/** The shared parts of the readers of quantization_config: lists of names, and checks of fields. */
import type { WeightFormat } from '../../description.js';
import { type ConfigFields, isText } from '../config-fields.js';
import { isJsonObject, shown } from '../json-file.js';
import { patternOf } from './scheme.js';

/** Reads a list of names and patterns, and checks every pattern. */
export function readNames(fields: ConfigFields, name: string): string[] {
  const value = fields.raw(name) ?? [];
  if (!Array.isArray(value) || !value.every(isText)) {
    throw fields.bad(`${fields.label(name)}: wanted a list of names, found ${shown(value)}`);
  }
  return value.map((entry) => (entry.startsWith('re:') ? checkedPattern(fields, name, entry) : entry));
}

/** Refuses an entry whose text after `re:` is no regular expression. It returns the entry. */
export function checkedPattern(fields: ConfigFields, name: string, entry: string): string {
  try {
    patternOf(entry);
  } catch {
    throw fields.bad(`${fields.label(name)}: wanted a regular expression after re:, found ${shown(entry)}`);
  }
  return entry;
}

/** The groups of AutoAWQ and GPTQ. A `group_size` of -1 stands for whole rows. */
export function readGroups(fields: ConfigFields): Pick<WeightFormat, 'strategy' | 'groupSize'> {
  if (fields.raw('group_size') === -1) return { strategy: 'channel', groupSize: null };
  return { strategy: 'group', groupSize: readGroupSize(fields) };
}

/** The columns of a group. */
export function readGroupSize(fields: ConfigFields): number {
  return fields.integer('group_size', 1, 2 ** 20);
}

/** Refuses a field that has none of the values that this version reads. It returns the value. */
export function demandOneOf<T extends string | number | boolean>(
  fields: ConfigFields,
  name: string,
  wanted: readonly T[],
): T {
  if (!fields.has(name)) throw fields.missing(name);
  const value = fields.raw(name);
  const found = wanted.find((one) => one === value);
  if (found !== undefined) return found;
  const known = wanted.map(shown).join(' or ');
  throw fields.unsupported(`${fields.label(name)} ${shown(value)}: this version reads ${known} only`);
}

/** Refuses any other field that is set, because it may change the maths. */
export function refuseOthers(fields: ConfigFields, known: readonly string[]): void {
  for (const name of fields.names()) {
    const value = fields.raw(name);
    const isUnset = value === null || value === false || (isJsonObject(value) && Object.keys(value).length === 0);
    if (known.includes(name) || isUnset) continue;
    throw fields.unsupported(
      `${fields.label(name)} ${shown(value)}: this version does not know what it does to the weights`,
    );
  }
}
