/** JSON Schemas for tests, and a validator that is not ours. */
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { formats } from '../../lib/text/grammar/formats.js';

/** Says why a text is not JSON that is valid by the schema. Null if it is. */
export function schemaFault(schema: object | boolean, text: string): string | null {
  const patterns = Object.entries(formats).map(([name, pattern]) => [name, new RegExp(`^(?:${pattern})$`, 'u')]);
  const options = { strict: false, formats: Object.fromEntries(patterns) };
  // Tuples as older drafts have them are an error in the newest.
  const isOld = typeof schema === 'object' && 'items' in schema && Array.isArray(schema.items);
  const validate = isOld ? new Ajv(options).compile(schema) : new Ajv2020(options).compile(schema);
  try {
    return validate(JSON.parse(text)) ? null : JSON.stringify(validate.errors);
  } catch (error) {
    return (error as Error).message;
  }
}

/** Schemas that answers can be held to, one or more for each thing that a schema can say. */
export const schemas: readonly (object | boolean)[] = [
  true,
  {},
  { type: 'object' },
  { type: 'array' },
  { type: 'string' },
  { type: 'integer' },
  { type: 'number' },
  { type: 'boolean' },
  { type: 'null' },
  { type: ['string', 'null'] },
  { type: ['integer', 'boolean', 'array'], maxItems: 2 },
  { enum: ['red', 'green', 3, null, { a: [1, '"'] }] },
  { const: 'a "quoted" \\ text\n' },
  { type: 'string', enum: ['yes', 'no', 3] },
  { type: 'string', minLength: 2, maxLength: 6 },
  { type: 'string', maxLength: 0 },
  { type: 'string', minLength: 3 },
  { minLength: 1, maxLength: 40 },
  { type: 'string', pattern: '^[A-Z]{2}-\\d{3,5}$' },
  { type: 'string', pattern: '^ab+c' },
  { type: 'string', pattern: '^(a|b)*$|^x.y$' },
  { type: 'string', pattern: '^[^a-z]{1,4}$' },
  { type: 'string', pattern: '^\\s\\S\\w\\W\\D$' },
  { type: 'string', pattern: '^["\\\\\\n]+?\\u{1F600}$' },
  { type: 'string', pattern: '^(?:(?<year>[12]\\d{3})/)?q[1-4]$' },
  ...['date', 'time', 'date-time', 'duration', 'email', 'hostname', 'ipv4', 'uri', 'uuid'].map((format) => ({
    format,
  })),
  { type: 'integer', minimum: 1, maximum: 30 },
  { type: 'integer', minimum: -105, maximum: 7 },
  { type: 'integer', exclusiveMinimum: 99.5, exclusiveMaximum: 1003 },
  { type: 'integer', minimum: 1000 },
  { type: 'integer', maximum: -5 },
  { type: 'number', minimum: 0, maximum: 1 },
  { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
  { type: 'number', exclusiveMinimum: 1.5, maximum: 1.75 },
  { type: 'number', minimum: -2.25, maximum: 10.5 },
  { type: 'number', exclusiveMinimum: -0.05, exclusiveMaximum: 0.05 },
  { type: 'number', minimum: 12.375 },
  { type: 'number', exclusiveMaximum: -3.5 },
  { maximum: 5 },
  { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 3 },
  { type: 'array', items: { type: 'boolean' }, minItems: 2 },
  { type: 'array', maxItems: 0 },
  { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false },
  {
    type: 'array',
    prefixItems: [{ type: 'integer' }, { type: 'string' }],
    items: { type: 'null' },
    minItems: 3,
    maxItems: 4,
  },
  { type: 'array', prefixItems: [{ const: 1 }, { const: 2 }], minItems: 1 },
  { type: 'array', items: [{ type: 'integer' }], additionalItems: { type: 'boolean' } },
  { type: 'array', items: { type: 'array', items: { type: 'number' }, maxItems: 2 }, maxItems: 2 },
  {
    type: 'object',
    properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0, maximum: 150 } },
    required: ['name', 'age'],
    additionalProperties: false,
  },
  { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'boolean' }, c: { type: 'null' } } },
  {
    type: 'object',
    properties: { a: { type: 'integer' }, b: { type: 'boolean' }, c: { type: 'null' } },
    required: ['b'],
  },
  { type: 'object', properties: { 'a "key"': { type: 'integer' }, 키: { const: '값' } }, required: ['키'] },
  { type: 'object', additionalProperties: { type: 'number' } },
  { type: 'object', additionalProperties: { type: 'integer' }, minProperties: 1, maxProperties: 2 },
  { type: 'object', maxProperties: 0 },
  {
    type: 'object',
    properties: { a: { type: 'integer' }, ab: { type: 'boolean' } },
    additionalProperties: { type: 'string', maxLength: 3 },
  },
  { type: 'object', properties: { a: { type: 'integer' } }, required: ['a', 'other'], additionalProperties: true },
  { properties: { unused: false, used: true }, required: ['used'] },
  {
    anyOf: [
      { type: 'integer', minimum: 5 },
      { type: 'string', maxLength: 2 },
    ],
  },
  { oneOf: [{ type: 'integer' }, { type: 'string' }, { type: 'null' }] },
  {
    oneOf: [
      {
        type: 'object',
        properties: { kind: { const: 'circle' }, radius: { type: 'number', minimum: 0 } },
        required: ['kind', 'radius'],
      },
      {
        type: 'object',
        properties: { kind: { const: 'square' }, side: { type: 'number', minimum: 0 } },
        required: ['kind', 'side'],
      },
    ],
  },
  { allOf: [{ $ref: '#/$defs/positive' }], $defs: { positive: { type: 'integer', minimum: 1 } } },
  { $ref: '#/definitions/a~1b', definitions: { 'a/b': { type: 'boolean' } } },
  {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A tree',
    type: 'object',
    properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#' }, maxItems: 2 } },
    required: ['value'],
    additionalProperties: false,
  },
  {
    type: 'object',
    properties: { list: { $ref: '#/$defs/list' } },
    required: ['list'],
    $defs: {
      list: {
        anyOf: [
          { type: 'null' },
          { type: 'object', properties: { next: { $ref: '#/$defs/list' } }, required: ['next'] },
        ],
      },
    },
  },
  {
    type: 'object',
    description: 'A person as a form would have it',
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 20 },
      born: { type: 'string', format: 'date' },
      tags: { type: 'array', items: { enum: ['a', 'b', 'c'] }, maxItems: 3, uniqueItems: false },
      address: {
        anyOf: [
          { type: 'null' },
          {
            type: 'object',
            properties: { city: { type: 'string' }, zip: { type: 'string', pattern: '^\\d{5}$' } },
            required: ['zip'],
          },
        ],
      },
    },
    required: ['name', 'tags'],
  },
];
