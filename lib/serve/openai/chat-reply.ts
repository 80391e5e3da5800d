/** Writes answers as chat completions: whole, or in chunks. */
import { randomId } from '../../random.js';
import type { Tokenizer } from '../../text/tokenizer.js';
import type { GenerationResult, Piece, TokenLogprob } from '../../types.js';
import { type ReplyEvent, type ReplyMapping, reasoningTokens, sumOf } from '../answer.js';
import { type ApiError, openAIError } from '../errors.js';
import type { Settings } from '../options.js';
import type { ServedModel } from '../served-models.js';
import { doneEvent, eventText } from '../sse.js';
import type { ChatRequest } from './chat-request.js';
import { logprobsOf } from './logprobs.js';
import { callDelta, toolCallOf } from './tool-calls.js';
import { usageOf } from './usage.js';

/** The part of one choice that a stream has written. */
interface ChoiceState {
  /** Tokens of the answer so far. */
  tokens: number;
  /** Whether thinking is being written into the content, because the client wants it there. */
  isInThinking: boolean;
}

/** The mapping of one request's answer. */
export class ChatReply implements ReplyMapping {
  readonly #request: ChatRequest;
  readonly #model: ServedModel;
  readonly #settings: Settings;
  readonly #head: { id: string; created: number; model: string; system_fingerprint: string };
  readonly #choices: ChoiceState[];
  #keptTokenizer: Tokenizer | undefined;

