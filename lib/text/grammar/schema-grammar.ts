/** Turns JSON Schemas into grammars. Every text of the grammar is valid; a keyword that it could not keep is refused. */
import { KexaError } from '../../errors.js';
import { isJsonObject, type JsonObject } from '../../files/json-file.js';
import { commaList, literal, repeat, toEbnf } from './ebnf.js';
import { formats } from './formats.js';
import { decimalsIn, integersIn, isPlainDecimal } from './number-range.js';
import { objectBody, otherKeys } from './object-grammar.js';
import { type Language, readPattern } from './pattern.js';
import { annotations, type JsonType, jsonTypes, schemaLimits, typeKeywords, wholeKeywords } from './schema-keywords.js';

/** Rules that every schema may use. Blanks are few, so that a model does not run on in them. */
const commonRules = `ws ::= [ ]{0,1} | "\\n" [ \\t]{0,24}
colon ::= ":" [ ]{0,1}
any ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (string colon any ("," ws string colon any)* ws)? "}"
array ::= "[" ws (any ("," ws any)* ws)? "]"
string ::= "\\"" (char | "\\\\u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))* "\\""
char ::= [^\\u0000-\\u001f\\u0022\\u005c] | "\\\\" [\\u0022\\u005c/bfnrt]
integer ::= "-"? ("0" | [1-9] [0-9]{0,14})
number ::= integer ("." [0-9]{1,15})? ([eE] [+\\-]? [0-9]{1,2})?`;

/**
 * The grammar of the JSON texts that are valid by a schema. Properties stand in the schema's order. Where a schema has
 * `properties`, others appear only if `additionalProperties` says so.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT for what is no schema, or one that no value fits; KEXA_UNSUPPORTED for what a
 *   grammar cannot keep. The message names the place as a path: `jsonSchema/properties/age`.
 */
export function schemaGrammar(schema: unknown, name: string): string {
  return new SchemaReader(schema, name).read();
}

class SchemaReader {
  readonly #root: unknown;
  readonly #name: string;
  readonly #rules: string[] = [];
  /** The rule of each schema that a `$ref` names, and the references that are open without anything around them. */
  readonly #references = new Map<string, string>();
  readonly #open = new Set<string>();

  constructor(root: unknown, name: string) {
    this.#root = root;
    this.#name = name;
  }

  read(): string {
    const root = this.#value(this.#root, this.#name, 0);
    return `root ::= ${root}\n${this.#rules.join('\n')}\n${commonRules}\n`;
  }

