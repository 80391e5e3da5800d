/** A server: its socket, its models, and how it ends. */
import { createServer, type Server as HttpServer, type RequestListener, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { basename, resolve } from 'node:path';
import { getRequestListener, RequestError } from '@hono/node-server';
import { KexaError } from '../errors.js';
import { checkSignalType } from '../options.js';
import { AccessLog } from './access-log.js';
import { createApp } from './app.js';
import { ApiKeys, isLoopback } from './auth.js';
import type { ServeContext } from './context.js';
import { Drain } from './drain.js';
import { badRequest, openAIError, toApiError } from './errors.js';
import { HangWatch } from './hang-watch.js';
import { serveLimits } from './limits.js';
import { loadServed } from './load-served.js';
import { Metrics } from './metrics.js';
import { checkServeOptions, type ModelEntry, readOptionFile, type ServeOptions, type Settings } from './options.js';
import { RequestQueue } from './queue.js';
import { type ModelSource, ServedModels } from './served-models.js';

/** The parts of a {@link Server}. */
interface ServerParts {
  http: HttpServer;
  models: ServedModels;
  keys: ApiKeys;
  settings: Settings;
  drain: Drain;
  hangs: HangWatch;
}

/**
 * A running server. Made by {@link serve}.
 *
 * @example
 * await using server = await serve({ path: 'models/tiny', port: 0 });
 * const models = await fetch(`${server.url}/v1/models`);
 */
export class Server {
  /** Where clients reach the server, without a slash at the end. */
  readonly url: string;
  readonly #http: HttpServer;
  readonly #models: ServedModels;
  readonly #keys: ApiKeys;
  readonly #settings: Settings;
  readonly #drain: Drain;
  readonly #hangs: HangWatch;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(parts: ServerParts) {
    const { http, models, keys, settings, drain, hangs } = parts;
    this.#http = http;
    this.#models = models;
    this.#keys = keys;
    this.#settings = settings;
    this.#drain = drain;
    this.#hangs = hangs;
    this.url = urlOf(http, settings);
  }

  /**
   * Reads the file of keys again.
   *
   * @throws KexaError KEXA_NOT_FOUND or KEXA_BAD_FILE. The keys of before then stay.
   *
   * @example
   * process.on('SIGHUP', () => server.reloadKeys());
   */
  reloadKeys(): void {
    this.#keys.reload();
  }

  /**
   * Ends the server: it is unready at once, takes connections for `delay` seconds more, then lets running answers end for
   * `timeout` seconds, and closes the models that it has loaded. May be called again; another call with shorter times
   * has no effect.
   *
   * @example
   * await server.close({ delay: 5, timeout: 25 });
   */
  close({
    delay = 0,
    timeout = this.#settings.drainTimeout,
  }: {
    delay?: number;
    timeout?: number;
  } = {}): Promise<void> {
    this.#closing ??= (async () => {
      await this.#drain.run(this.#http, delay * 1000, timeout * 1000);
      this.#hangs.stop();
      for (const model of this.#models.all) await model.unload();
    })();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Starts a server of OpenAI's API. It listens at once, tells `/ready` 503 while models are loaded, and this call resolves
 * when all of them are. A model that cannot be loaded ends the server.
 *
 * @throws KexaError KEXA_INVALID_ARGUMENT; KEXA_NOT_FOUND or KEXA_BAD_FILE for the files of keys and of the
 *   certificate; the errors of `loadModel`; KEXA_INVALID_ARGUMENT for an address that cannot be listened at, too. An
 *   aborted signal's reason.
 *
 * @example
 * import { serve } from 'kexa/serve';
 * const server = await serve({ path: 'models/tiny', port: 8000 });
 * console.log(server.url); // http://127.0.0.1:8000
 */
export async function serve(options: ServeOptions): Promise<Server> {
  const settings = checkServeOptions(options);
  const { signal } = options;
  checkSignalType(signal);
  signal?.throwIfAborted();
  const keys = new ApiKeys(settings);
  if (settings.auth && !keys.isNeeded && !isLoopback(settings.host))
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `host: ${settings.host} can be reached by others, who could all use the model; wanted apiKeys or apiKeyFile, or auth: false to insist`,
    );
  const entries = options.models ?? [options];
  const models = new ServedModels(entries.map(toSource));
  const drain = new Drain();
  const hangs = new HangWatch(models);
  const context: ServeContext = {
    settings,
    models,
    drain,
    metrics: new Metrics(models, () => drain.open),
    hangs,
    queue: new RequestQueue({
      mostWaiting: settings.maxQueue,
      mostPerKey: settings.maxPerKey,
      slots: () => models.slots,
    }),
    log: new AccessLog(settings.log),
  };
  if (settings.logPrompts) context.log.note('WARNING: prompts and answers are logged (logPrompts)');
  let http: HttpServer;
  try {
    http = createHttp(settings, getListener(context, keys));
    await listen(http, settings);
  } catch (error) {
    hangs.stop();
    throw error;
  }
  const server = new Server({ http, models, keys, settings, drain, hangs });
  try {
    const loading = signal ?? new AbortController().signal;
    for (const model of models.all) await models.load(model, loading);
  } catch (error) {
    await server.close({ timeout: 0 });
    throw error;
  }
  return server;
}

