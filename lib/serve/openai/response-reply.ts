/** Writes an answer as a response: whole, or as the events of its items. */
import { randomId } from '../../random.js';
import type { Tokenizer } from '../../text/tokenizer.js';
import type { ChatMessage, GenerationResult, Piece, TokenLogprob, ToolCallDelta } from '../../types.js';
import { callParts, type ReplyEvent, type ReplyMapping, reasoningTokens } from '../answer.js';
import type { ApiError } from '../errors.js';
import { eventText } from '../sse.js';
import { logprobsOf } from './logprobs.js';
import type { ResponseRequest } from './response-request.js';

/** An item of a response that is being written. */
type OpenItem =
  | { type: 'reasoning'; id: string; text: string }
  | { type: 'message'; id: string; text: string; logprobs: object[] }
  | { type: 'function_call'; id: string; text: string; callId: string; name: string };

type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed';

/** The mapping of one request's answer. */
export class ResponseReply implements ReplyMapping {
  readonly #request: ResponseRequest;
  readonly #tokenizer: Tokenizer;
  readonly #onEnd: (response: { id: string }, said: ChatMessage) => void;
  readonly #id: string = randomId('resp_', 32);
  readonly #createdAt = Math.floor(Date.now() / 1000);
  #sequence = 0;
  /** The items that are whole. */
  readonly #items: object[] = [];
  #open: OpenItem | undefined;
  #logged: readonly TokenLogprob[] = [];

  /** `onEnd` is told of the response and of the assistant's turn. */
  constructor(request: ResponseRequest, onEnd: (response: { id: string }, said: ChatMessage) => void) {
    this.#request = request;
    this.#tokenizer = request.model.model.tokenizer;
    this.#onEnd = onEnd;
  }