  #rule(body: string): string {
    const rule = `r${this.#rules.length}`;
    this.#rules.push(`${rule} ::= ${body}`);
    return rule;
  }

  /** The expression of a schema's values. */
  #value(schema: unknown, path: string, depth: number): string {
    if (schema === true) return 'any';
    if (schema === false) throw noValue(path, 'false allows none');
    if (!isJsonObject(schema)) throw wrong(path, 'an object, true or false', schema);
    if (depth > schemaLimits.depth)
      throw unsupported(path, `schemas of at most ${schemaLimits.depth} levels`, 'a deeper one');
    this.#checkKeywords(schema, path);
    const whole = wholeKeywords.filter((keyword) => keyword in schema);
    if (whole.length > 0) return this.#whole(schema, whole, path, depth);
    return this.#ofTypes(schema, typesOf(schema, path), path, depth);
  }

  #checkKeywords(schema: JsonObject, path: string): void {
    for (const keyword of Object.keys(schema)) {
      if (annotations.has(keyword) || keyword.startsWith('x-') || keyword === 'type') continue;
      if (wholeKeywords.includes(keyword) || Object.values(typeKeywords).flat().includes(keyword)) continue;
      throw unsupported(path, 'keywords that a grammar can keep', `'${keyword}'`);
    }
  }

  #whole(schema: JsonObject, [keyword, other]: string[], path: string, depth: number): string {
    const isList = keyword === 'enum' || keyword === 'const';
    for (const beside of Object.keys(schema)) {
      if (beside === keyword || annotations.has(beside) || beside.startsWith('x-')) continue;
      if (beside === 'type' && isList && other === undefined) continue;
      throw unsupported(path, `no other keyword beside '${keyword}'`, `'${beside}'`);
    }
    switch (keyword) {
      case '$ref':
        return this.#reference(schema.$ref, path, depth);
      case 'enum':
      case 'const':
        return this.#list(schema, path);
      default:
        return this.#branches(schema, keyword as 'anyOf', path, depth);
    }
  }

  #list(schema: JsonObject, path: string): string {
    const given = 'enum' in schema ? schema.enum : [schema.const];
    if (!Array.isArray(given) || given.length === 0)
      throw wrong(`${path}/enum`, 'an array of at least one value', given);
    const types = 'type' in schema ? typesOf(schema, path) : jsonTypes;
    const values = given.filter((value) => types.some((type) => hasType(value, type)));
    if (values.length === 0) throw noValue(path, 'no listed value has the type');
    return `(${values.map((value) => literal(JSON.stringify(value))).join(' | ')})`;
  }

  #branches(schema: JsonObject, keyword: 'anyOf' | 'oneOf' | 'allOf', path: string, depth: number): string {
    const given = schema[keyword];
    if (!Array.isArray(given) || given.length === 0)
      throw wrong(`${path}/${keyword}`, 'an array of at least one schema', given);
    if (keyword === 'allOf' && given.length > 1)
      throw unsupported(path, "'allOf' of one schema", `one of ${given.length}; write them as one`);
    if (keyword === 'oneOf' && !areApart(given.map((branch) => this.#resolved(branch))))
      throw unsupported(
        path,
        "'oneOf' whose branches differ in type, or in a required property with a constant",
        'others; use anyOf',
      );
    return `(${given.map((branch, i) => this.#value(branch, `${path}/${keyword}/${i}`, depth + 1)).join(' | ')})`;
  }

  #reference(ref: unknown, path: string, depth: number): string {
    if (typeof ref !== 'string' || !/^#(\/|$)/.test(ref))
      throw unsupported(`${path}/$ref`, 'a place in the same schema, such as #/$defs/name', JSON.stringify(ref));
    const known = this.#references.get(ref);
    if (this.#open.has(ref)) throw noValue(path, `'${ref}' means itself`);
    if (known !== undefined) return known;
    const target = this.#find(ref, path);
    const rule = `ref${this.#references.size}`;
    this.#references.set(ref, rule);
    this.#open.add(ref);
    const body = this.#value(target, `${this.#name}${ref.slice(1)}`, depth + 1);
    this.#open.delete(ref);
    this.#rules.push(`${rule} ::= ${body}`);
    return rule;
  }

  #find(ref: string, path: string): unknown {
    let found: unknown = this.#root;
    for (const part of ref.split('/').slice(1)) {
      const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      const isThere = typeof found === 'object' && found !== null && Object.hasOwn(found, key);
      if (!isThere) throw new KexaError('KEXA_INVALID_ARGUMENT', `${path}/$ref: there is no ${ref}`);
      found = (found as JsonObject)[key];
    }
    return found;
  }

  #resolved(schema: unknown): unknown {
    const ref = isJsonObject(schema) ? schema.$ref : undefined;
    return typeof ref === 'string' && /^#(\/|$)/.test(ref) ? this.#find(ref, this.#name) : schema;
  }

  #ofTypes(schema: JsonObject, types: readonly JsonType[], path: string, depth: number): string {
    const found = types.map((type) => this.#ofType(schema, type, path, depth));
    return found.length === 1 ? found[0]! : `(${found.join(' | ')})`;
  }

  #ofType(schema: JsonObject, type: JsonType, path: string, depth: number): string {
    switch (type) {
      case 'object':
        return this.#nested(() => this.#object(schema, path, depth));
      case 'array':
        return this.#nested(() => this.#array(schema, path, depth));
      case 'string':
        return this.#string(schema, path);
      case 'integer':
      case 'number':
        return number(schema, type, path);
      case 'boolean':
        return '("true" | "false")';
      case 'null':
        return '"null"';
    }
  }

  /** Inside brackets a schema may refer to the one around it. */
  #nested(make: () => string): string {
    const open = [...this.#open];
    this.#open.clear();
    const made = make();
    for (const ref of open) this.#open.add(ref);
    return made;
  }

  #object(schema: JsonObject, path: string, depth: number): string {
    const given = schema.properties ?? {};
    if (!isJsonObject(given)) throw wrong(`${path}/properties`, 'an object of schemas', given);
    const required = schema.required ?? [];
    if (!Array.isArray(required) || !required.every((name) => typeof name === 'string'))
      throw wrong(`${path}/required`, 'an array of names', required);
    const others = schema.additionalProperties ?? schema.unevaluatedProperties;
    const properties = new Map(Object.entries(given));
    const undeclared = required.filter((name) => !properties.has(name));
    if (undeclared.length > 0 && others === false)
      throw noValue(path, `'${undeclared[0]}' is required and not allowed`);
    for (const name of undeclared) properties.set(name, others ?? true);
    const members = [...properties].map(([name, value]) => {
      if (value === false && !required.includes(name)) return null;
      const written = this.#value(value, `${path}/properties/${name}`, depth + 1);
      return { expression: `${literal(JSON.stringify(name))} colon ${written}`, isRequired: required.includes(name) };
    });
    const isOpen = others === undefined ? properties.size === 0 : others !== false;
    const value = isOpen ? this.#value(others ?? true, `${path}/additionalProperties`, depth + 1) : null;
    const names = [...properties.keys()];
    const key = names.length === 0 ? 'string' : `"\\"" ${toEbnf(otherKeys(names), 'json')!} "\\""`;
    const range = counts(schema, 'minProperties', 'maxProperties', schemaLimits.items, path);
    const ranged = 'minProperties' in schema || 'maxProperties' in schema;
    if (ranged && (names.length > 0 || range.least > 1))
      throw unsupported(
        path,
        'counts of properties only for objects without named ones, and minProperties of at most 1',
        'others',
      );
    return this.#rule(
      objectBody({
        members: members.filter((member) => member !== null),
        other: value === null ? null : `${key} colon ${value}`,
        least: range.least,
        most: range.most,
        rule: (body) => this.#rule(body),
      }),
    );
  }

  #array(schema: JsonObject, path: string, depth: number): string {
    if (schema.uniqueItems !== undefined && schema.uniqueItems !== false)
      throw unsupported(path, 'keywords that a grammar can keep', "'uniqueItems'");
    const isOldTuple = Array.isArray(schema.items);
    const first = isOldTuple ? schema.items : (schema.prefixItems ?? []);
    const rest = isOldTuple ? schema.additionalItems : schema.items;
    if (!Array.isArray(first)) throw wrong(`${path}/prefixItems`, 'an array of schemas', first);
    const { least, most } = counts(schema, 'minItems', 'maxItems', schemaLimits.items, path);
    const keyword = isOldTuple ? 'items' : 'prefixItems';
    const items = first.slice(0, most).map((item, i) => this.#value(item, `${path}/${keyword}/${i}`, depth + 1));
    const hasRest = rest !== false && most > items.length;
    if (least > items.length && !hasRest) throw noValue(path, `it wants ${least} items and allows ${items.length}`);
    const other = hasRest ? this.#rule(this.#value(rest ?? true, `${path}/items`, depth + 1)) : null;
    return this.#rule(`"[" ws ${this.#items(items, other, least, most)} "]"`);
  }

  /** Items with commas between them. */
  #items(first: readonly string[], other: string | null, least: number, most: number): string {
    if (first.length === 0) return other === null ? '""' : commaList(other, least, most);
    let tail =
      other === null ? '""' : repeat(`"," ws ${other}`, Math.max(0, least - first.length), most - first.length);
    for (let i = first.length - 1; i > 0; i--)
      tail = this.#rule(i < least ? `"," ws ${first[i]} ${tail}` : `("," ws ${first[i]} ${tail})?`);
    return least > 0 ? `${first[0]} ${tail} ws` : `(${first[0]} ${tail} ws)?`;
  }

  #string(schema: JsonObject, path: string): string {
    const { least, most } = counts(schema, 'minLength', 'maxLength', schemaLimits.length, path);
    const isCounted = 'minLength' in schema || 'maxLength' in schema;
    const language = stringLanguage(schema, path);
    if (language === null) return isCounted ? `("\\"" ${repeat('char', least, most)} "\\"")` : 'string';
    if (isCounted) throw unsupported(path, "a length or a 'pattern' or 'format'", 'both');
    const written = toEbnf(language, 'json');
    if (written === undefined) throw noValue(path, 'no text of JSON has the pattern');
    return this.#rule(`"\\"" ${written} "\\""`);
  }
}

