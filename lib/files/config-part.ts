/**
 * Finds the language model in a config.json that also describes parts that are not run, such as one that sees images.
 */
import { ConfigFields } from './config-fields.js';
import type { PartOfConfig } from './family/family.js';
import { isJsonObject, type JsonObject, shown } from './json-file.js';
import { isBookkeeping } from './known-fields.js';

export interface LanguageModel {
  fields: JsonObject;
  /** The objects that describe the parts that are not run. */
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
  const fields = new Map<string, unknown>();
  for (const name of inner.names()) if (!ownNames.has(name)) fields.set(name, inner.raw(name));
  const leftOut: string[] = [];
  for (const name of outer.names()) {
    const value = outer.raw(name);
    if (name === part.field) continue;
    if (part.others.includes(name)) {
      if (isJsonObject(value)) leftOut.push(name);
    } else if (!inner.has(name)) fields.set(name, value);
    else if (outer.has(name) && !ownNames.has(name) && !isBookkeeping(name) && !isSame(inner.raw(name), value))
      throw outer.bad(`${name}: ${shown(value)}, but ${inner.label(name)} is ${shown(inner.raw(name))}`);
  }
  // Names such as __proto__ become fields like any other, which are refused.
  return { fields: Object.fromEntries(fields), leftOut };
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

function isSame(a: unknown, b: unknown): boolean {
  try {
    return JSON.stringify(a) === JSON.stringify(b);
  } catch {
    // Too deep a nesting overflows the stack.
    return false;
  }
}
