/** The fields that ask for an answer of some form: OpenAI's, and those that clients of other servers send. */
import { z } from 'zod';
import type { GenerateOptions } from '../../types.js';
import { badRequest, unsupported } from '../errors.js';

/** The options of the library that constrain an answer's text. */
type Constraint = Pick<GenerateOptions, 'jsonSchema' | 'regex' | 'grammar' | 'choice'>;

/** The fields as clients send them. */
export interface ConstraintRequest {
  response_format: Record<string, unknown> | undefined;
  structured_outputs: Record<string, unknown> | undefined;
  guided_json: unknown;
  guided_regex: string | undefined;
  guided_choice: string[] | undefined;
  guided_grammar: string | undefined;
  regex: string | undefined;
  ebnf: string | undefined;
}

const anyObject = z.record(z.string(), z.unknown()).optional();
const text = z.string().min(1).optional();

/** Their schemas, for the schema of a body. */
export const constraintFields: { [Name in keyof ConstraintRequest]: z.ZodType<ConstraintRequest[Name]> } = {
  response_format: anyObject,
  structured_outputs: anyObject,
  guided_json: z.unknown().optional(),
  guided_regex: text,
  guided_choice: z.array(z.string().min(1)).min(1).optional(),
  guided_grammar: text,
  regex: text,
  ebnf: text,
};

/** A form of the answer, and the field that asks for it. */
interface Asked {
  field: string;
  options: Constraint;
}

/** The names of vLLM's `structured_outputs`, and of the library's options for them. */
const structured = { json: 'jsonSchema', regex: 'regex', choice: 'choice', grammar: 'grammar' } as const;

/**
 * The library's options for the form that a request asks for. The field by which it asks is noted in `fieldNames`, for
 * errors of the library.
 *
 * @throws ApiError 400 naming the field
 */
export function readConstraint(fields: ConstraintRequest, fieldNames: Record<string, string>): Constraint {
  const [first, second] = [...responseFormat(fields), ...structuredOutputs(fields), ...single(fields)];
  if (second !== undefined) throw badRequest(second.field, `wanted one form of the answer, found ${first!.field}, too`);
  if (first === undefined) return {};
  for (const option of Object.keys(first.options)) fieldNames[option] = first.field;
  return first.options;
}

function responseFormat({ response_format: format }: ConstraintRequest): Asked[] {
  if (format === undefined || format.type === 'text') return [];
  const asked = (field: string, options: Constraint) => [{ field: `response_format${field}`, options }];
  switch (format.type) {
    case 'json_object':
      return asked('', { jsonSchema: { type: 'object' } });
    case 'json_schema': {
      const { schema } = (format.json_schema ?? {}) as { schema?: unknown };
      return asked('.json_schema.schema', { jsonSchema: schemaOf(schema, 'response_format.json_schema.schema') });
    }
    case 'regex': {
      const pattern = format.schema ?? format.pattern;
      if (typeof pattern !== 'string') throw badRequest('response_format.schema', 'wanted a pattern');
      return asked('.schema', { regex: pattern });
    }
    default:
      throw unsupported(
        'response_format.type',
        `wanted text, json_object, json_schema or regex, found ${JSON.stringify(format.type)}`,
      );
  }
}

function structuredOutputs({ structured_outputs: outputs = {} }: ConstraintRequest): Asked[] {
  return Object.entries(outputs).flatMap(([name, value]): Asked[] => {
    if (value === null || value === undefined) return [];
    const field = `structured_outputs.${name}`;
    if (!Object.hasOwn(structured, name))
      throw unsupported(field, `wanted one of ${Object.keys(structured).join(', ')}`);
    const option = structured[name as keyof typeof structured];
    // The library checks the values of the others.
    return [{ field, options: { [option]: option === 'jsonSchema' ? schemaOf(value, field) : value } }];
  });
}

function single(fields: ConstraintRequest): Asked[] {
  const { guided_json: json, guided_choice: choice } = fields;
  const asked: [field: string, options: Constraint | undefined][] = [
    ['guided_json', json === undefined ? undefined : { jsonSchema: schemaOf(json, 'guided_json') }],
    ['guided_choice', choice && { choice }],
    ['guided_regex', patternOf(fields.guided_regex)],
    ['regex', patternOf(fields.regex)],
    ['guided_grammar', grammarOf(fields.guided_grammar)],
    ['ebnf', grammarOf(fields.ebnf)],
  ];
  return asked.flatMap(([field, options]) => (options === undefined ? [] : [{ field, options }]));
}

function patternOf(regex: string | undefined): Constraint | undefined {
  return regex === undefined ? undefined : { regex };
}

function grammarOf(grammar: string | undefined): Constraint | undefined {
  return grammar === undefined ? undefined : { grammar };
}

/** A schema, which some clients send as text. */
function schemaOf(value: unknown, field: string): object | boolean {
  let schema = value;
  try {
    if (typeof value === 'string') schema = JSON.parse(value);
  } catch {
    throw badRequest(field, 'wanted a JSON Schema, found a text that is no JSON');
  }
  if (typeof schema === 'boolean' || (typeof schema === 'object' && schema !== null && !Array.isArray(schema)))
    return schema;
  throw badRequest(field, 'wanted a JSON Schema');
}
