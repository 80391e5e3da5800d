/** Answers the rows of a batch by a model of this process, as the server answers requests. */

import { type BatchRow, chatUrl, completionUrl, seedOf, stableId } from '../batch/rows.js';
import type { Answerer, RowAnswer } from '../batch/run.js';
import { KexaError } from '../errors.js';
import type { JsonObject } from '../files/json-file.js';
import type { Model } from '../model/model.js';
import { defined } from '../options.js';
import type { GenerateOptions, GenerationResult, Message, Prompt } from '../types.js';
import type { AnswerRequest } from './answer.js';
import type { ServeContext } from './context.js';
import { ApiError, badRequest, openAIError, toApiError, unsupported } from './errors.js';
import { ChatReply } from './openai/chat-reply.js';
import { readChatRequest } from './openai/chat-request.js';
import { CompletionReply } from './openai/completion-reply.js';
import { completionAnswer, readCompletionRequest } from './openai/completion-request.js';
import { checkServeOptions } from './options.js';
import { ServedModels } from './served-models.js';

type Context = Pick<ServeContext, 'settings' | 'models'>;

/** A request of one of the server's routes, and how its answer is written. */
interface RouteRequest {
  answer: AnswerRequest;
  isStream: boolean;
  whole(results: readonly GenerationResult[]): object;
}

/** The routes that a batch may ask for, by their paths. */
const routes: Readonly<Record<string, (context: Context, body: Record<string, unknown>) => Promise<RouteRequest>>> = {
  [chatUrl]: async (context, body) => {
    const request = readChatRequest(context, { notes: {}, fieldNames: {} }, body);
    const reply = new ChatReply(request, context.settings);
    return { answer: request.answer, isStream: request.style.isStream, whole: (results) => reply.whole(results) };
  },
  [completionUrl]: async (context, body) => {
    const request = await readCompletionRequest(context, { notes: {}, fieldNames: {} }, body);
    const { options, echo, logprobs, promptLogprobs, isStream } = request;
    // The log-probabilities of a prompt take another pass over it.
    if (promptLogprobs !== undefined || (echo && logprobs !== undefined))
      throw unsupported('logprobs', 'a batch tells those of the answer alone');
    if (options.maxTokens === 0) throw badRequest('max_tokens', 'wanted 1 or more');
    const reply = new CompletionReply(request, []);
    return { answer: completionAnswer(request), isStream, whole: (results) => reply.whole(results) };
  },
};

/** The errors after which no further row can be answered. */
const fatal = new Set(['KEXA_DEVICE_LOST', 'KEXA_CLOSED', 'KEXA_INTERNAL', 'KEXA_NO_BINARY']);

/**
 * Answers rows by a loaded model. The answer to a row depends on the row, the model and its settings alone: its seed is
 * made of its name where it gives none, and its body has no time, no random name and no figures of how it was computed.
 *
 * @example
 * const answerer = await ModelAnswerer.create(model, 'models/tiny', { weights: 'auto' });
 * await runBatch({ input: 'in.jsonl', output: 'out.jsonl', answerer, concurrency: 8 });
 */
export class ModelAnswerer implements Answerer {
  readonly identity: JsonObject;
  readonly #context: Context;
  readonly #model: Model;

  private constructor(model: Model, context: Context, identity: JsonObject) {
    this.#model = model;
    this.#context = context;
    this.identity = identity;
  }

  /**
   * @param name the model's name in the answers to rows that give none
   * @param settings further facts on which answers depend, for the manifest
   */
  static async create(model: Model, name: string, settings: JsonObject): Promise<ModelAnswerer> {
    const source = { names: [name], root: name, isOwned: false, load: async () => model };
    const models = new ServedModels([source]);
    await models.all[0]!.load(new AbortController().signal, () => {});
    const { fingerprint } = models.all[0]!;
    const { contextSize } = model;
    return new ModelAnswerer(
      model,
      { settings: checkServeOptions({}), models },
      { model: fingerprint, contextSize, ...settings },
    );
  }

  async check(row: BatchRow): Promise<string | null> {
    try {
      const { answer } = await this.#request(row);
      const { prompt, options } = answer.choices[0]!;
      if (isMessages(prompt)) this.#checkLength(prompt, options);
      return null;
    } catch (error) {
      if (error instanceof ApiError || error instanceof KexaError) return toApiError(error).message;
      throw error;
    }
  }

  orderKey({ body }: BatchRow): string {
    return JSON.stringify([body.tools ?? null, body.messages ?? body.prompt ?? null]);
  }

  async answer(row: BatchRow): Promise<RowAnswer> {
    try {
      const { answer, whole } = await this.#request(row);
      const results = await Promise.all(
        answer.choices.map(({ prompt, options }) => this.#model.generate(prompt, options)),
      );
      const tokens = results.reduce((sum, { usage }) => sum + usage.completionTokens, 0);
      return { status: 200, body: stableBody(whole(results) as JsonObject, row), tokens };
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof KexaError)) throw error;
      if (error instanceof KexaError && fatal.has(error.code)) throw error;
      const told = toApiError(error);
      return { status: told.status, body: openAIError(told), tokens: 0 };
    }
  }

  /** Reads a row's body. @throws ApiError */
  async #request({ customId, url, body }: BatchRow): Promise<RouteRequest> {
    const route = Object.hasOwn(routes, url) ? routes[url] : undefined;
    if (route === undefined) throw unsupported('url', `wanted ${Object.keys(routes).join(' or ')}, found ${url}`);
    const request = await route(this.#context, { ...body, model: undefined, seed: body.seed ?? seedOf(customId) });
    if (request.isStream) throw badRequest('stream', 'the answers of a batch are whole');
    return request;
  }

  /** Throws for a prompt that does not fit. A token has at least one byte, so short texts need not be encoded. */
  #checkLength(messages: readonly Message[], { thinking, tools }: GenerateOptions): void {
    const { contextSize, tokenizer } = this.#model;
    const text = tokenizer.applyChatTemplate(messages, defined({ thinking, tools }));
    if (Buffer.byteLength(text) < contextSize) return;
    const { length } = tokenizer.encode(text);
    if (length < contextSize) return;
    throw badRequest(
      'messages',
      `${length} tokens do not fit the context of ${contextSize}`,
      'context_length_exceeded',
    );
  }
}

function isMessages(prompt: Prompt): prompt is readonly Message[] {
  return Array.isArray(prompt) && typeof prompt[0] === 'object';
}

/** An answer's body without what differs from run to run: names, times, and figures of caches and drafts. */
function stableBody(body: JsonObject, { customId, url, body: asked }: BatchRow): object {
  const {
    kexa: _,
    usage,
    choices,
    ...head
  } = body as Record<string, unknown> & {
    usage: Record<string, unknown>;
    choices: { index: number; message?: { tool_calls?: { id: string }[] } }[];
  };
  const details = usage.completion_tokens_details as { reasoning_tokens?: number } | undefined;
  for (const { index, message } of choices)
    for (const [i, call] of (message?.tool_calls ?? []).entries())
      call.id = stableId('call_', customId, 24, `${index} ${i}`);
  return {
    ...head,
    id: stableId(url === chatUrl ? 'chatcmpl-' : 'cmpl-', customId, 26),
    created: 0,
    ...(typeof asked.model === 'string' && { model: asked.model }),
    choices,
    usage: {
      prompt_tokens: usage.prompt_tokens,
      completion_tokens: usage.completion_tokens,
      total_tokens: usage.total_tokens,
      ...(details?.reasoning_tokens !== undefined && {
        completion_tokens_details: { reasoning_tokens: details.reasoning_tokens },
      }),
    },
  };
}
