/** `POST /v1/chat/completions`. */
import { respond } from '../answer.js';
import type { App, ServeContext } from '../context.js';
import { readJsonBody } from '../limits.js';
import { ChatReply } from './chat-reply.js';
import { readChatRequest } from './chat-request.js';

/** Adds the route. */
export function addChatRoutes(app: App, context: ServeContext): void {
  app.post('/v1/chat/completions', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, context.settings.maxBody);
    const request = readChatRequest(context, exchange, body);
    return await respond(context, exchange, request.answer, {
      isStream: request.style.isStream,
      mapping: new ChatReply(request, context.settings),
    });
  });
}
