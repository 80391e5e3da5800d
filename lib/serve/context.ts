/** The parts of a server that its routes share. */
import type { HttpBindings } from '@hono/node-server';
import type { Hono } from 'hono';
import type { AccessLog } from './access-log.js';
import type { Drain } from './drain.js';
import type { Exchange } from './exchange.js';
import type { HangWatch } from './hang-watch.js';
import type { Metrics } from './metrics.js';
import type { Settings } from './options.js';
import type { RequestQueue } from './queue.js';
import type { ServedModels } from './served-models.js';

/** The types of hono's context here. */
export interface ServeEnv {
  Bindings: HttpBindings;
  Variables: { exchange: Exchange };
}

/** The routes of a server. Each file of an API has a function that adds its own. */
export type App = Hono<ServeEnv>;

/** The parts of a server that its routes use. */
export interface ServeContext {
  settings: Settings;
  models: ServedModels;
  queue: RequestQueue;
  log: AccessLog;
  drain: Drain;
  metrics: Metrics;
  hangs: HangWatch;
}
