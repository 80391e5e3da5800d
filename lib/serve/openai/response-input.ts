/** The input of a response, a text or items, as the library's messages. */
import type { ChatMessage, OpenAIMessage } from '../../types.js';
import { badRequest, unsupported } from '../errors.js';
import { readMessage } from './messages.js';

type GivenItem = Record<string, unknown>;

/** Converts the input. @throws ApiError 400 naming the field */
export function readInput(input: string | readonly unknown[]): ChatMessage[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  const messages: OpenAIMessage[] = [];
  for (const [i, item] of input.entries()) {
    const at = `input[${i}]`;
    if (typeof item !== 'object' || item === null || Array.isArray(item))
      throw badRequest(at, 'wanted an item, an object');
    addItem(messages, item as GivenItem, at);
  }
  return messages;
}

function addItem(messages: OpenAIMessage[], item: GivenItem, at: string): void {
  const { type = 'message' } = item;
  switch (type) {
    case 'message': {
      const message = readMessage(item, at) as OpenAIMessage;
      if (message.role !== 'assistant') messages.push(message);
      else assistantOf(messages, 'content').content = message.content ?? '';
      return;
    }
    case 'reasoning':
      assistantOf(messages, 'reasoning_content').reasoning_content = reasoningText(item, at);
      return;
    case 'function_call': {
      const { call_id: id, name, arguments: given } = item;
      if (typeof name !== 'string' || name === '') throw badRequest(`${at}.name`, 'wanted the name of a function');
      if (typeof given !== 'string') throw badRequest(`${at}.arguments`, 'wanted the arguments as a text');
      const message = assistantOf(messages, null);
      const call = { id: textOf(id, `${at}.call_id`), type: 'function' as const, function: { name, arguments: given } };
      message.tool_calls = [...(message.tool_calls ?? []), call];
      return;
    }
    case 'function_call_output': {
      const { call_id: id, output } = item;
      const { content } = readMessage({ role: 'tool', content: output }, at) as OpenAIMessage;
      messages.push({ role: 'tool', content: content!, tool_call_id: textOf(id, `${at}.call_id`) });
      return;
    }
    default:
      throw unsupported(
        `${at}.type`,
        `wanted message, reasoning, function_call or function_call_output, found ${type}`,
      );
  }
}

/**
 * The assistant's message that an item belongs to: the last one, as thinking, text and calls of one turn are items of
 * their own. A new one begins where `part` is there already or a call came before it.
 */
function assistantOf(messages: OpenAIMessage[], part: 'content' | 'reasoning_content' | null): OpenAIMessage {
  const last = messages.at(-1);
  const isOpen =
    last?.role === 'assistant' &&
    (part === null ||
      (last.tool_calls === undefined && last[part] == null && (part === 'content' || last.content === null)));
  if (isOpen) return last;
  const message: OpenAIMessage = { role: 'assistant', content: null };
  messages.push(message);
  return message;
}

/** The thinking of an item. Its summary counts if it has no text of its own. */
function reasoningText({ content, summary }: GivenItem, at: string): string {
  const parts = Array.isArray(content) && content.length > 0 ? content : (summary ?? []);
  if (!Array.isArray(parts)) throw badRequest(`${at}.summary`, 'wanted an array');
  return parts
    .map((part, i) => textOf((part as { text?: unknown } | null)?.text, `${at}.content[${i}].text`))
    .join('\n');
}

function textOf(value: unknown, at: string): string {
  if (typeof value === 'string') return value;
  throw badRequest(at, 'wanted a text');
}
