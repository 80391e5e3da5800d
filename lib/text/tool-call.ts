import type { Tool, ToolCall } from '../types.js';

/**
 * Reads what stands between `<tool_call>` and `</tool_call>`, in either form:
 *
 * - K-EXAONE, Hermes: `{"name": …, "arguments": {…}}`
 * - K-EXAONE 2.0, Qwen3-Coder: `<function=NAME><parameter=KEY>value</parameter>…</function>`
 *
 * Gives undefined if it is neither. `tools` tells the types of the second form's values.
 */
export function parseToolCall(body: string, id: string, tools: readonly Tool[] = []): ToolCall | undefined {
  const source = body.trim();
  const call = source.startsWith('<') ? parseXml(source, tools) : parseJson(source);
  return call && { id, ...call };
}

type Call = Omit<ToolCall, 'id'>;

function parseJson(source: string): Call | undefined {
  const call = tryJson(source);
  if (!isObject(call) || typeof call.name !== 'string' || call.name === '') return undefined;
  const { name } = call;
  const value = call.arguments;
  if (value === undefined) return { name, arguments: {}, rawArguments: '' };
  // Some models write the arguments as a string holding JSON, as the OpenAI API does.
  const inner = typeof value === 'string' ? tryJson(value) : undefined;
  return isObject(inner)
    ? { name, arguments: inner, rawArguments: value as string }
    : { name, arguments: value, rawArguments: memberSource(source, 'arguments') };
}

/** The text of a member of a JSON object, which must be valid; of its last occurrence, as JSON.parse has it. */
function memberSource(source: string, key: string): string {
  let found = '';
  let depth = 0;
  let current = '';
  let start = 0;
  let previous = '';
  for (const { 0: token, index } of source.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    if (token === ':' && depth === 1) {
      current = JSON.parse(previous) as string;
      start = index + 1;
    }
    if (depth === 1 && (token === ',' || token === '}') && current === key) found = source.slice(start, index).trim();
    if (token === '{' || token === '[') depth++;
    if (token === '}' || token === ']') depth--;
    previous = token;
  }
  return found;
}

function parseXml(source: string, tools: readonly Tool[]): Call | undefined {
  const call = /^<function=([^>\n]+)>(.*)<\/function>$/s.exec(source);
  const name = call?.[1]?.trim();
  if (!call || !name) return undefined;
  const rawArguments = call[2]!.trim();
  const values: [string, unknown][] = [];
  let end = 0;
  for (const match of rawArguments.matchAll(/<parameter=([^>\n]+)>(.*?)<\/parameter>/gs)) {
    if (rawArguments.slice(end, match.index).trim() !== '') return undefined;
    const key = match[1]!.trim();
    values.push([key, xmlValue(match[2]!.replace(/^\n|\n$/g, ''), declaredTypes(tools, name, key))]);
    end = match.index + match[0].length;
  }
  if (rawArguments.slice(end).trim() !== '') return undefined;
  return { name, arguments: Object.fromEntries(values), rawArguments };
}

/** Values of this form are bare text: what the tool declares decides; without it, what reads as JSON is JSON. */
function xmlValue(text: string, types: readonly unknown[]): unknown {
  if (types.length > 0 && types.every((type) => type === 'string')) return text;
  // Models trained on Python write its names for these.
  const python: Record<string, unknown> = { True: true, False: false, None: null };
  const name = text.trim();
  const value = Object.hasOwn(python, name) ? python[name] : tryJson(text);
  if (value === undefined) return text;
  return types.length === 0 || types.includes(jsonType(value)) || !types.includes('string') ? value : text;
}

function declaredTypes(tools: readonly Tool[], name: string, key: string): unknown[] {
  const parameters = tools.find((tool) => tool.function.name === name)?.function.parameters;
  const properties = isObject(parameters) ? parameters.properties : undefined;
  const schema = isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined;
  const type = isObject(schema) ? schema.type : undefined;
  const types: unknown[] = Array.isArray(type) ? type : type === undefined ? [] : [type];
  return types.includes('number') ? [...types, 'integer'] : types;
}

function jsonType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
