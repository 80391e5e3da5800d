/**
 * Runs a request through the engine: waits for a place, generates its choices, and gives them to an API's mapping, which
 * makes the bodies that its clients expect.
 */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Tokenizer } from '../text/tokenizer.js';
import type { GenerateOptions, GenerationResult, Piece, Prompt, ToolCallDelta } from '../types.js';
import type { ServeContext } from './context.js';
import { type ApiError, ClientLeft, toApiError } from './errors.js';
import type { Exchange } from './exchange.js';
import type { ServedModel } from './served-models.js';
import { EventStream, leaveStalled } from './sse.js';

/** A request as the engine takes it. */
export interface AnswerRequest {
  model: ServedModel;
  /** The answers wanted, one entry each. Entries may share a prompt. */
  choices: readonly { prompt: Prompt; options: GenerateOptions }[];
}

/** A part of an answer, or its end. */
export type ReplyEvent =
  | { kind: 'piece'; choice: number; piece: Piece }
  | { kind: 'ended'; choice: number; result: GenerationResult };

/** How an API writes an answer. The texts are those of server-sent events; see `eventText`. */
export interface ReplyMapping {
  /** The body of an answer that is not streamed. */
  whole(results: readonly GenerationResult[]): object;
  /** The events before anything else. */
  begin(): string;
  /** The events for what has come. */
  events(events: readonly ReplyEvent[]): string;
  /** The events after all choices have ended. */
  end(results: readonly GenerationResult[]): string;
  /** The events after which a stream ends that cannot go on. */
  error(error: ApiError): string;
}

/**
 * Answers a request, streamed or whole. The work ends within a step when the client leaves.
 *
 * @throws ApiError, and errors of the library, as long as nothing has been sent
 */
export async function respond(
  context: ServeContext,
  exchange: Exchange,
  request: AnswerRequest,
  { isStream, mapping }: { isStream: boolean; mapping: ReplyMapping },
): Promise<Response> {
  exchange.notes.model = request.model.names[0]!;
  exchange.notes.stream = isStream;
  if (context.settings.logPrompts)
    context.log.say(
      exchange.id,
      'prompts',
      request.choices.map(({ prompt }) => prompt),
    );
  const place = await context.queue.enter(exchange.client, request.choices.length, exchange.signal);
  try {
    if (isStream) return await stream(context, exchange, request, place.start, mapping);
    const results: GenerationResult[] = [];
    for await (const events of replyEvents(exchange, request, place.start))
      for (const event of events) if (event.kind === 'ended') results[event.choice] = event.result;
    noteResults(context, exchange, request, results);
    const body = mapping.whole(results);
    leaveStalled(exchange.outgoing, context.settings.stallTimeout * 1000, (reason) => exchange.abort(reason));
    return Response.json(body);
  } catch (error) {
    context.metrics.noteEnd(request.model.names[0]!, error instanceof ClientLeft ? 'abort' : 'error');
    throw error;
  } finally {
    place.leave();
  }
}

async function stream(
  context: ServeContext,
  exchange: Exchange,
  request: AnswerRequest,
  onStart: () => void,
  mapping: ReplyMapping,
): Promise<Response> {
  const { outgoing } = exchange;
  const events = new EventStream(outgoing, context.settings.stallTimeout * 1000, (reason) => exchange.abort(reason));
  const results: GenerationResult[] = [];
  // Errors of the request itself get a status of their own, because the head waits until the engine has begun. A
  // client must not wait for it too long.
  const patience = setTimeout(() => events.open(), 15_000);
  let beginning = mapping.begin();
  try {
    const started = () => {
      onStart();
      events.open();
    };
    for await (const batch of replyEvents(exchange, request, started)) {
      for (const event of batch) if (event.kind === 'ended') results[event.choice] = event.result;
      await events.write(beginning + mapping.events(batch));
      beginning = '';
    }
    noteResults(context, exchange, request, results);
    events.end(mapping.end(results));
  } catch (error) {
    if (!events.isOpen) throw error;
    context.metrics.noteEnd(request.model.names[0]!, error instanceof ClientLeft ? 'abort' : 'error');
    const told = toApiError(error, exchange.fieldNames);
    exchange.notes.error = told.code;
    events.end(mapping.error(told));
  } finally {
    clearTimeout(patience);
  }
  return RESPONSE_ALREADY_SENT;
}

/**
 * Generates the choices of a request side by side, and gives what has come each time: a reader who waits holds the
 * engine up. `onStart` is called when the engine has begun with the first of them.
 */
