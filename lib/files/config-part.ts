/**
 * Finds the language model in a config.json that also describes parts that are not run, such as one that sees images.
 */
import { isDeepStrictEqual } from 'node:util';
import { ConfigFields } from './config-fields.js';
import type { PartOfConfig } from './family/family.js';
import { type JsonObject, shown } from './json-file.js';
import { isBookkeeping } from './known-fields.js';

export interface LanguageModel {
  fields: JsonObject;
  /** The fields of the parts that are not run. */
  leftOut: string[];
}

/**
 * The language model's fields, of `part.field` and beside it, in one object. A config that is the language model's own
 * is returned as it is.
 *
 * @throws KexaError KEXA_BAD_CONFIG for a field that says two things; KEXA_UNSUPPORTED for a model of another type.
 */
export function languageModelOf(file: string, json: JsonObject, part: PartOfConfig | null): LanguageModel {
  const outer = new ConfigFields(file, json);
  if (part === null || !outer.has(part.field)) return { fields: json, leftOut: [] };
  const inner = outer.object(part.field);
  demandOneOf(inner, 'model_type', part.types, inner.raw('model_type'));
  const { architectures } = part;
  if (inner.has('architectures'))
    demandOneOf(inner, 'architectures', architectures, firstOf(inner.raw('architectures')));
  const fields: Record<string, unknown> = {};
  for (const name of inner.names()) if (!ownNames.has(name)) fields[name] = inner.raw(name);
  const leftOut: string[] = [];
  for (const name of outer.names()) {
    const value = outer.raw(name);
    if (part.others.includes(name)) leftOut.push(name);
    else if (name === part.field) continue;
    else if (!inner.has(name)) fields[name] = value;
    else if (
      outer.has(name) &&
      !ownNames.has(name) &&
      !isBookkeeping(name) &&
      !isDeepStrictEqual(inner.raw(name), value)
    )
      throw outer.bad(`${name}: ${shown(value)}, but ${inner.label(name)} is ${shown(inner.raw(name))}`);
  }
  return { fields, leftOut };
}

/** Fields that each object has for itself. */
const ownNames: ReadonlySet<string> = new Set(['model_type', 'architectures']);

function firstOf(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? value[0] : value;
}

function demandOneOf(fields: ConfigFields, name: string, wanted: readonly string[], found: unknown): void {
  if (wanted.some((one) => one === found)) return;
  throw fields.unsupported(
    `${fields.label(name)} ${shown(found)}: this version runs ${wanted.map(shown).join(' or ')}`,
  );
}