/** The language of a string's pattern or format. Null if it has neither. */
function stringLanguage({ pattern, format }: JsonObject, path: string): Language | null {
  if (pattern !== undefined && format !== undefined) throw unsupported(path, "a 'pattern' or a 'format'", 'both');
  if (pattern !== undefined) {
    if (typeof pattern !== 'string') throw wrong(`${path}/pattern`, 'a text', pattern);
    return readPattern(pattern, `${path}/pattern`, false);
  }
  if (format === undefined) return null;
  if (typeof format === 'string' && Object.hasOwn(formats, format))
    return readPattern(formats[format]!, `${path}/format`, true);
  throw unsupported(`${path}/format`, `one of ${Object.keys(formats).join(', ')}`, JSON.stringify(format));
}

function number(schema: JsonObject, type: 'integer' | 'number', path: string): string {
  const bound = (keyword: string): number | undefined => {
    const value = schema[keyword];
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
    throw wrong(`${path}/${keyword}`, 'a number', value);
  };
  const [minimum, maximum] = [bound('minimum'), bound('maximum')];
  const [above, below] = [bound('exclusiveMinimum'), bound('exclusiveMaximum')];
  if ([minimum, maximum, above, below].every((value) => value === undefined)) return type;
  let language: Language | null;
  if (type === 'integer') {
    const lows = [
      minimum === undefined ? undefined : Math.ceil(minimum),
      above === undefined ? undefined : Math.floor(above) + 1,
    ];
    const highs = [
      maximum === undefined ? undefined : Math.floor(maximum),
      below === undefined ? undefined : Math.ceil(below) - 1,
    ];
    const least = largestOf(lows);
    const most = smallestOf(highs);
    for (const value of [least, most])
      if (value !== undefined && Math.abs(value) >= 1e15) throw unsupported(path, 'bounds below 1e15', String(value));
    language = integersIn(least, most);
  } else {
    const least = largestOf([minimum, above]);
    const most = smallestOf([maximum, below]);
    for (const value of [least, most])
      if (value !== undefined && !isPlainDecimal(value))
        throw unsupported(path, 'bounds of at most six digits before the point and six after it', String(value));
    language = decimalsIn({ least, most, isAboveLeast: least === above, isBelowMost: most === below });
  }
  if (language === null) throw noValue(path, 'no number is within its bounds');
  return toEbnf(language, 'plain')!;
}