async function* replyEvents(
  { signal, notes, startedAt }: Exchange,
  { model, choices }: AnswerRequest,
  onStart: () => void,
): AsyncGenerator<ReplyEvent[], void> {
  const { model: loaded } = model;
  // With a session, the engine keeps the cache of the conversation for its next turn.
  const sessions = choices.map(() => loaded.createSession());
  const onPromptProgress = () => {
    notes.queueMs ??= performance.now() - startedAt;
    onStart();
  };
  const readers = choices.map(({ prompt, options }, i) =>
    sessions[i]!.generate(prompt, { ...options, signal, onPromptProgress }),
  );
  const iterators = readers.map((generation) => generation[Symbol.asyncIterator]());
  const next = async (choice: number): Promise<ReplyEvent> => {
    const { done, value } = await iterators[choice]!.next();
    if (!done) return { kind: 'piece', choice, piece: value };
    return { kind: 'ended', choice, result: await readers[choice]! };
  };
  try {
    if (choices.length === 1) yield* eventsOfOne(next);
    else yield* eventsOfSeveral(next, choices.length);
  } finally {
    // Has an effect only if one of them has failed or the reader has left.
    await Promise.allSettled(iterators.map((iterator) => iterator.return!()));
    // Their errors then count as read: the first of them is told, and the others have the same cause.
    await Promise.allSettled(readers);
    for (const session of sessions) await session.close();
  }
}

async function* eventsOfOne(next: (choice: number) => Promise<ReplyEvent>): AsyncGenerator<ReplyEvent[], void> {
  for (;;) {
    const event = await next(0);
    yield [event];
    if (event.kind === 'ended') return;
  }
}

async function* eventsOfSeveral(
  next: (choice: number) => Promise<ReplyEvent>,
  count: number,
): AsyncGenerator<ReplyEvent[], void> {
  let came: ReplyEvent[] = [];
  const waits = new Map<number, Promise<void>>();
  const ask = (choice: number) =>
    waits.set(
      choice,
      next(choice).then((event) => {
        came.push(event);
      }),
    );
  for (let choice = 0; choice < count; choice++) ask(choice);
  while (waits.size > 0) {
    await Promise.race(waits.values());
    const events = came;
    came = [];
    for (const { choice } of events) waits.delete(choice);
    yield events;
    for (const { kind, choice } of events) if (kind === 'piece') ask(choice);
  }
}

/** Notes the counts of an answer for the access log and the metrics. */
function noteResults(
  { metrics, settings, log }: ServeContext,
  { id, notes, startedAt }: Exchange,
  { model, choices }: AnswerRequest,
  results: readonly GenerationResult[],
): void {
  if (settings.logPrompts) {
    const said = results.map(({ text, reasoning, toolCalls }) => ({ text, reasoning, toolCalls }));
    log.say(id, 'answers', said);
  }
  // A prompt counts once, whatever the number of its answers.
  const firsts = new Map(choices.map(({ prompt }, i) => [prompt, results[i]!] as const).reverse());
  const counted = [...firsts.values()];
  notes.promptTokens = sumOf(counted, ({ usage }) => usage.promptTokens);
  notes.cachedTokens = sumOf(counted, ({ usage }) => usage.cachedTokens);
  notes.completionTokens = sumOf(results, ({ usage }) => usage.completionTokens);
  const { tokenizer } = model.model;
  notes.reasoningTokens = sumOf(results, (result) => reasoningTokens(result, tokenizer));
  notes.draftsKept = sumOf(results, ({ speculation }) => speculation.accepted);
  notes.parked = sumOf(results, ({ usage }) => usage.parked);
  notes.finish = results.map(({ finishReason }) => finishReason).join();
  const { timings, usage } = results[0]!;
  notes.firstTokenMs = timings.firstTokenMs;
  notes.tokenMs = timings.decodeMs / Math.max(1, usage.completionTokens - 1);
  const wholeMs = performance.now() - startedAt;
  notes.queueMs ??= wholeMs;
  for (const result of results) metrics.noteAnswer(model.names[0]!, result, { queueMs: notes.queueMs, wholeMs });
}

/** The sum of a count of each answer. */
export function sumOf(results: readonly GenerationResult[], count: (result: GenerationResult) => number): number {
  return results.reduce((all, result) => all + count(result), 0);
}

/** The tokens of an answer that are thinking, the marker that closes it included. */
export function reasoningTokens({ reasoning, ids }: GenerationResult, tokenizer: Tokenizer): number {
  if (reasoning === '') return 0;
  const close = tokenizer.tokenToId(tokenizer.reasoning.close);
  if (close === null) return Math.min(ids.length, tokenizer.encode(reasoning).length);
  const at = ids.indexOf(close);
  return at < 0 ? ids.length : at + 1;
}

/** The parts of calls that a piece has: the rest of a call that began in an earlier piece, and those that begin here. */
export function callParts(deltas: readonly ToolCallDelta[]): { rest: ToolCallDelta[]; begun: ToolCallDelta[] } {
  const first = deltas.findIndex(({ name }) => name !== undefined);
  const end = first < 0 ? deltas.length : first;
  return { rest: deltas.slice(0, end), begun: deltas.slice(end) };
}
