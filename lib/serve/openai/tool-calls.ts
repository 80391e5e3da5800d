/** Calls as OpenAI's API writes them: the arguments as a text, and ids that do not repeat from answer to answer. */
import type { ToolCall } from '../../types.js';
import { randomId } from '../exchange.js';

/** A call of a message. */
export interface ApiToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

/** A call as a whole. */
export function toolCallOf(call: ToolCall): ApiToolCall {
  return {
    id: randomId('call_', 24),
    type: 'function',
    function: { name: call.name, arguments: argumentsText(call) },
  };
}

/** The deltas of a call: its name, then its arguments. */
export function callDeltas(call: ToolCall, index: number): object[] {
  const { id, type, function: called } = toolCallOf(call);
  return [
    { index, id, type, function: { name: called.name, arguments: '' } },
    { index, function: { arguments: called.arguments } },
  ];
}

/** The arguments as the model wrote them if that is JSON, or else their value as JSON. */
function argumentsText({ rawArguments, arguments: value }: ToolCall): string {
  try {
    JSON.parse(rawArguments);
    return rawArguments;
  } catch {
    return JSON.stringify(value ?? {});
  }
}
