/** A server of the tiny model on loopback, and requests to it. */
import type { Test } from 'tape';
import { loadModel, type Model } from '../../lib/index.js';
import { type ServeOptions, type Server, serve } from '../../lib/serve/index.js';
import { modelFolder } from './models.js';

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of many shapes
export type Json = any;

/** Starts a server that ends with the test. Options replace those of a quiet server of the tiny model. */
export async function startServer(t: Test, options: ServeOptions = {}): Promise<Server> {
  const source = options.model || options.models ? {} : { path: modelFolder('tiny') };
  const server = await serve({ ...source, port: 0, log: 'off', load: { slots: 16 }, ...options });
  t.teardown(() => server.close({ timeout: 0 }));
  return server;
}

/** Starts a server of a tiny model of its own, which the test may ask, too. `load` has the model's options. */
export async function startWithModel(t: Test, options: ServeOptions = {}): Promise<{ model: Model; server: Server }> {
  const model = await loadModel(modelFolder('tiny'), options.load ?? { slots: 16 });
  t.teardown(() => model.close());
  return { model, server: await startServer(t, { model, ...options }) };
}

/** Asks for JSON. A body makes it a POST. */
export async function ask(
  server: Server,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: Json }> {
  const sent =
    body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await fetch(server.url + path, { ...sent, headers });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) };
}

/** Asks for a stream, and gives the data of its events up to `[DONE]`. */
export async function askStream(
  server: Server,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Json[]> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    body: JSON.stringify({ ...body, stream: true }),
    headers,
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return eventsOf(text);
}

/** The data of server-sent events, comments left out. */
export function eventsOf(text: string): Json[] {
  return text
    .split('\n\n')
    .flatMap((event) => event.split('\n').filter((line) => line.startsWith('data: ')))
    .map((line) => line.slice('data: '.length))
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data));
}
