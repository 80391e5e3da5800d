/** The part of JSON Schema that bench/schema.json uses. Any other word is an error. */
export interface Schema {
  type?: string | string[];
  enum?: unknown[];
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: false;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  pattern?: string;
}

const notes = ['$schema', 'title', 'description'];

/** The places where a value breaks the schema, with the reasons. Empty if the value is valid. */
export function violations(schema: Schema, value: unknown, path = '$'): string[] {
  const found: string[] = [];
  const demand = (holds: boolean, what: string) => {
    if (!holds) found.push(`${path}: ${what}, found ${JSON.stringify(value)?.slice(0, 60)}`);
  };
  for (const [word, rule] of Object.entries(schema)) {
    if (notes.includes(word)) continue;
    if (word === 'type')
      demand(
        [rule].flat().some((type) => isType(value, type as string)),
        `wanted ${rule}`,
      );
    else if (word === 'enum') demand((rule as unknown[]).includes(value), `wanted one of ${rule}`);
    else if (word === 'minimum') demand(typeof value !== 'number' || value >= (rule as number), `at least ${rule}`);
    else if (word === 'maximum') demand(typeof value !== 'number' || value <= (rule as number), `at most ${rule}`);
    else if (word === 'pattern')
      demand(typeof value !== 'string' || new RegExp(rule as string).test(value), `like ${rule}`);
    else if (word === 'minItems') demand(!Array.isArray(value) || value.length >= (rule as number), `${rule} items`);
    else if (word === 'maxItems') demand(!Array.isArray(value) || value.length <= (rule as number), `${rule} items`);
    else if (word === 'items')
      found.push(
        ...(Array.isArray(value) ? value : []).flatMap((one, i) => violations(rule as Schema, one, `${path}[${i}]`)),
      );
    else if (word === 'required' && isType(value, 'object'))
      for (const name of rule as string[]) demand(Object.hasOwn(value as object, name), `wanted ${name}`);
    else if (word === 'properties' && isType(value, 'object'))
      for (const [name, inner] of Object.entries(rule as Record<string, Schema>))
        if (Object.hasOwn(value as object, name))
          found.push(...violations(inner, (value as Record<string, unknown>)[name], `${path}.${name}`));
        else continue;
    else if (word === 'additionalProperties' && isType(value, 'object'))
      for (const name of Object.keys(value as object))
        demand(Object.hasOwn(schema.properties ?? {}, name), `${name} is not known`);
    else if (!['required', 'properties', 'additionalProperties'].includes(word))
      throw new Error(`the schema's ${word} is not checked here`);
  }
  return found;
}

function isType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}
