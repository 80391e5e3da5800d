/** Messages of OpenAI's API, in the forms that clients send, as the library takes them. */
import type { ChatMessage } from '../../types.js';
import { badRequest, unsupported } from '../errors.js';

/** The roles that clients send, and the library's for them. */
const roles: Readonly<Record<string, 'system' | 'user' | 'assistant' | 'tool'>> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
  function: 'tool',
};

/** The fields of a message that are read. Others are passed over, because clients send back whatever an answer had. */
interface GivenMessage {
  role?: unknown;
  content?: unknown;
  name?: unknown;
  reasoning_content?: unknown;
  reasoning?: unknown;
  tool_calls?: unknown;
  function_call?: unknown;
  tool_call_id?: unknown;
}

/** Converts messages. The library checks the rest of them. @throws ApiError 400 naming the field */
export function readMessages(messages: readonly unknown[]): ChatMessage[] {
  return messages.map((message, i) => readMessage(message, `messages[${i}]`));
}

/** Converts one message, which errors name as `at`. @throws ApiError 400 naming the field */
export function readMessage(message: unknown, at: string): ChatMessage {
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw badRequest(at, 'wanted an object with role and content');
  const given = message as GivenMessage;
  const role = typeof given.role === 'string' && Object.hasOwn(roles, given.role) ? roles[given.role] : undefined;
  if (role === undefined)
    throw badRequest(
      `${at}.role`,
      `wanted one of ${Object.keys(roles).join(', ')}, found ${JSON.stringify(given.role)}`,
    );
  const content = contentOf(given.content, `${at}.content`);
  const calls = callsOf(given, at);
  if (content === null && role !== 'assistant')
    throw badRequest(`${at}.content`, 'wanted a text or parts of text, found nothing');
  const reasoning =
    optionalText(given.reasoning_content, `${at}.reasoning_content`) ??
    optionalText(given.reasoning, `${at}.reasoning`);
  const name = optionalText(given.name, `${at}.name`);
  const toolCallId = optionalText(given.tool_call_id, `${at}.tool_call_id`);
  return {
    role,
    content,
    ...(name !== undefined && { name }),
    ...(role === 'assistant' && reasoning !== undefined && { reasoning_content: reasoning }),
    ...(role === 'assistant' && calls !== undefined && { tool_calls: calls }),
    ...(role === 'tool' && toolCallId !== undefined && { tool_call_id: toolCallId }),
  };
}

/** The text of a content: a text, parts of text, or null. */
function contentOf(content: unknown, at: string): string | null {
  if (content === null || content === undefined) return null;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw badRequest(at, 'wanted a text or parts of text');
  return content.map((part, i) => partText(part, `${at}[${i}]`)).join('');
}

function partText(part: unknown, at: string): string {
  if (typeof part !== 'object' || part === null) throw badRequest(at, 'wanted a part, an object with type');
  const { type, text, refusal } = part as Record<string, unknown>;
  if (type === 'text' || type === 'input_text' || type === 'output_text') {
    if (typeof text === 'string') return text;
    throw badRequest(`${at}.text`, 'wanted a text');
  }
  if (type === 'refusal') {
    if (typeof refusal === 'string') return refusal;
    throw badRequest(`${at}.refusal`, 'wanted a text');
  }
  throw unsupported(`${at}.type`, `wanted text, found ${JSON.stringify(type)}; kexa reads text only`);
}

interface GivenCall {
  id?: string;
  type: 'function';
  function: { name: string; arguments: unknown };
}

function callsOf({ tool_calls: calls, function_call: old }: GivenMessage, at: string): GivenCall[] | undefined {
  if (old !== null && old !== undefined) return [callOf({ function: old }, `${at}.function_call`)];
  if (calls === null || calls === undefined) return undefined;
  if (!Array.isArray(calls)) throw badRequest(`${at}.tool_calls`, 'wanted an array');
  return calls.length === 0 ? undefined : calls.map((call, i) => callOf(call, `${at}.tool_calls[${i}]`));
}

function callOf(call: unknown, at: string): GivenCall {
  const { id, function: called } = (call ?? {}) as { id?: unknown; function?: unknown };
  const { name, arguments: given } = (called ?? {}) as { name?: unknown; arguments?: unknown };
  if (typeof name !== 'string' || name === '') throw badRequest(`${at}.function.name`, 'wanted the name of a function');
  return {
    ...(typeof id === 'string' && { id }),
    type: 'function',
    function: { name, arguments: given ?? '{}' },
  };
}

function optionalText(value: unknown, at: string): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'string') return value;
  throw badRequest(at, 'wanted a text');
}
