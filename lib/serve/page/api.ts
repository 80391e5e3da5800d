/** Talks to the server: which models there are, and answers as they are written. */
import type { Failure, Figures, Message } from './conversation.js';
import { readEvents } from './sse.js';

/** A model of the server. */
export interface ServedModel {
  id: string;
  /** Tokens. Null if the server does not tell. */
  contextSize: number | null;
  /** The values of settings that are not set, by the request's field. */
  defaults: Readonly<Record<string, number>>;
}

/** A request that failed. `message` is the server's own. */
export class ChatError extends Error {
  override readonly name = 'ChatError';
  constructor(
    readonly kind: Failure,
    message: string,
    /** After how long the server wants to be asked again (milliseconds). Null if it does not say. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

/** A piece of an answer, or its end. */
export type ChatEvent =
  | { type: 'text'; text: string }
  | { type: 'reasoning'; text: string }
  | { type: 'end'; end: 'stop' | 'length' }
  | { type: 'figures'; figures: Figures };

/** The parts of a request for an answer. */
export interface ChatRequest {
  model: string | null;
  messages: Message[];
  /** Fields out of the settings. */
  fields: Record<string, unknown>;
  key: string | null;
  signal: AbortSignal;
}

interface Chunk {
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null; reasoning?: string | null };
    finish_reason?: string | null;
  }[];
  usage?: Usage | null;
  /** One entry for each choice. */
  kexa?: Timed[] | null;
  error?: ErrorBody;
}

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
}

interface Timed {
  timings?: { decodeTokensPerSecond?: number; firstTokenMs?: number };
  speculation?: { drafted?: number; accepted?: number };
}

interface ErrorBody {
  message?: string;
  code?: string | null;
}

/** The server's models. @throws ChatError */
export async function fetchModels(key: string | null): Promise<ServedModel[]> {
  const response = await request('v1/models', key, {});
  const { data } = (await response.json()) as {
    data: { id: string; max_model_len?: number | null; kexa?: { defaults?: Record<string, number> | null } }[];
  };
  return data.map(({ id, max_model_len, kexa }) => ({
    id,
    contextSize: max_model_len ?? null,
    defaults: kexa?.defaults ?? {},
  }));
}

/** An answer, as it is written. Ends the server's work if the reader leaves. @throws ChatError */
export async function* streamAnswer(asked: ChatRequest): AsyncGenerator<ChatEvent> {
  const { model, messages, fields, key, signal } = asked;
  const began = performance.now();
  const response = await request('v1/chat/completions', key, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      ...(model === null ? {} : { model }),
      messages,
      ...fields,
      stream: true,
      stream_options: { include_usage: true },
      timings: true,
    }),
    signal,
  });
  let firstAt: number | undefined;
  let usage: Usage | undefined;
  let timed: Timed | undefined;
  let hasEnded = false;
  try {
    for await (const data of readEvents(response.body!)) {
      if (data === '[DONE]') break;
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error) throw new ChatError(kindOf(200, chunk.error), chunk.error.message ?? '');
      usage = chunk.usage ?? usage;
      timed = chunk.kexa?.[0] ?? timed;
      const choice = chunk.choices?.[0];
      const reasoning = choice?.delta?.reasoning_content ?? choice?.delta?.reasoning;
      const text = choice?.delta?.content;
      if (text || reasoning) firstAt ??= performance.now();
      if (reasoning) yield { type: 'reasoning', text: reasoning };
      if (text) yield { type: 'text', text };
      if (choice?.finish_reason) {
        hasEnded = true;
        yield { type: 'end', end: choice.finish_reason === 'length' ? 'length' : 'stop' };
      }
    }
  } catch (error) {
    if (error instanceof ChatError || signal.aborted) throw error;
    throw new ChatError('broken', (error as Error).message);
  }
  if (!hasEnded) throw new ChatError('broken', '');
  if (usage) yield { type: 'figures', figures: figuresOf(usage, timed, began, firstAt ?? performance.now()) };
}

/** The server's own times, or the browser's where the server gives none. */
function figuresOf(usage: Usage, timed: Timed | undefined, began: number, firstAt: number): Figures {
  const seconds = (performance.now() - firstAt) / 1000;
  const tokens = usage.completion_tokens;
  const rate = timed?.timings?.decodeTokensPerSecond ?? (tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null);
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: tokens,
    tokensPerSecond: rate || null,
    firstTokenMs: timed?.timings?.firstTokenMs ?? firstAt - began,
    drafted: timed?.speculation?.drafted ?? 0,
    accepted: timed?.speculation?.accepted ?? 0,
  };
}

/** The addresses are relative, so that the page also works behind a proxy that gives it a folder. */
async function request(path: string, key: string | null, options: RequestInit): Promise<Response> {
  const headers = new Headers(options.headers);
  if (key !== null) headers.set('authorization', `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ChatError('unreachable', (error as Error).message);
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => null)) as { error?: ErrorBody } | null;
  const after = response.headers.get('retry-after-ms') ?? Number(response.headers.get('retry-after')) * 1000;
  throw new ChatError(
    kindOf(response.status, body?.error ?? {}),
    body?.error?.message ?? `${response.status} ${response.statusText}`,
    Number(after) || null,
  );
}

function kindOf(status: number, { code }: ErrorBody): Failure {
  if (status === 401) return 'key';
  if (status === 429 || status === 503) return 'busy';
  if (code === 'context_length_exceeded') return 'context';
  return status >= 400 && status < 500 ? 'refused' : 'server';
}
