/** Messages of Anthropic's API as the library's. */
import type { ChatMessage, Message, Tool } from '../../types.js';
import { badRequest, unsupported } from '../errors.js';

type Block = Record<string, unknown>;

/** The tool of a request. */
export interface GivenTool {
  type?: string | null | undefined;
  name: string;
  description?: string | null | undefined;
  input_schema?: Record<string, unknown> | undefined;
}

/** Converts the system text and the messages. @throws ApiError 400 naming the field */
export function readConversation(system: unknown, messages: readonly unknown[]): ChatMessage[] {
  const text = system === undefined ? '' : textOf(system, 'system');
  const converted = messages.flatMap((message, i) => readMessage(message, `messages[${i}]`));
  return text === '' ? converted : [{ role: 'system', content: text }, ...converted];
}

/** Converts tools. @throws ApiError 400 for tools that a provider's own server would run */
export function readTools(tools: readonly GivenTool[] | undefined): Tool[] | undefined {
  if (tools === undefined || tools.length === 0) return undefined;
  return tools.map(({ type, name, description, input_schema: parameters }, i) => {
    if (type && type !== 'custom')
      throw unsupported(`tools[${i}].type`, `wanted custom, found ${JSON.stringify(type)}; kexa runs no tools itself`);
    return {
      type: 'function',
      function: { name, ...(description && { description }), ...(parameters && { parameters }) },
    };
  });
}

function readMessage(message: unknown, at: string): Message[] {
  if (typeof message !== 'object' || message === null) throw badRequest(at, 'wanted an object with role and content');
  const { role, content } = message as Block;
  if (role !== 'user' && role !== 'assistant' && role !== 'system')
    throw badRequest(`${at}.role`, `wanted user or assistant, found ${JSON.stringify(role)}`);
  if (typeof content === 'string') return [{ role, content }];
  if (!Array.isArray(content)) throw badRequest(`${at}.content`, 'wanted a text or an array of blocks');
  const blocks = content.map((block, i): [Block, string] => {
    if (typeof block !== 'object' || block === null) throw badRequest(`${at}.content[${i}]`, 'wanted a block');
    return [block as Block, `${at}.content[${i}]`];
  });
  return role === 'assistant' ? [assistantMessage(blocks)] : givenMessages(role, blocks);
}

/** The messages of a user's turn: results of tools first, each a message of its own. */
function givenMessages(role: 'user' | 'system', blocks: readonly [Block, string][]): Message[] {
  const messages: Message[] = [];
  const texts: string[] = [];
  for (const [block, at] of blocks) {
    if (block.type === 'tool_result') messages.push(toolResult(block, at));
    else texts.push(blockText(block, at));
  }
  if (texts.length > 0 || messages.length === 0) messages.push({ role, content: texts.join('\n') });
  return messages;
}

function toolResult({ tool_use_id: id, content }: Block, at: string): Message {
  if (typeof id !== 'string') throw badRequest(`${at}.tool_use_id`, 'wanted the id of a call');
  return { role: 'tool', toolCallId: id, content: content === undefined ? '' : textOf(content, `${at}.content`) };
}

function assistantMessage(blocks: readonly [Block, string][]): Message {
  const texts: string[] = [];
  const thoughts: string[] = [];
  const toolCalls: { id: string; name: string; arguments: unknown }[] = [];
  for (const [block, at] of blocks) {
    if (block.type === 'thinking') thoughts.push(typeof block.thinking === 'string' ? block.thinking : '');
    else if (block.type === 'tool_use') toolCalls.push(toolUse(block, at));
    // Another maker's model has hidden it, so there is nothing to read.
    else if (block.type !== 'redacted_thinking') texts.push(blockText(block, at));
  }
  return {
    role: 'assistant',
    content: texts.length === 0 && toolCalls.length > 0 ? null : texts.join('\n'),
    ...(thoughts.length > 0 && { reasoning: thoughts.join('\n') }),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

function toolUse({ id, name, input }: Block, at: string): { id: string; name: string; arguments: unknown } {
  if (typeof id !== 'string') throw badRequest(`${at}.id`, 'wanted the id of the call');
  if (typeof name !== 'string' || name === '') throw badRequest(`${at}.name`, 'wanted the name of a tool');
  return { id, name, arguments: input ?? {} };
}

/** A text, or blocks of text. */
function textOf(content: unknown, at: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) throw badRequest(at, 'wanted a text or blocks of text');
  return content.map((block, i) => blockText((block ?? {}) as Block, `${at}[${i}]`)).join('\n');
}

function blockText({ type, text }: Block, at: string): string {
  if (type !== 'text')
    throw unsupported(`${at}.type`, `wanted text, found ${JSON.stringify(type)}; kexa reads text only`);
  if (typeof text === 'string') return text;
  throw badRequest(`${at}.text`, 'wanted a text');
}