function getListener(context: ServeContext, keys: ApiKeys): RequestListener {
  const app = createApp(context, keys);
  return getRequestListener(app.fetch, {
    // The library of a caller's program must not change what fetch is there.
    overrideGlobalObjects: false,
    errorHandler: (error) => {
      // The only errors outside of the app are those of a request that has no URL.
      const told = error instanceof RequestError ? badRequest(null, error.message) : toApiError(error);
      return Response.json(openAIError(told), { status: told.status });
    },
  });
}

function createHttp({ tlsCert, tlsKey }: Settings, listener: RequestListener): HttpServer {
  const options: ServerOptions = {
    headersTimeout: serveLimits.headMs,
    requestTimeout: serveLimits.requestMs,
    connectionsCheckingInterval: serveLimits.checkMs,
    keepAliveTimeout: serveLimits.idleMs,
    maxHeaderSize: serveLimits.headBytes,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    noDelay: true,
  };
  if (tlsCert === undefined || tlsKey === undefined) return createServer(options, listener);
  const [cert, key] = [readOptionFile('tlsCert', tlsCert), readOptionFile('tlsKey', tlsKey)];
  try {
    return createTlsServer({ ...options, cert, key, handshakeTimeout: serveLimits.headMs }, listener);
  } catch (cause) {
    const message = `tlsCert: ${tlsCert} with tlsKey: ${tlsKey}: wanted a certificate and its key in PEM: ${(cause as Error).message}`;
    throw new KexaError('KEXA_BAD_FILE', message, { cause });
  }
}

function listen(http: HttpServer, { port, host }: Settings): Promise<void> {
  return new Promise((done, fail) => {
    const refuse = (error: NodeJS.ErrnoException) => fail(listenError(error, host, port));
    http.once('error', refuse);
    http.listen(port, host, () => {
      http.off('error', refuse);
      done();
    });
  });
}

/** Tells why an address cannot be listened at, by the option that is at fault. */
function listenError(error: NodeJS.ErrnoException, host: string, port: number): KexaError {
  const told: Readonly<Record<string, string>> = {
    EADDRINUSE: `port: another program listens at ${host}:${port}; wanted a free port, or 0 to take one`,
    EACCES: `port: this user may not listen at ${host}:${port}; wanted a port from 1024 on, or 0 to take a free one`,
  };
  const message = told[error.code ?? ''] ?? `host: cannot listen at ${host}: ${error.message}`;
  return new KexaError('KEXA_INVALID_ARGUMENT', message, { cause: error });
}

function urlOf(http: HttpServer, { tlsCert }: Settings): string {
  const { address, port, family } = http.address() as AddressInfo;
  const host = family === 'IPv6' ? `[${address}]` : address;
  return `http${tlsCert === undefined ? '' : 's'}://${host}:${port}`;
}

function toSource({ model, path, names, load }: ModelEntry, index: number, all: readonly ModelEntry[]): ModelSource {
  const isAlone = all.length === 1;
  if ((model === undefined) === (path === undefined))
    throw new KexaError('KEXA_INVALID_ARGUMENT', `models[${index}]: wanted either model or path`);
  const root = path === undefined ? 'model' : resolve(path);
  return {
    root,
    names: names?.length ? names : [basename(root).replace(/\.gguf$/i, '')],
    isOwned: model === undefined,
    load: async (signal) => model ?? (await loadServed(path!, load ?? {}, { isAlone, signal })),
  };
}
