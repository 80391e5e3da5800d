import { KexaError } from '../errors.js';
import type { ChatMessage, Tool } from '../types.js';
import { ChatSources } from './chat-sources.js';
import { fromJavaScript, parseJson } from './jinja/from-json.js';
import { type Origin, Text } from './jinja/text.js';
import { Dict, isNumeric, List, text, type Value } from './jinja/values.js';
import { commonReasoning } from './reply-markers.js';

const roles: readonly string[] = ['system', 'developer', 'user', 'assistant', 'tool'];

/** The fields of a message that have two names: kexa's, and that of the OpenAI API, which templates read. */
const spellings = {
  reasoning: 'reasoning_content',
  toolCalls: 'tool_calls',
  toolCallId: 'tool_call_id',
} as const;

/** Advice for fields of other libraries that callers may use. */
const messageAdvice: Readonly<Record<string, string>> = {
  function_call: "use toolCalls, or tool_calls: [{ type: 'function', function: { name, arguments } }]",
  thinking: 'use reasoning, or reasoning_content',
  audio: 'kexa reads text only',
  images: 'kexa reads text only',
  text: 'use content',
  tools: 'give tools as an option beside the messages',
};

interface Fields extends Record<string, unknown> {
  role: string;
  content: unknown;
}

/**
 * Checks the messages of a conversation one by one, and converts them to the form and names that Hugging Face's
 * templates read. The text of each message has an origin of its own.
 *
 * Only an assistant's content may be null: for the other roles templates print the word "None" or fail.
 */
export class MessageReader {
  readonly #sources: ChatSources;
  readonly #takesDeveloper: boolean;
  readonly #messages: Value[] = [];
  #calls = 0;
  #lastUser: { index: number; origin: Origin } | undefined;

  /** `takesDeveloper`: whether the template knows the role `developer`. */
  constructor(sources: ChatSources, takesDeveloper: boolean) {
    this.#sources = sources;
    this.#takesDeveloper = takesDeveloper;
  }

  /** @throws KexaError KEXA_INVALID_ARGUMENT naming index and field */
  add(message: ChatMessage): void {
    const index = this.#messages.length;
    const at = `messages[${index}]`;
    const fields = fieldsOf(message, at);
    const { role } = fields;
    if (role === 'developer' && !this.#takesDeveloper)
      throw invalidText(`${at}.role`, "this model's chat template has no role 'developer'; use 'system'");
    const isAssistant = role === 'assistant';
    const origin = this.#sources.add(isAssistant ? 'markers' : 'none');
    const content = contentOf(fields, origin, at);
    const isSaid = content !== null && content.value.trim() !== '';
    if (isSaid && (role === 'system' || role === 'developer'))
      this.#sources.require(origin, `${at}, of role '${role}'`);
    if (role === 'user') this.#lastUser = isSaid ? { index, origin } : undefined;
    const entries: [string, Value][] = [
      ['role', text(role)],
      ['content', content],
    ];
    const string = (name: string, value: unknown) => {
      if (typeof value !== 'string') throw invalid(`${at}.${name}`, 'a string', value);
      return new Text(value, origin);
    };
    for (const [name, value] of Object.entries(fields)) {
      if (name === 'role' || name === 'content' || isNothing(value)) continue;
      if (name === 'name') entries.push([name, string(name, value)]);
      else if (name in spellings || Object.values<string>(spellings).includes(name)) {
        const key = spellings[name as keyof typeof spellings] ?? name;
        if (entries.some(([other]) => other === key))
          throw invalidText(`${at}.${name}`, `it is there twice; give either this or ${twinOf(name)}`);
        entries.push([
          key,
          key === 'tool_calls' ? this.#toolCalls(value, origin, `${at}.${name}`) : string(name, value),
        ]);
      } else {
        throw unknownField(at, name, messageAdvice);
      }
    }
    this.#messages.push(
      new Dict(
        entries.map(([name, value]) => [new Text(name, origin), value]),
        origin,
      ),
    );
  }

  /** Gives all messages, and requires that the user's last one is in the prompt. */
  finish(): List {
    if (this.#lastUser) {
      const { index, origin } = this.#lastUser;
      this.#sources.require(origin, `messages[${index}], the user's last`);
    }
    return new List(this.#messages, this.#sources.add('none'));
  }

  #toolCalls(calls: unknown, origin: Origin, at: string): List {
    if (!Array.isArray(calls)) throw invalid(at, 'an array', calls);
    return new List(
      calls.map((call, i) => this.#toolCall(call, origin, `${at}[${i}]`)),
      origin,
    );
  }

  #toolCall(call: unknown, origin: Origin, at: string): Dict {
    if (typeof call !== 'object' || call === null) throw invalid(at, 'an object', call);
    const { id, type = 'function', function: inner, index: _, ...own } = call as Record<string, unknown>;
    if (type !== 'function') throw invalid(`${at}.type`, "'function'", type);
    if (inner !== undefined && (typeof inner !== 'object' || inner === null))
      throw invalid(`${at}.function`, 'an object', inner);
    const { name, arguments: given, rawArguments, ...rest } = (inner ?? own) as Record<string, unknown>;
    if (typeof name !== 'string') throw invalid(`${at}${inner ? '.function' : ''}.name`, 'a string', name);
    // Only kexa's own calls have these fields.
    const { repaired, inexactNumbers, argumentsText, ...unknown } = inner ? { ...rest, ...own } : rest;
    for (const [field, value] of Object.entries(unknown)) if (!isNothing(value)) throw unknownField(at, field, {});
    const number = this.#calls++;
    const key = (field: string) => new Text(field, origin);
    const called = new Dict(
      [
        [key('name'), new Text(name, origin)],
        [key('arguments'), argumentsOf(given, rawArguments, origin, `${at}.arguments`)],
      ],
      origin,
    );
    return new Dict(
      [
        [key('type'), text('function')],
        [key('id'), new Text(typeof id === 'string' ? id : `call_${number}`, origin)],
        [key('function'), called],
      ],
      origin,
    );
  }
}

