import { KexaError } from '../errors.js';
import type { Message, Tool } from '../types.js';

const roles = ['system', 'user', 'assistant', 'tool'];

/** A message under the field names that Hugging Face templates read. */
export interface TemplateMessage {
  role: string;
  content: string | null;
  reasoning_content?: string;
  tool_calls?: { type: 'function'; id: string; function: { name: string; arguments: unknown } }[];
}

/**
 * Checks a conversation and gives it the templates' names. Throws KEXA_INVALID_ARGUMENT naming index and field.
 *
 * Only an assistant's content may be null: for the other roles templates print the word "None" or fail.
 */
export function toTemplateMessages(messages: readonly Message[]): TemplateMessage[] {
  if (!Array.isArray(messages)) throw invalid('messages', 'an array', messages);
  let calls = 0;
  return messages.map((message: Message, index) => {
    const at = `messages[${index}]`;
    if (typeof message !== 'object' || message === null) throw invalid(at, 'an object', message);
    const { role, content, reasoning, toolCalls } = message;
    if (!roles.includes(role)) throw invalid(`${at}.role`, `one of ${roles.join(', ')}`, role);
    if (typeof content !== 'string' && !(content === null && role === 'assistant'))
      throw invalid(`${at}.content`, role === 'assistant' ? 'a string or null' : 'a string', content);
    const result: TemplateMessage = { role, content };
    if (reasoning !== undefined) {
      if (typeof reasoning !== 'string') throw invalid(`${at}.reasoning`, 'a string', reasoning);
      result.reasoning_content = reasoning;
    }
    if (toolCalls !== undefined) {
      if (!Array.isArray(toolCalls)) throw invalid(`${at}.toolCalls`, 'an array', toolCalls);
      result.tool_calls = toolCalls.map((call, number) => {
        const where = `${at}.toolCalls[${number}]`;
        if (typeof call?.name !== 'string') throw invalid(`${where}.name`, 'a string', call?.name);
        const id = typeof call.id === 'string' ? call.id : `call_${calls}`;
        calls++;
        return { type: 'function', id, function: { name: call.name, arguments: callArguments(call.arguments, where) } };
      });
    }
    return result;
  });
}

/** Checks tools and copies them without `undefined` fields, which a template would print as null. */
export function toTemplateTools(tools: readonly Tool[]): unknown[] {
  if (!Array.isArray(tools)) throw invalid('tools', 'an array', tools);
  return tools.map((tool: Tool, index) => {
    const at = `tools[${index}]`;
    if (tool?.type !== 'function') throw invalid(`${at}.type`, "'function'", tool?.type);
    if (typeof tool.function?.name !== 'string') throw invalid(`${at}.function.name`, 'a string', tool.function?.name);
    return plainJson(tool, at);
  });
}

// The OpenAI API carries arguments as JSON text, which templates that walk them cannot use.
function callArguments(value: unknown, where: string): unknown {
  if (typeof value !== 'string') return plainJson(value ?? {}, `${where}.arguments`);
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === 'object' && parsed !== null ? parsed : value;
  } catch {
    return value;
  }
}

function plainJson(value: unknown, name: string): unknown {
  try {
    return JSON.parse(JSON.stringify(value));
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new KexaError('KEXA_INVALID_ARGUMENT', `${name}: wanted what JSON can hold: ${reason}`, { cause });
  }
}

function invalid(name: string, wanted: string, found: unknown): KexaError {
  const shown = typeof found === 'string' ? JSON.stringify(found) : found === null ? 'null' : typeof found;
  return new KexaError('KEXA_INVALID_ARGUMENT', `${name}: wanted ${wanted}, found ${shown}`);
}
