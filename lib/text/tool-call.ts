import { isJsonObject } from '../files/json-file.js';
import type { Tool, ToolCall } from '../types.js';
import type { ScannedCall } from './call-scanner.js';
import { repairJson } from './json-repairer.js';
import { isHeldByDouble, type JsonReading, pythonWords, readJson } from './lenient-json.js';

/** A call that has no id yet. */
export type Call = Omit<ToolCall, 'id'>;

/** The names under which models write a call's arguments, the first that is there being the one. */
const argumentKeys = ['arguments', 'parameters', 'args', 'input'] as const;
/** Members that may stand beside them. */
const otherKeys: ReadonlySet<string> = new Set(['name', 'function', 'id', 'type', ...argumentKeys]);

/**
 * Reads what stands between `<tool_call>` and `</tool_call>`, in any of these forms:
 *
 * - K-EXAONE, EXAONE 4.0, Hermes: `{"name": …, "arguments": {…}}`, or `parameters`, `args` or `input` in its place
 * - OpenAI: `{"function": {"name": …, "arguments": "{…}"}}`; `{"function": NAME, "arguments": {…}}`
 * - an array of those
 * - K-EXAONE 2.0, Qwen3-Coder: `<function=NAME><parameter=KEY>value</parameter>…</function>`
 *
 * Gives the calls, or a sentence that says why there are none. `tools` tells the types of the last form's values.
 */
export function readCalls(scanned: Extract<ScannedCall, { kind: 'call' }>, tools: readonly Tool[]): Call[] | string {
  const { body, repaired, isOpen } = scanned;
  if ('name' in body) return body.name === '' ? 'the function has no name' : [xmlCall(body, repaired, tools)];
  const json = readJson(body.json);
  if (json === undefined) return 'wanted JSON, found a text that cannot be read as any';
  const sources = Array.isArray(json.value) ? json.elements : [body.json];
  const calls: Call[] = [];
  for (const source of sources) {
    const call = jsonCall(source, isOpen);
    if (typeof call === 'string') return call;
    calls.push(repaired || json.repaired ? { ...call, repaired: true } : call);
  }
  return calls.length === 0 ? 'wanted a call, found an empty array' : calls;
}

function jsonCall(source: string, isOpen: boolean): Call | string {
  const json = readJson(source);
  if (json === undefined || !isJsonObject(json.value)) return 'wanted an object with "name" and "arguments"';
  const { value: members } = json;
  if (typeof members.name !== 'string' && isJsonObject(members.function)) {
    const call = jsonCall(json.members.get('function')!, isOpen);
    return typeof call === 'string' || !json.repaired ? call : { ...call, repaired: true };
  }
  const name = typeof members.name === 'string' ? members.name : members.function;
  if (typeof name !== 'string' || name === '') return 'the call has no name';
  const key = argumentKeys.find((candidate) => Object.hasOwn(members, candidate));
  if (key === undefined) {
    const other = Object.keys(members).find((member) => !otherKeys.has(member));
    if (other !== undefined) return `the call has no "arguments", but has ${JSON.stringify(other)}`;
    return isOpen
      ? 'the call ends before its arguments'
      : { name, arguments: {}, rawArguments: '', argumentsText: '{}' };
  }
  const given = readArguments(json.members.get(key)!);
  return {
    name,
    arguments: given.value ?? {},
    rawArguments: given.source,
    argumentsText: (given.value ?? null) === null ? '{}' : given.repaired ? repairJson(given.source) : given.source,
    ...((json.repaired || given.repaired) && { repaired: true }),
    ...(given.inexactNumbers.length > 0 && { inexactNumbers: given.inexactNumbers }),
  };
}

function readArguments(
  source: string,
): Pick<JsonReading, 'value' | 'repaired' | 'inexactNumbers'> & { source: string } {
  const reading = readJson(source)!;
  // Some models write the arguments as a string holding JSON, as the OpenAI API does.
  const inner = typeof reading.value === 'string' ? readJson(reading.value) : undefined;
  return isJsonObject(inner?.value) ? { ...inner!, source: reading.value as string } : { ...reading, source };
}

function xmlCall(
  { name, parameters, source }: { name: string; parameters: [key: string, value: string][]; source: string },
  repaired: boolean,
  tools: readonly Tool[],
): Call {
  const values = parameters.map(([key, value]): [string, XmlValue] => [
    key,
    xmlValue(trimValue(value), declaredTypes(tools, name, key)),
  ]);
  const members = values.map(([key, { json }]) => `${JSON.stringify(key)}:${json}`);
  const inexactNumbers = values.flatMap(([key, { inexactNumbers: inner }]) => inner.map((path) => `/${key}${path}`));
  return {
    name,
    arguments: Object.fromEntries(values.map(([key, { value }]) => [key, value])),
    rawArguments: source,
    argumentsText: `{${members.join(',')}}`,
    ...(repaired && { repaired: true }),
    ...(inexactNumbers.length > 0 && { inexactNumbers }),
  };
}

/** A parameter's value, also as JSON text with all digits. */
type XmlValue = Pick<JsonReading, 'value' | 'inexactNumbers'> & { json: string };

/** A parameter's value in the form with `<function=NAME>`: one newline at either end belongs to the tags. */
export function trimValue(source: string): string {
  return source.replace(/^\n|\n$/g, '');
}

/** A parameter's value as JSON text; `types` are the declared ones. */
export function parameterJson(source: string, types: readonly unknown[]): string {
  return xmlValue(trimValue(source), types).json;
}

/** Whether a parameter of these declared types is a text, whatever it looks like. */
export function isOnlyText(types: readonly unknown[]): boolean {
  return types.length > 0 && types.every((type) => type === 'string');
}

/** Values of this form are bare text: what the tool declares decides; without it, what reads as JSON is JSON. */
function xmlValue(text: string, types: readonly unknown[]): XmlValue {
  const asText = { value: text, inexactNumbers: [], json: JSON.stringify(text) };
  if (isOnlyText(types)) return asText;
  const name = text.trim();
  const reading = readJson(text);
  const json = reading?.repaired === false ? { ...reading, json: name } : undefined;
  const word = pythonWords.get(name);
  const found = word === undefined ? json : { value: JSON.parse(word) as unknown, inexactNumbers: [], json: word };
  if (found === undefined) return asText;
  // An id of twenty digits that nobody has declared a number is safer as it was written.
  if (types.length === 0 && typeof found.value === 'number' && !isHeldByDouble(name)) return asText;
  return types.length === 0 || types.includes(jsonType(found.value)) || !types.includes('string') ? found : asText;
}

/** The types that a tool declares for a parameter. Empty if it declares none. */
export function declaredTypes(tools: readonly Tool[], name: string, key: string): unknown[] {
  const parameters = tools.find((tool) => tool.function.name === name)?.function.parameters;
  const properties = isJsonObject(parameters) ? parameters.properties : undefined;
  const schema = isJsonObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined;
  const type = isJsonObject(schema) ? schema.type : undefined;
  const types: unknown[] = Array.isArray(type) ? type : type === undefined ? [] : [type];
  return types.includes('number') ? [...types, 'integer'] : types;
}

function jsonType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}