/** Checks a conversation. @throws KexaError KEXA_INVALID_ARGUMENT naming index and field */
export function checkMessages(messages: unknown): asserts messages is ChatMessage[] {
  if (!Array.isArray(messages)) throw invalid('messages', 'an array', messages);
  const reader = new MessageReader(new ChatSources(commonReasoning), true);
  for (const message of messages) reader.add(message);
}

/** Checks tools, converts them for templates, and requires that each is in the prompt. */
export function readTools(tools: readonly Tool[], sources: ChatSources): List {
  if (!Array.isArray(tools)) throw invalid('tools', 'an array', tools);
  const items = tools.map((tool: Tool, index) => {
    const at = `tools[${index}]`;
    if (tool?.type !== 'function') throw invalid(`${at}.type`, "'function'", tool?.type);
    const name = tool.function?.name;
    if (typeof name !== 'string') throw invalid(`${at}.function.name`, 'a string', name);
    return converted(tool, sources.add('none', `${at}, ${JSON.stringify(name)}`), at);
  });
  return new List(items, sources.add('none'));
}

function fieldsOf(message: unknown, at: string): Fields {
  if (typeof message !== 'object' || message === null) throw invalid(at, 'an object', message);
  const { role, content, ...rest } = message as Record<string, unknown>;
  if (typeof role !== 'string' || !roles.includes(role))
    throw invalid(`${at}.role`, `one of ${roles.join(', ')}`, role);
  return { ...rest, role, content };
}

function contentOf({ role, content, ...fields }: Fields, origin: Origin, at: string): Text | null {
  if (typeof content === 'string') return new Text(content, origin);
  if (Array.isArray(content)) {
    const parts = content.map((part, i) => partText(part, `${at}.content[${i}]`));
    return new Text(parts.join(''), origin);
  }
  const calls = fields.toolCalls ?? fields.tool_calls;
  if (role === 'assistant' && (content === null || (content === undefined && !isNothing(calls)))) return null;
  throw invalid(
    `${at}.content`,
    role === 'assistant' ? 'a string, text parts or null' : 'a string or text parts',
    content,
  );
}

function partText(part: unknown, at: string): string {
  const { type, text: value } = (part ?? {}) as Record<string, unknown>;
  if (type === 'text' && typeof value === 'string') return value;
  if (type !== 'text') throw invalidText(`${at}.type`, `wanted 'text', found ${shown(type)}; kexa reads text only`);
  throw invalid(`${at}.text`, 'a string', value);
}

/** The OpenAI API carries arguments as JSON text; templates that walk them want the values. */
function argumentsOf(value: unknown, raw: unknown, origin: Origin, at: string): Value {
  if (typeof value === 'string') {
    const parsed = parseJson(value, origin);
    return parsed instanceof Dict || parsed instanceof List ? parsed : new Text(value, origin);
  }
  const plain = converted(value ?? {}, origin, at);
  // Doubles may have lost digits that the model's own text still has.
  const exact = typeof raw === 'string' ? parseJson(raw, origin) : undefined;
  return exact !== undefined && isSameInDoubles(exact, plain) ? exact : plain;
}

function isSameInDoubles(a: Value, b: Value): boolean {
  if (a instanceof List && b instanceof List)
    return a.items.length === b.items.length && a.items.every((item, i) => isSameInDoubles(item, b.items[i]!));
  if (a instanceof Dict && b instanceof Dict)
    return (
      a.size === b.size &&
      a.entries().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && isSameInDoubles(value, other);
      })
    );
  if (a instanceof Text) return b instanceof Text && a.value === b.value;
  // A number too large for a double is null in JavaScript's JSON.
  if (b === null && typeof a === 'number') return !Number.isFinite(a);
  if (isNumeric(a) && isNumeric(b))
    return typeof a === 'boolean' || typeof b === 'boolean' ? a === b : Number(a) === Number(b);
  return a === b;
}

function converted(value: unknown, origin: Origin, name: string): Value {
  try {
    return fromJavaScript(value, origin);
  } catch (cause) {
    throw new KexaError('KEXA_INVALID_ARGUMENT', `${name}: wanted what JSON can hold: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Whether a field is empty (`refusal: null`, `annotations: []`). Other APIs give such fields, and they count as absent.
 */
function isNothing(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

function twinOf(name: string): string {
  const [own, other] = Object.entries(spellings).find((pair) => pair.includes(name as never))!;
  return name === own ? other : own;
}

function unknownField(at: string, name: string, advice: Readonly<Record<string, string>>): KexaError {
  const known = ['role', 'content', 'name', ...Object.keys(spellings), ...Object.values(spellings)];
  const instead = advice[name] ?? `messages have ${known.join(', ')}`;
  return invalidText(`${at}.${name}`, `there is no such field; ${instead}`);
}

function shown(found: unknown): string {
  if (typeof found === 'string') return JSON.stringify(found);
  if (found === undefined) return 'nothing';
  return found === null ? 'null' : Array.isArray(found) ? 'an array' : `a ${typeof found}`;
}

function invalid(name: string, wanted: string, found: unknown): KexaError {
  return invalidText(name, `wanted ${wanted}, found ${shown(found)}`);
}

function invalidText(name: string, message: string): KexaError {
  return new KexaError('KEXA_INVALID_ARGUMENT', `${name}: ${message}`);
}
