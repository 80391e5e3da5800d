/** Writes an answer as a message of Anthropic's API: whole, or as the events of its blocks. */
import { randomId } from '../../random.js';
import type { GenerationResult, Piece, ToolCall, ToolCallDelta } from '../../types.js';
import { callParts, type ReplyEvent, type ReplyMapping } from '../answer.js';
import type { ApiError } from '../errors.js';
import { eventText } from '../sse.js';
import { anthropicError } from './errors.js';
import type { MessageRequest } from './messages-request.js';

/** The mapping of one request's answer. */
export class MessageReply implements ReplyMapping {
  readonly #head: { id: string; type: 'message'; role: 'assistant'; model: string };
  /** The kind of the block that is being written. A call's kind is its id. */
  #open: string | undefined;
  #index = -1;

  constructor({ name }: MessageRequest) {
    this.#head = { id: randomId('msg_', 24), type: 'message', role: 'assistant', model: name };
  }

  whole([result]: readonly GenerationResult[]): object {
    const { reasoning, text, toolCalls } = result!;
    return {
      ...this.#head,
      content: [
        ...(reasoning === '' ? [] : [{ ...thinkingBlock, thinking: reasoning }]),
        ...(text === '' ? [] : [{ type: 'text', text }]),
        ...toolCalls.map((call) => toolUse(call)),
      ],
      ...ending(result!),
      usage: usageOf(result!),
    };
  }

  begin(): string {
    const none = { input_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 };
    // The counts are known at the end, where `message_delta` tells them.
    const message = { ...this.#head, content: [], stop_reason: null, stop_sequence: null, usage: none };
    return event('message_start', { message }) + event('ping', {});
  }

  events(events: readonly ReplyEvent[]): string {
    return events.map((each) => (each.kind === 'piece' ? this.#piece(each.piece) : '')).join('');
  }

  end([result]: readonly GenerationResult[]): string {
    const last = this.#close();
    return (
      last + event('message_delta', { delta: ending(result!), usage: usageOf(result!) }) + event('message_stop', {})
    );
  }

  error(error: ApiError): string {
    return eventText(anthropicError(error), 'error');
  }

  #piece({ reasoning, text, toolCallDeltas }: Piece): string {
    // The end of an open call belongs before the text that follows the call.
    const { rest, begun } = callParts(toolCallDeltas);
    let events = rest.map((part) => this.#call(part)).join('');
    if (reasoning !== '') {
      events += this.#start('thinking', thinkingBlock);
      events += this.#delta({ type: 'thinking_delta', thinking: reasoning });
    }
    if (text !== '') {
      events += this.#start('text', { type: 'text', text: '' });
      events += this.#delta({ type: 'text_delta', text });
    }
    for (const part of begun) events += this.#call(part);
    return events;
  }

  #call({ id, name, argumentsText }: ToolCallDelta): string {
    if (name !== undefined) return this.#start(id, { type: 'tool_use', id, name, input: {} });
    return this.#delta({ type: 'input_json_delta', partial_json: argumentsText });
  }

  /** Begins a block, which ends the one before it, unless it is open already. */
  #start(kind: string, block: object): string {
    if (this.#open === kind) return '';
    const last = this.#close();
    this.#open = kind;
    this.#index++;
    return last + event('content_block_start', { index: this.#index, content_block: block });
  }

  #delta(delta: object): string {
    return event('content_block_delta', { index: this.#index, delta });
  }

  #close(): string {
    if (this.#open === undefined) return '';
    this.#open = undefined;
    return event('content_block_stop', { index: this.#index });
  }
}

/** A block of thinking. Its signature proves nothing here, but clients want one. */
const thinkingBlock = { type: 'thinking', thinking: '', signature: '' };

function event(type: string, data: object): string {
  return eventText({ type, ...data }, type);
}

function toolUse({ id, name, argumentsText }: ToolCall): object {
  return { type: 'tool_use', id, name, input: JSON.parse(argumentsText) };
}

/** Why the message ended. */
function ending({ finishReason, stopText }: GenerationResult): object {
  if (stopText !== undefined) return { stop_reason: 'stop_sequence', stop_sequence: stopText };
  const reasons = { length: 'max_tokens', tool_calls: 'tool_use', stop: 'end_turn', aborted: 'end_turn' };
  return { stop_reason: reasons[finishReason], stop_sequence: null };
}

/** Counts of tokens. Anthropic's API counts those that were cached apart from the others of the prompt. */
function usageOf({ usage }: GenerationResult): object {
  return {
    input_tokens: usage.promptTokens - usage.cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: usage.cachedTokens,
    output_tokens: usage.completionTokens,
  };
}
