/** `POST /v1/responses`, and the responses that are kept. */
import { respond } from '../answer.js';
import type { App, ServeContext } from '../context.js';
import { readJsonBody } from '../limits.js';
import { ResponseReply } from './response-reply.js';
import { readResponseRequest } from './response-request.js';
import { ResponseStore } from './response-store.js';

/** Adds the routes. */
export function addResponseRoutes(app: App, context: ServeContext): void {
  const store = new ResponseStore(context.settings.storeResponses);
  app.post('/v1/responses', async (c) => {
    const exchange = c.get('exchange');
    const body = await readJsonBody(exchange.incoming, context.settings.maxBody);
    const request = readResponseRequest(context, store, exchange, body);
    const { model, messages, prompt, options, isStream, isStored } = request;
    const mapping = new ResponseReply(request, (response, said) => {
      if (isStored) store.keep({ response, messages: [...messages, said], keyLabel: exchange.keyLabel });
    });
    return await respond(context, exchange, { model, choices: [{ prompt, options }] }, { isStream, mapping });
  });
  app.get('/v1/responses/:id', (c) => {
    const { keyLabel } = c.get('exchange');
    return c.json(store.find(c.req.param('id'), keyLabel).response);
  });
  app.delete('/v1/responses/:id', (c) => {
    const id = c.req.param('id');
    store.delete(id, c.get('exchange').keyLabel);
    return c.json({ id, object: 'response', deleted: true });
  });
}
