/** `POST /v1/messages` and `POST /v1/messages/count_tokens`. */
import { encodePrompt } from '../../model/generation.js';
import { defined } from '../../options.js';
import { respond } from '../answer.js';
import type { App, ServeContext } from '../context.js';
import { readJsonBody } from '../limits.js';
import { MessageReply } from './message-reply.js';
import { readCountRequest, readMessageRequest } from './messages-request.js';

/** Adds the routes. */
export function addMessageRoutes(app: App, context: ServeContext): void {
  app.post('/v1/messages', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, context.settings.maxBody);
    const request = readMessageRequest(context, exchange, body);
    const { model, messages, options, isStream } = request;
    return await respond(
      context,
      exchange,
      { model, choices: [{ prompt: messages, options }] },
      { isStream, mapping: new MessageReply(request) },
    );
  });
  app.post('/v1/messages/count_tokens', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, context.settings.maxBody);
    const { model, messages, tools, thinking } = readCountRequest(context, exchange, body);
    const { ids } = await encodePrompt(model.model, messages, defined({ tools, thinking, signal: exchange.signal }));
    return c.json({ input_tokens: ids.length });
  });
}
