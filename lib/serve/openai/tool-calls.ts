/** Calls as OpenAI's chat interface writes them: the arguments as a text. */
import type { ToolCall, ToolCallDelta } from '../../types.js';

/** A call of a message. */
export interface ApiToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

/** A call as a whole. */
export function toolCallOf({ id, name, argumentsText }: ToolCall): ApiToolCall {
  return { id, type: 'function', function: { name, arguments: argumentsText } };
}

/** A part of a call: the first one names it, and the others only have its number. */
export function callDelta({ id, index, name, argumentsText }: ToolCallDelta): object {
  if (name === undefined) return { index, function: { arguments: argumentsText } };
  return { index, id, type: 'function', function: { name, arguments: argumentsText } };
}