  constructor(request: ChatRequest, settings: Settings) {
    const { style, answer } = request;
    this.#request = request;
    this.#model = answer.model;
    this.#settings = settings;
    this.#head = {
      id: randomId('chatcmpl-', 26),
      created: Math.floor(Date.now() / 1000),
      model: style.model,
      system_fingerprint: answer.model.fingerprint,
    };
    this.#choices = answer.choices.map(() => ({ tokens: 0, isInThinking: false }));
  }

  whole(results: readonly GenerationResult[]): object {
    const { style } = this.#request;
    return {
      ...this.#head,
      object: 'chat.completion',
      choices: results.map((result, index) => ({
        index,
        message: this.#message(result),
        logprobs: result.logprobs ? { content: logprobsOf(result.logprobs, this.#tokenizer) } : null,
        finish_reason: result.finishReason,
        ...(style.tokenIds && { token_ids: result.ids }),
      })),
      usage: this.#usage(results),
      ...this.#own(results),
    };
  }

  begin(): string {
    return this.#choices.map((_, index) => this.#chunk(index, { role: 'assistant', content: '' })).join('');
  }

  events(events: readonly ReplyEvent[]): string {
    return events
      .map((event) =>
        event.kind === 'piece' ? this.#piece(event.choice, event.piece) : this.#ending(event.choice, event.result),
      )
      .join('');
  }

  end(results: readonly GenerationResult[]): string {
    const { style } = this.#request;
    const own = this.#own(results);
    if (!style.usage && Object.keys(own).length === 0) return doneEvent;
    const last = { ...this.#head, object: 'chat.completion.chunk', choices: [], usage: this.#usage(results), ...own };
    return eventText(last) + doneEvent;
  }

  error(error: ApiError): string {
    return eventText(openAIError(error)) + doneEvent;
  }

  /** Kept, because a served model is slow to give its model. */
  get #tokenizer(): Tokenizer {
    this.#keptTokenizer ??= this.#model.model.tokenizer;
    return this.#keptTokenizer;
  }

  #message(result: GenerationResult): object {
    const { style } = this.#request;
    const { text, reasoning, toolCalls } = result;
    const shown = this.#keepsThinking() && reasoning !== '' ? this.#opened(reasoning) + this.#closed() + text : text;
    const content = shown + (style.stopText ? (result.stopText ?? '') : '');
    return {
      role: 'assistant',
      content: content === '' && toolCalls.length > 0 ? null : content,
      refusal: null,
      ...this.#reasoning(reasoning),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map((call) => toolCallOf(call)) }),
    };
  }

  /** Whether the client wants the thinking as a part of the content. */
  #keepsThinking(): boolean {
    return this.#request.style.reasoning === 'in text';
  }

  #opened(reasoning: string): string {
    return `${this.#tokenizer.reasoning.open}\n${reasoning}`;
  }

  #closed(): string {
    return `\n${this.#tokenizer.reasoning.close}\n\n`;
  }

  /** The fields that tell thinking. */
  #reasoning(reasoning: string): object {
    if (reasoning === '' || this.#request.style.reasoning !== 'apart') return {};
    const { reasoningField } = this.#settings;
    return {
      ...(reasoningField !== 'reasoning' && { reasoning_content: reasoning }),
      ...(reasoningField !== 'reasoning_content' && { reasoning }),
    };
  }

  #piece(index: number, piece: Piece): string {
    const choice = this.#choices[index]!;
    choice.tokens += piece.ids.length;
    const deltas: object[] = [];
    const reasoning = this.#reasoning(piece.reasoning);
    if (Object.keys(reasoning).length > 0) deltas.push(reasoning);
    const content = this.#content(choice, piece);
    if (content !== '') deltas.push({ content });
    for (const part of piece.toolCallDeltas) deltas.push({ tool_calls: [callDelta(part)] });
    // Log-probabilities and ids are told with their tokens, even if those have no text yet.
    const { tokenIds } = this.#request.style;
    if (deltas.length === 0 && (piece.logprobs?.length || (tokenIds && piece.ids.length > 0)))
      deltas.push({ content: '' });
    return deltas.map((delta, i) => this.#chunk(index, delta, i === 0 ? piece : undefined)).join('');
  }

  #content(choice: ChoiceState, { text, reasoning }: Piece): string {
    if (!this.#keepsThinking()) return text;
    let content = '';
    if (reasoning !== '') content += choice.isInThinking ? reasoning : this.#opened(reasoning);
    if (reasoning !== '') choice.isInThinking = true;
    if (text !== '' && choice.isInThinking) {
      content += this.#closed();
      choice.isInThinking = false;
    }
    return content + text;
  }

  #ending(index: number, result: GenerationResult): string {
    const { style } = this.#request;
    // Thinking that no text follows is closed all the same, as in an answer that is not streamed.
    const closing = this.#choices[index]!.isInThinking ? this.#closed() : '';
    const rest = closing + (style.stopText ? (result.stopText ?? '') : '');
    return (rest ? this.#chunk(index, { content: rest }) : '') + this.#chunk(index, {}, undefined, result.finishReason);
  }

  #chunk(index: number, delta: object, piece?: Piece, finish: string | null = null): string {
    const { style } = this.#request;
    const logprobs: readonly TokenLogprob[] | undefined = piece?.logprobs;
    const content = logprobs?.length ? logprobsOf(logprobs, this.#tokenizer) : undefined;
    return eventText({
      ...this.#head,
      object: 'chat.completion.chunk',
      choices: [
        {
          index,
          delta,
          logprobs: content ? { content } : null,
          finish_reason: finish,
          ...(style.tokenIds && piece && { token_ids: piece.ids }),
        },
      ],
      ...((style.usage || style.runningUsage) && { usage: style.runningUsage ? this.#runningUsage() : null }),
    });
  }

  #runningUsage(): object {
    const tokens = this.#choices.reduce((all, choice) => all + choice.tokens, 0);
    return { completion_tokens: tokens };
  }

  #usage(results: readonly GenerationResult[]): object {
    const { promptTokens, cachedTokens } = results[0]!.usage;
    const reasoning = sumOf(results, (result) => reasoningTokens(result, this.#tokenizer));
    return usageOf(results, { prompt: promptTokens, cached: cachedTokens, reasoning });
  }

  /** The figures that OpenAI's API does not have, if the client asked for them. */
  #own(results: readonly GenerationResult[]): object {
    if (!this.#request.style.timings) return {};
    return {
      kexa: results.map(({ timings, speculation, usage, seed }) => ({
        ...{ timings, speculation, seed, cached: usage.cachedTokens, parked: usage.parked },
      })),
    };
  }
}
