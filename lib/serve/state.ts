/** The routes that tell machines how the server is: none of them waits for the engine. */
import { version } from '../package-root.js';
import type { App, ServeContext } from './context.js';
import { openApi } from './openapi.js';
import { operations } from './operations.js';

/** Adds `/health`, `/ready`, `/metrics`, `/version` and `/openapi.json`. */
export function addStateRoutes(app: App, { models, drain, metrics, hangs, settings }: ServeContext): void {
  app.get('/health', (c) => {
    const hanging = hangs.hanging(settings.hangTimeout * 1000);
    if (hanging === undefined) return c.json({ status: 'ok' });
    return c.json({ status: 'hanging', model: hanging }, 503);
  });
  app.get('/ready', (c) => {
    const states = models.all.map(({ state }) => state);
    const isWhole = states.every((state) => state === 'ready' || state === 'unloaded') && states.includes('ready');
    const status = drain.isDraining ? 'draining' : isWhole ? 'ready' : 'not ready';
    const named = Object.fromEntries(models.all.map(({ names, state }) => [names[0]!, state]));
    return c.json({ status, models: named }, status === 'ready' ? 200 : 503);
  });
  let description: object | undefined;
  app.get('/openapi.json', (c) => {
    description ??= openApi(operations());
    return c.json(description);
  });
  app.get('/version', (c) => c.json({ version: version() }));
  app.get('/metrics', async (c) => c.body(await metrics.text(), 200, { 'content-type': metrics.contentType }));
}
