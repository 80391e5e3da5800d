/** Reads the fields of a request's body by a schema of zod. */
import type { z } from 'zod';
import { badRequest, unsupported } from './errors.js';
import type { Exchange } from './exchange.js';
import type { Settings } from './options.js';

/** A schema of an object, as {@link readFields} takes it. */
export type FieldSchema = z.ZodObject<Record<string, z.ZodType>>;

/**
 * Checks a body by a schema. A field that is null counts as absent, as clients send it. Fields that the schema does not
 * have are noted for the log, or refused if the server is strict.
 *
 * @throws ApiError 400 naming the field
 */
export function readFields<Schema extends FieldSchema>(
  schema: Schema,
  body: Record<string, unknown>,
  { settings, exchange }: { settings: Settings; exchange: Pick<Exchange, 'notes'> },
): z.infer<Schema> {
  const given = Object.entries(body).filter(([, value]) => value !== null && value !== undefined);
  const unknown = given.map(([name]) => name).filter((name) => !Object.hasOwn(schema.shape, name));
  if (unknown.length > 0 && settings.strictFields)
    throw badRequest(unknown[0]!, 'there is no such field', 'unknown_field');
  if (unknown.length > 0) exchange.notes.ignored = unknown.slice(0, 20).map((name) => name.slice(0, 64));
  const result = schema.safeParse(Object.fromEntries(given), { error: messageOf });
  if (result.success) return result.data;
  const { path, message, code } = result.error.issues[0]!;
  const at = pathText(path);
  if (code === 'custom' && message.startsWith(refusal)) throw unsupported(at, message.slice(refusal.length));
  throw badRequest(at, message);
}

/** The start of a custom issue's message that makes it a refusal of what kexa does not do. */
export const refusal = 'unsupported: ';

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : i === 0 ? String(part) : `.${String(part)}`))
    .join('');
}

/** The message of an issue: what was wanted, and what was found. Undefined leaves it to zod. */
function messageOf(issue: z.core.$ZodRawIssue): string | undefined {
  const found = shown(issue.input);
  switch (issue.code) {
    case 'invalid_type':
      return `wanted ${article(issue.expected)}, found ${found}`;
    case 'too_small':
      return `wanted ${issue.origin === 'number' ? '' : 'a length of '}${issue.minimum} or more, found ${found}`;
    case 'too_big':
      return `wanted ${issue.origin === 'number' ? '' : 'a length of '}at most ${issue.maximum}, found ${found}`;
    case 'invalid_value':
      return `wanted ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}, found ${found}`;
    case 'invalid_union':
      return `found ${found}, which is none of the forms that this field has`;
    case 'unrecognized_keys':
      return `there is no field ${issue.keys[0]}`;
    default:
      return undefined;
  }
}

function article(expected: string): string {
  if (expected === 'int') return 'an integer';
  if (expected === 'boolean') return 'true or false';
  return `${/^[aeiou]/.test(expected) ? 'an' : 'a'} ${expected}`;
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'string')
    return value.length > 80 ? `a text of ${value.length} characters` : JSON.stringify(value);
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