function largestOf(values: (number | undefined)[]): number | undefined {
  const found = values.filter((value) => value !== undefined);
  return found.length === 0 ? undefined : Math.max(...found);
}

function smallestOf(values: (number | undefined)[]): number | undefined {
  const found = values.filter((value) => value !== undefined);
  return found.length === 0 ? undefined : Math.min(...found);
}

/** Two counts of a schema. No most is Infinity. */
function counts(
  schema: JsonObject,
  low: string,
  high: string,
  limit: number,
  path: string,
): { least: number; most: number } {
  const count = (keyword: string, or: number): number => {
    const value = schema[keyword];
    if (value === undefined) return or;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
      throw wrong(`${path}/${keyword}`, 'a whole number', value);
    if (value > limit) throw unsupported(`${path}/${keyword}`, `at most ${limit}`, String(value));
    return value;
  };
  const [least, most] = [count(low, 0), count(high, Number.POSITIVE_INFINITY)];
  if (least > most) throw noValue(path, `${low} ${least} is above ${high} ${most}`);
  return { least, most };
}

/** The types that a schema allows: those it names, or those that its keywords are about, or all. */
function typesOf(schema: JsonObject, path: string): readonly JsonType[] {
  if (schema.type === undefined) {
    const about = Object.entries(typeKeywords).filter(([, keywords]) => keywords.some((keyword) => keyword in schema));
    if (about.length > 0) return about.map(([type]) => type as JsonType);
    return ['object', 'array', 'string', 'number', 'boolean', 'null'];
  }
  const types: unknown[] = Array.isArray(schema.type) ? schema.type : [schema.type];
  for (const type of types)
    if (!jsonTypes.includes(type as JsonType)) throw wrong(`${path}/type`, `one of ${jsonTypes.join(', ')}`, type);
  if (types.length === 0) throw wrong(`${path}/type`, 'at least one type', types);
  return types as JsonType[];
}

function hasType(value: unknown, type: JsonType): boolean {
  if (value === null) return type === 'null';
  if (Array.isArray(value)) return type === 'array';
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

/** Whether no value fits two of the schemas: they differ in type, or in a required property with a constant. */
function areApart(schemas: readonly unknown[]): boolean {
  const known = schemas.filter(isJsonObject);
  if (known.length !== schemas.length) return false;
  const types = known.map((schema) => (Array.isArray(schema.type) ? schema.type : [schema.type]) as unknown[]);
  const all = types.flat().map((type) => (type === 'integer' ? 'number' : type));
  if (!all.includes(undefined) && new Set(all).size === all.length) return true;
  const shared = Object.keys(isJsonObject(known[0]?.properties) ? known[0].properties : {});
  return shared.some((name) => {
    const values = known.flatMap((schema) => constantsOf(schema, name) ?? [undefined]);
    return !values.includes(undefined) && new Set(values).size === values.length;
  });
}

function constantsOf(schema: JsonObject, name: string): string[] | undefined {
  const isRequired = Array.isArray(schema.required) && schema.required.includes(name);
  const property = isJsonObject(schema.properties) ? schema.properties[name] : undefined;
  if (!isRequired || !isJsonObject(property)) return undefined;
  const values = 'const' in property ? [property.const] : property.enum;
  return Array.isArray(values) ? values.map((value) => JSON.stringify(value)) : undefined;
}

function wrong(path: string, wanted: string, found: unknown): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${path}: wanted ${wanted}, found ${JSON.stringify(found)}`);
}

function noValue(path: string, why: string): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${path}: no value is valid: ${why}`);
}

function unsupported(path: string, wanted: string, found: string): KexaError {
  return new KexaError('KEXA_UNSUPPORTED', `${path}: wanted ${wanted}, found ${found}`);
}