  whole([result]: readonly GenerationResult[]): object {
    const { reasoning, text, toolCalls, finishReason, ids, logprobs } = result!;
    const status = finishReason === 'length' ? 'incomplete' : 'completed';
    if (reasoning !== '') this.#items.push(this.#item({ type: 'reasoning', id: randomId('rs_', 32), text: reasoning }));
    if (text !== '' || (toolCalls.length === 0 && reasoning === '')) {
      this.#noteLogprobs({ reasoning, ids, logprobs: logprobs ?? [] });
      const id = randomId('msg_', 32);
      this.#items.push(this.#item({ type: 'message', id, text, logprobs: this.#takeLogprobs() }, status));
    }
    for (const { id: callId, name, argumentsText } of toolCalls)
      this.#items.push(
        this.#item({ type: 'function_call', id: randomId('fc_', 32), text: argumentsText, callId, name }),
      );
    return this.#ended(result!);
  }

  begin(): string {
    const response = this.#response('in_progress');
    return this.#event('response.created', { response }) + this.#event('response.in_progress', { response });
  }

  events(events: readonly ReplyEvent[]): string {
    return events.map((event) => (event.kind === 'piece' ? this.#piece(event.piece) : '')).join('');
  }

  end([result]: readonly GenerationResult[]): string {
    const isCut = result!.finishReason === 'length';
    const last = this.#close(isCut ? 'incomplete' : 'completed');
    const response = this.#ended(result!);
    return last + this.#event(isCut ? 'response.incomplete' : 'response.completed', { response });
  }

  error({ code, message }: ApiError): string {
    const last = this.#close('incomplete');
    const response = { ...this.#response('failed'), error: { code, message } };
    return last + this.#event('response.failed', { response });
  }

  #ended(result: GenerationResult): { id: string } {
    const { reasoning, text, toolCalls, finishReason } = result;
    const status = finishReason === 'length' ? 'incomplete' : 'completed';
    const response = { ...this.#response(status), usage: this.#usage(result) };
    const said = { ...(reasoning !== '' && { reasoning }), ...(toolCalls.length > 0 && { toolCalls }) };
    this.#onEnd(response, { role: 'assistant', content: text, ...said });
    return response;
  }

  #piece(piece: Piece): string {
    const { text, reasoning, toolCallDeltas } = piece;
    this.#noteLogprobs(piece);
    // The end of an open call belongs before the text that follows the call.
    const { rest, begun } = callParts(toolCallDeltas);
    let events = rest.map((part) => this.#addCall(part)).join('');
    if (reasoning !== '') events += this.#addReasoning(reasoning);
    if (text !== '') events += this.#addText(text);
    for (const part of begun) events += this.#addCall(part);
    return events;
  }

  #addReasoning(delta: string): string {
    const begun =
      this.#open?.type === 'reasoning' ? '' : this.#start({ type: 'reasoning', id: randomId('rs_', 32), text: '' });
    this.#open!.text += delta;
    return begun + this.#event('response.reasoning_text.delta', { ...this.#place(), content_index: 0, delta });
  }

  /** Keeps the log-probabilities of tokens whose text is yet to come, those of the thinking apart. */
  #noteLogprobs({ reasoning, ids, logprobs = [] }: Pick<Piece, 'reasoning' | 'ids' | 'logprobs'>): void {
    const close = this.#tokenizer.tokenToId(this.#tokenizer.reasoning.close);
    const end = close === null ? -1 : ids.indexOf(close);
    if (end >= 0) this.#logged = logprobs.slice(end + 1);
    else this.#logged = reasoning === '' ? [...this.#logged, ...logprobs] : [];
  }

  #takeLogprobs(): object[] {
    const logprobs = this.#logprobs(this.#logged);
    this.#logged = [];
    return logprobs;
  }

  #addText(delta: string): string {
    const begun =
      this.#open?.type === 'message'
        ? ''
        : this.#start({ type: 'message', id: randomId('msg_', 32), text: '', logprobs: [] });
    const item = this.#open as Extract<OpenItem, { type: 'message' }>;
    item.text += delta;
    const logprobs = this.#takeLogprobs();
    item.logprobs.push(...logprobs);
    const told = { ...this.#place(), content_index: 0, delta, logprobs };
    return begun + this.#event('response.output_text.delta', told);
  }

  #addCall({ id, name, argumentsText: delta }: ToolCallDelta): string {
    if (name !== undefined)
      return this.#start({ type: 'function_call', id: randomId('fc_', 32), text: '', callId: id, name });
    this.#open!.text += delta;
    return this.#event('response.function_call_arguments.delta', { ...this.#place(), delta });
  }

  /** Begins an item, which ends the one before it. */
  #start(item: OpenItem): string {
    const before = this.#close('completed');
    this.#open = item;
    const { output_index: index } = this.#place();
    const added = this.#event('response.output_item.added', {
      output_index: index,
      item: { ...this.#item(item, 'in_progress'), ...(item.type !== 'function_call' && { content: [] }) },
    });
    if (item.type === 'function_call') return before + added;
    const part = partOf(item);
    return before + added + this.#event('response.content_part.added', { ...this.#place(), content_index: 0, part });
  }

  #close(status: 'completed' | 'incomplete'): string {
    const item = this.#open;
    if (item === undefined) return '';
    const place = this.#place();
    if (item.type === 'message') item.logprobs.push(...this.#takeLogprobs());
    const whole = this.#item(item, status);
    this.#open = undefined;
    this.#items.push(whole);
    const done = () => this.#event('response.output_item.done', { output_index: place.output_index, item: whole });
    if (item.type === 'function_call') {
      const told = { ...place, name: item.name, arguments: item.text };
      return this.#event('response.function_call_arguments.done', told) + done();
    }
    const name = item.type === 'reasoning' ? 'response.reasoning_text.done' : 'response.output_text.done';
    const logprobs = item.type === 'message' ? { logprobs: item.logprobs } : {};
    return (
      this.#event(name, { ...place, content_index: 0, text: item.text, ...logprobs }) +
      this.#event('response.content_part.done', { ...place, content_index: 0, part: partOf(item) }) +
      done()
    );
  }

  #place(): { item_id: string; output_index: number } {
    return { item_id: this.#open!.id, output_index: this.#items.length };
  }

  #item(item: OpenItem, status: Status = 'completed'): object {
    const { type, id } = item;
    if (type === 'function_call')
      return { id, type, status, call_id: item.callId, name: item.name, arguments: item.text };
    if (type === 'reasoning') return { id, type, status, summary: [], content: [partOf(item)] };
    return { id, type, status, role: 'assistant', content: [partOf(item)] };
  }

  #response(status: Status): { id: string; [field: string]: unknown } {
    return {
      id: this.#id,
      object: 'response',
      created_at: this.#createdAt,
      status,
      error: null,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      ...this.#request.told,
      output: [...this.#items],
      usage: null,
    };
  }

  #usage(result: GenerationResult): object {
    const { promptTokens, cachedTokens, completionTokens } = result.usage;
    return {
      input_tokens: promptTokens,
      input_tokens_details: { cached_tokens: cachedTokens },
      output_tokens: completionTokens,
      output_tokens_details: { reasoning_tokens: reasoningTokens(result, this.#tokenizer) },
      total_tokens: promptTokens + completionTokens,
    };
  }

  #logprobs(tokens: readonly TokenLogprob[]): object[] {
    return this.#request.logprobs ? logprobsOf(tokens, this.#tokenizer) : [];
  }

  #event(type: string, data: object): string {
    return eventText({ type, sequence_number: this.#sequence++, ...data }, type);
  }
}

function partOf(item: Exclude<OpenItem, { type: 'function_call' }>): object {
  if (item.type === 'reasoning') return { type: 'reasoning_text', text: item.text };
  return { type: 'output_text', text: item.text, annotations: [], logprobs: item.logprobs };
}
