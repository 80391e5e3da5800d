/** Writes answers as completions: whole, or in chunks. */
import { randomId } from '../../random.js';
import type { Tokenizer } from '../../text/tokenizer.js';
import type { GenerationResult, Piece, TokenLogprob } from '../../types.js';
import type { ReplyEvent, ReplyMapping } from '../answer.js';
import { type ApiError, openAIError } from '../errors.js';
import { doneEvent, eventText } from '../sse.js';
import { type CompletionLogprobs, type LoggedToken, LogprobWriter, promptLogprobs } from './completion-logprobs.js';
import type { CompletionRequest } from './completion-request.js';
import { usageOf } from './usage.js';

/** A choice while it is written. */
interface ChoiceState {
  prompt: number;
  logprobs: LogprobWriter;
}

/** The mapping of one request's answers. `scores` are the tokens of each prompt, if their log-probabilities are told. */
export class CompletionReply implements ReplyMapping {
  readonly #request: CompletionRequest;
  readonly #tokenizer: Tokenizer;
  readonly #scores: readonly LoggedToken[][];
  readonly #head: { id: string; object: 'text_completion'; created: number; model: string; system_fingerprint: string };
  readonly #choices: ChoiceState[];

  constructor(request: CompletionRequest, scores: readonly LoggedToken[][]) {
    const { model, prompts, n } = request;
    this.#request = request;
    this.#scores = scores;
    this.#head = {
      id: randomId('cmpl-', 26),
      object: 'text_completion',
      created: Math.floor(Date.now() / 1000),
      model: request.name,
      system_fingerprint: model.fingerprint,
    };
    this.#tokenizer = model.model.tokenizer;
    this.#choices = Array.from({ length: prompts.length * n }, (_, i) => ({
      prompt: Math.floor(i / n),
      logprobs: new LogprobWriter(this.#tokenizer),
    }));
  }

  /** The body. `results` is empty if nothing was generated. */
  whole(results: readonly GenerationResult[]): object {
    const { echo } = this.#request;
    return {
      ...this.#head,
      choices: this.#choices.map((state, index) => {
        const result = results[index];
        const text = result === undefined ? '' : result.text;
        return {
          index,
          text: echo ? this.#request.prompts[state.prompt]!.text + text : text,
          logprobs: this.#logprobs(state, [...(echo ? this.#echoed(state) : []), ...(result?.logprobs ?? [])]),
          finish_reason: result?.finishReason ?? 'length',
          ...this.#ofPrompt(state),
          ...(this.#request.tokenIds && { token_ids: result?.ids ?? [] }),
        };
      }),
      usage: this.#usage(results),
    };
  }

  begin(): string {
    const { echo, prompts, promptLogprobs: wanted, tokenIds } = this.#request;
    if (!echo && wanted === undefined && !tokenIds) return '';
    return this.#choices
      .map((state, index) =>
        this.#chunk(index, {
          text: echo ? prompts[state.prompt]!.text : '',
          logprobs: this.#logprobs(state, echo ? this.#echoed(state) : []),
          finish_reason: null,
          ...this.#ofPrompt(state),
        }),
      )
      .join('');
  }

  events(events: readonly ReplyEvent[]): string {
    return events
      .map((event) =>
        event.kind === 'piece'
          ? this.#piece(event.choice, event.piece)
          : this.#chunk(event.choice, { text: '', logprobs: null, finish_reason: event.result.finishReason }),
      )
      .join('');
  }

  end(results: readonly GenerationResult[]): string {
    if (!this.#request.usage) return doneEvent;
    return eventText({ ...this.#head, choices: [], usage: this.#usage(results) }) + doneEvent;
  }

  /** The events of an answer that has nothing but its prompt. */
  promptAlone(): string {
    const endings = this.#choices.map((_, i) => this.#chunk(i, { text: '', logprobs: null, finish_reason: 'length' }));
    return this.begin() + endings.join('') + this.end([]);
  }

  error(error: ApiError): string {
    return eventText(openAIError(error)) + doneEvent;
  }

  #piece(index: number, { text, ids, logprobs }: Piece): string {
    const told: readonly TokenLogprob[] = logprobs ?? [];
    if (text === '' && told.length === 0 && !this.#request.tokenIds) return '';
    return this.#chunk(index, {
      text,
      logprobs: this.#logprobs(this.#choices[index]!, told),
      finish_reason: null,
      ...(this.#request.tokenIds && { token_ids: ids }),
    });
  }

  #chunk(index: number, choice: object): string {
    return eventText({
      ...this.#head,
      choices: [{ index, ...choice }],
      ...(this.#request.usage && { usage: null }),
    });
  }

  #logprobs(state: ChoiceState, tokens: readonly LoggedToken[]): CompletionLogprobs | null {
    return this.#request.logprobs === undefined ? null : state.logprobs.write(tokens);
  }

  #echoed({ prompt }: ChoiceState): readonly LoggedToken[] {
    return this.#scores[prompt] ?? [];
  }

  /** The facts of a choice's prompt that were asked for. */
  #ofPrompt({ prompt }: ChoiceState): object {
    const { promptLogprobs: wanted, tokenIds, prompts } = this.#request;
    return {
      ...(wanted !== undefined && { prompt_logprobs: promptLogprobs(this.#scores[prompt]!, this.#tokenizer) }),
      ...(tokenIds && { prompt_token_ids: prompts[prompt]!.ids }),
    };
  }

  #usage(results: readonly GenerationResult[]): object {
    const { prompts, n } = this.#request;
    const prompt = prompts.reduce((all, { ids }) => all + ids.length, 0);
    // A prompt counts once, whatever the number of its answers.
    const cached = results.reduce((all, { usage }, i) => (i % n === 0 ? all + usage.cachedTokens : all), 0);
    return usageOf(results, { prompt, cached });
  }
}
