/** The keywords of JSON Schema: which of them an answer is held to, and which say nothing about it. */

export type JsonType = 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';

export const jsonTypes: readonly JsonType[] = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'];

/** The keywords that constrain values of a type. */
export const typeKeywords: Readonly<Record<'object' | 'array' | 'string' | 'number', readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties', 'unevaluatedProperties', 'minProperties', 'maxProperties'],
  array: ['items', 'prefixItems', 'additionalItems', 'minItems', 'maxItems', 'uniqueItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
};

/** The keywords that stand for a whole schema of their own. Beside them only `type` and annotations may stand. */
export const wholeKeywords: readonly string[] = ['$ref', 'enum', 'const', 'anyOf', 'oneOf', 'allOf'];

/** The keywords that say nothing about which values are valid. */
export const annotations: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  '$defs',
  'definitions',
  '$comment',
  'title',
  'description',
  'default',
  'examples',
  'example',
  'deprecated',
  'readOnly',
  'writeOnly',
  'contentMediaType',
  'contentEncoding',
  'strict',
]);

/** Limits of a schema. Larger ones take too long to compile. */
export const schemaLimits = {
  /** The deepest nesting of schemas. */
  depth: 32,
  /** The largest minLength and maxLength. */
  length: 48,
  /** The largest minItems, maxItems, and counts of properties. */
  items: 256,
} as const;
