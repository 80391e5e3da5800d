/** `POST /v1/completions`. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { respond } from '../answer.js';
import type { App, ServeContext } from '../context.js';
import type { Exchange } from '../exchange.js';
import { readJsonBody } from '../limits.js';
import { EventStream } from '../sse.js';
import type { LoggedToken } from './completion-logprobs.js';
import { CompletionReply } from './completion-reply.js';
import { type CompletionRequest, completionAnswer, readCompletionRequest } from './completion-request.js';

/** Adds the route. */
export function addCompletionRoutes(app: App, context: ServeContext): void {
  app.post('/v1/completions', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, context.settings.maxBody);
    const request = await readCompletionRequest(context, exchange, body);
    const mapping = new CompletionReply(request, await scorePrompts(context, exchange, request));
    const { isStream, options } = request;
    if (options.maxTokens === 0) return tellPrompts(context, exchange, request, mapping);
    return await respond(context, exchange, completionAnswer(request), { isStream, mapping });
  });
}

/** The log-probabilities of the prompts' tokens, if the request wants them told. */
async function scorePrompts(
  { queue }: ServeContext,
  exchange: Exchange,
  { model, prompts, echo, logprobs, promptLogprobs }: CompletionRequest,
): Promise<LoggedToken[][]> {
  const alternatives = Math.max(echo ? (logprobs ?? -1) : -1, promptLogprobs ?? -1);
  if (alternatives < 0) return [];
  const { signal } = exchange;
  const place = await queue.enter(exchange.client, 1, signal);
  try {
    place.start();
    const scores: LoggedToken[][] = [];
    for (const { ids } of prompts) {
      const rest = await model.model.scoreTokens(ids, { alternatives, signal });
      scores.push([{ id: ids[0]!, logprob: null }, ...rest]);
    }
    return scores;
  } finally {
    place.leave();
  }
}

/** Answers a request that asks for its prompts alone. */
function tellPrompts(
  { settings }: ServeContext,
  exchange: Exchange,
  { model, isStream, prompts }: CompletionRequest,
  mapping: CompletionReply,
): Response {
  exchange.notes.model = model.names[0]!;
  exchange.notes.stream = isStream;
  exchange.notes.promptTokens = prompts.reduce((all, { ids }) => all + ids.length, 0);
  exchange.notes.completionTokens = 0;
  if (!isStream) return Response.json(mapping.whole([]));
  const events = new EventStream(exchange.outgoing, settings.stallTimeout * 1000, (reason) => exchange.abort(reason));
  const text = mapping.promptAlone();
  events.open();
  events.end(text);
  return RESPONSE_ALREADY_SENT;
}
