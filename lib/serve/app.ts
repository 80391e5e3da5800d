/** The routes of a server, and what is checked before each of them. */
import { Hono } from 'hono';
import { anthropicError } from './anthropic/errors.js';
import { addMessageRoutes } from './anthropic/messages.js';
import { type ApiKeys, checkHost, checkOrigin, keyRefused } from './auth.js';
import type { App, ServeContext, ServeEnv } from './context.js';
import { notFound, toApiError } from './errors.js';
import { Exchange } from './exchange.js';
import { addChatRoutes } from './openai/chat.js';
import { addCompletionRoutes } from './openai/completions.js';
import { addModelRoutes } from './openai/models.js';
import { addResponseRoutes } from './openai/responses.js';
import { addTokenizeRoutes } from './openai/tokenize.js';
import { addPageRoutes, pagePaths } from './page-route.js';
import { addStateRoutes } from './state.js';

/** Paths that need no key: what tells machines whether the server lives, and the page, which asks for the key. */
const openPaths: readonly string[] = [...pagePaths, '/health', '/ready', '/version', '/openapi.json'];

/** Interfaces that clients may look for and this server does not have. */
const missing = ['embeddings', 'images', 'audio', 'assistants', 'threads', 'moderations', 'fine_tuning', 'uploads'];

/** Makes the app of a server. Each API adds its own routes. */
export function createApp(context: ServeContext, keys: ApiKeys): App {
  const app: App = new Hono<ServeEnv>();
  app.use(async (c, next) => {
    const { incoming, outgoing } = c.env;
    const exchange = new Exchange(incoming, outgoing);
    c.set('exchange', exchange);
    if (c.req.path.startsWith('/v1/messages')) exchange.shapeError = anthropicError;
    outgoing.setHeader('x-request-id', exchange.id);
    if (context.drain.isDraining) outgoing.setHeader('connection', 'close');
    context.drain.add(exchange);
    try {
      if (allowOrigin(context, keys, exchange)) return c.body(null, 204);
      authorize(context, keys, exchange, c.req.path);
      return await next();
    } finally {
      void exchange.closed.then(() => context.log.write(exchange));
    }
  });
  addStateRoutes(app, context);
  addModelRoutes(app, context);
  addChatRoutes(app, context);
  addCompletionRoutes(app, context);
  addResponseRoutes(app, context);
  addMessageRoutes(app, context);
  addTokenizeRoutes(app, context);
  if (context.settings.page) addPageRoutes(app);
  for (const name of missing)
    app.all(`/v1/${name}/*`, () => {
      throw notFound(`${name}: kexa serves text models and has no such interface`);
    });
  app.notFound((c) =>
    errorResponse(context, c.get('exchange'), notFound(`there is no ${c.req.method} ${c.req.path} here`)),
  );
  app.onError((error, c) => errorResponse(context, c.get('exchange'), error));
  return app;
}

/**
 * Tells a browser whether the page of another site may read the answer. True if the request only asks for that.
 *
 * @throws ApiError 403 for a page that may not call a server without keys: its request would be done all the same
 */
function allowOrigin({ settings }: ServeContext, keys: ApiKeys, { incoming, outgoing }: Exchange): boolean {
  const { origin, host = '' } = incoming.headers;
  if (origin === undefined) return false;
  const { cors } = settings;
  if (cors.includes('*') || cors.includes(origin)) {
    outgoing.setHeader('access-control-allow-origin', cors.includes('*') ? '*' : origin);
    outgoing.setHeader('access-control-expose-headers', 'x-request-id, retry-after, retry-after-ms');
    outgoing.appendHeader('vary', 'origin');
    if (incoming.method !== 'OPTIONS') return false;
    outgoing.setHeader('access-control-allow-methods', 'GET, POST, DELETE');
    outgoing.setHeader('access-control-allow-headers', incoming.headers['access-control-request-headers'] ?? '*');
    outgoing.setHeader('access-control-max-age', '600');
    return true;
  }
  if (!keys.isNeeded && settings.auth) checkOrigin(origin, host);
  return false;
}

function authorize({ settings }: ServeContext, keys: ApiKeys, exchange: Exchange, path: string): void {
  const key = keys.find(exchange.incoming);
  exchange.keyLabel = key?.label ?? null;
  exchange.isAdmin = key?.isAdmin ?? false;
  if (!keys.isNeeded && settings.auth) checkHost(exchange.incoming, settings.allowedHosts);
  const isOpen = openPaths.includes(path) || (path === '/metrics' && !settings.metricsAuth);
  if (keys.isNeeded && key === null && !isOpen) throw keyRefused();
}

function errorResponse({ log }: ServeContext, exchange: Exchange, error: unknown): Response {
  const told = toApiError(error, exchange.fieldNames);
  exchange.notes.error = told.code;
  if (told.status === 500 && !exchange.signal.aborted) log.note(`${exchange.id}: a request failed`, told.cause);
  const body = exchange.shapeError(told);
  // A body that was not read to its end would be taken for the connection's next request.
  const headers = { ...told.headers, ...(exchange.incoming.complete ? {} : { connection: 'close' }) };
  return Response.json(body, { status: told.status, headers });
}
