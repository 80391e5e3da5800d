/** The description of the server for programs: `/openapi.json`, made from the schemas that check the bodies. */
import { z } from 'zod';
import { version } from '../package-root.js';
import { fieldHelp, unusedHelp } from './field-help.js';
import type { FieldSchema } from './fields.js';

/** One route of the server. */
export interface Operation {
  method: 'get' | 'post' | 'delete';
  path: string;
  summary: string;
  /** The schema of the body. */
  body?: BodySchema;
}

/** JSON Schema of a body. */
export interface BodySchema {
  properties: Record<string, { description: string }>;
}

/** The fields of a body as JSON Schema, each with its meaning; `own` are those that other bodies have otherwise. */
export function bodySchema(schema: FieldSchema, own: Readonly<Record<string, string>> = {}): BodySchema {
  const { $schema: _, properties = {}, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const described = Object.entries(properties).map(([name, property]) => [
    name,
    { ...(property as object), description: own[name] ?? fieldHelp[name] ?? unusedHelp },
  ]);
  // Fields that are not known are passed over.
  return { ...rest, properties: Object.fromEntries(described), additionalProperties: true } as BodySchema;
}

/** The description of the operations, in version 3.1 of that format. */
export function openApi(operations: readonly Operation[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const { method, path, summary, body } of operations) {
    const parameters = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => ({
      ...{ name, in: 'path', required: true, schema: { type: 'string' } },
    }));
    paths[path] ??= {};
    paths[path][method] = {
      summary,
      ...(parameters.length > 0 && { parameters }),
      ...(body && { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
      responses: { 200: { description: 'The answer' }, default: { description: 'An error' } },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'kexa', version: version() },
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    security: [{}, { key: [] }],
    paths,
  };
}
