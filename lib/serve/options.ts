/**
 * The options of a server, one entry each. Their checks, the command's flags and environment variables, and the table of
 * docs/serve.md are made from this list.
 */
import { readFileSync } from 'node:fs';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import type { Model } from '../model/model.js';
import { checkNames, invalid } from '../options.js';
import type { LoadOptions } from '../types.js';

/** The values of the options of the table. */
export interface ServeSettings {
  /** The address to listen at. Addresses beyond loopback need `apiKeys`, `apiKeyFile` or `auth: false`. */
  host?: string;
  /** The port to listen at; 0 takes one that is free. */
  port?: number;
  /** Keys of which clients must give one. */
  apiKeys?: readonly string[];
  /** A file of keys, one a line, with an optional label behind each. */
  apiKeyFile?: string;
  /** The key that loads and unloads models. */
  adminKey?: string;
  /** Whether a key is needed beyond loopback. */
  auth?: boolean;
  /** Whether `/metrics` needs a key, too. */
  metricsAuth?: boolean;
  /** Names of the server that clients may use in place of a loopback address, where no key is needed. */
  allowedHosts?: readonly string[];
  /** Origins whose pages may call the server. */
  cors?: readonly string[];
  /** Answers that may wait, beside those that can run. */
  maxQueue?: number;
  /** Answers that may run for one key. 0 is no limit. */
  maxPerKey?: number;
  /** The largest body of a request (bytes). */
  maxBody?: number;
  /** Seconds for which a server that is to end goes on to take connections. */
  drainDelay?: number;
  /** Seconds for which its answers may go on after that. */
  drainTimeout?: number;
  /** Seconds after which a client that reads nothing is left. */
  stallTimeout?: number;
  /** Seconds without progress of the engine after which `/health` fails. */
  hangTimeout?: number;
  /** Whether a field that the server does not know is refused. */
  strictFields?: boolean;
  /** The names under which thinking is told. */
  reasoningField?: 'both' | 'reasoning' | 'reasoning_content';
  /** Whether `/` is a page to chat with. */
  page?: boolean;
  /** Responses that are kept for later requests to refer to. 0 keeps none. */
  storeResponses?: number;
  /** Files of a certificate and its key, in PEM, for HTTPS. */
  tlsCert?: string;
  tlsKey?: string;
  /** How requests are logged, on standard error. */
  log?: 'json' | 'text' | 'off';
  /** Whether the log has prompts and answers. */
  logPrompts?: boolean;
}

/** The options with all defaults filled in. */
export type Settings = Required<Omit<ServeSettings, 'apiKeyFile' | 'adminKey' | 'tlsCert' | 'tlsKey'>> &
  Pick<ServeSettings, 'apiKeyFile' | 'adminKey' | 'tlsCert' | 'tlsKey'>;

/** A model for a server to load, or one that is loaded already. */
export interface ModelEntry {
  /** A loaded model. The server does not close it. */
  model?: Model;
  /** The folder or file of a model to load. */
  path?: string;
  /** The names that clients may ask for. Default: the name of the folder or file. */
  names?: readonly string[];
  /** The options that the model is loaded with. */
  load?: LoadOptions;
}

/**
 * Options of `serve`: one model by `model` or `path`, or several by `models`, and how to serve.
 *
 * @example
 * const options: ServeOptions = { path: 'models/tiny', port: 8000, load: { slots: 8 } };
 */
export interface ServeOptions extends ServeSettings, ModelEntry {
  /** Several models, each with an engine of its own. */
  models?: readonly ModelEntry[];
  /** Stops loading. `serve` then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** One option of a server. */
export interface ServeOption {
  name: keyof ServeSettings;
  /** How the option is read on the command line: `list` may be given again, `off` is a flag that turns it off. */
  reads: 'text' | 'list' | 'integer' | 'seconds' | 'bytes' | 'choice' | 'on' | 'off';
  /** The flag in commander's form, and the environment variable. */
  flags: string;
  env: `KEXA_${string}`;
  help: string;
  least?: number;
  most?: number;
  choices?: readonly string[];
  default?: string | number | boolean | readonly string[];
}

const facts: Readonly<Record<keyof ServeSettings, Omit<ServeOption, 'name'>>> = {
  host: {
    ...{ flags: '--host <address>', env: 'KEXA_HOST', reads: 'text', default: '127.0.0.1' },
    help: 'address to listen at; one beyond this machine needs a key',
  },
  port: {
    ...{ flags: '--port <n>', env: 'KEXA_PORT', reads: 'integer', least: 0, most: 65535, default: 8000 },
    help: 'port to listen at; 0 takes a free one',
  },
  apiKeys: {
    ...{ flags: '--api-key <key>', env: 'KEXA_API_KEY', reads: 'list', default: [] },
    help: 'key that clients must give; may be given again',
  },
  apiKeyFile: {
    ...{ flags: '--api-key-file <file>', env: 'KEXA_API_KEY_FILE', reads: 'text' },
    help: 'file of keys, one a line, with a label behind each; read again at SIGHUP',
  },
  adminKey: {
    ...{ flags: '--admin-key <key>', env: 'KEXA_ADMIN_KEY', reads: 'text' },
    help: 'key that may load and unload models',
  },
  auth: {
    ...{ flags: '--no-auth', env: 'KEXA_NO_AUTH', reads: 'off', default: true },
    help: 'listen beyond this machine without a key all the same',
  },
  metricsAuth: {
    ...{ flags: '--metrics-auth', env: 'KEXA_METRICS_AUTH', reads: 'on', default: false },
    help: 'ask for a key at /metrics, too',
  },
  allowedHosts: {
    ...{ flags: '--allowed-host <name>', env: 'KEXA_ALLOWED_HOST', reads: 'list', default: [] },
    help: 'name in the Host header to accept without a key; may be given again',
  },
  cors: {
    ...{ flags: '--cors <origin>', env: 'KEXA_CORS', reads: 'list', default: [] },
    help: 'origin whose pages may call the server, or *; may be given again',
  },
  maxQueue: {
    ...{ flags: '--max-queue <n>', env: 'KEXA_MAX_QUEUE', reads: 'integer', least: 0, most: 100_000, default: 256 },
    help: 'answers that may wait, beside those that run; more are refused',
  },
  maxPerKey: {
    ...{ flags: '--max-per-key <n>', env: 'KEXA_MAX_PER_KEY', reads: 'integer', least: 0, most: 4096, default: 0 },
    help: 'answers that may run for one key; 0 is no limit',
  },
  maxBody: {
    ...{ flags: '--max-body <size>', env: 'KEXA_MAX_BODY', reads: 'bytes' },
    ...{ least: 1024, most: 2 ** 30, default: 16 * 2 ** 20 },
    help: 'largest body of a request, as in 16MiB',
  },
  drainDelay: {
    ...{ flags: '--drain-delay <s>', env: 'KEXA_DRAIN_DELAY', reads: 'seconds', least: 0, most: 3600, default: 5 },
    help: 'seconds after SIGTERM in which connections are still taken',
  },
  drainTimeout: {
    ...{ flags: '--drain-timeout <s>', env: 'KEXA_DRAIN_TIMEOUT', reads: 'seconds', least: 0, most: 86400 },
    ...{ default: 25, help: 'seconds that running answers may take after that' },
  },
  stallTimeout: {
    ...{ flags: '--stall-timeout <s>', env: 'KEXA_STALL_TIMEOUT', reads: 'seconds', least: 0.1, most: 86400 },
    ...{ default: 60, help: 'seconds after which a client that reads nothing is left' },
  },
  hangTimeout: {
    ...{ flags: '--hang-timeout <s>', env: 'KEXA_HANG_TIMEOUT', reads: 'seconds', least: 1, most: 86400 },
    ...{ default: 120, help: 'seconds without progress after which /health fails' },
  },
  strictFields: {
    ...{ flags: '--strict-fields', env: 'KEXA_STRICT_FIELDS', reads: 'on', default: false },
    help: 'refuse fields of requests that are not known',
  },
  reasoningField: {
    ...{ flags: '--reasoning-field <name>', env: 'KEXA_REASONING_FIELD', reads: 'choice', default: 'both' },
    choices: ['both', 'reasoning', 'reasoning_content'],
    help: 'names under which thinking is told: both, reasoning or reasoning_content',
  },
  page: {
    ...{ flags: '--no-page', env: 'KEXA_NO_PAGE', reads: 'off', default: true },
    help: 'serve no page at /',
  },
  storeResponses: {
    ...{ flags: '--store-responses <n>', env: 'KEXA_STORE_RESPONSES', reads: 'integer', least: 0 },
    ...{ most: 1_000_000, default: 0, help: 'responses kept in memory for later requests' },
  },
  tlsCert: {
    ...{ flags: '--tls-cert <file>', env: 'KEXA_TLS_CERT', reads: 'text' },
    help: 'certificate for HTTPS (PEM)',
  },
  tlsKey: {
    ...{ flags: '--tls-key <file>', env: 'KEXA_TLS_KEY', reads: 'text' },
    help: "the certificate's key (PEM)",
  },
  log: {
    ...{ flags: '--log <form>', env: 'KEXA_LOG', reads: 'choice', default: 'text' },
    choices: ['json', 'text', 'off'],
    help: 'how requests are logged on stderr: json, text or off',
  },
  logPrompts: {
    ...{ flags: '--log-prompts', env: 'KEXA_LOG_PROMPTS', reads: 'on', default: false },
    help: 'log what clients and the model say, for debugging',
  },
};

/** All of them, in the order of the help. */
export const serveOptions: readonly ServeOption[] = Object.entries(facts).map(([name, fact]) => ({
  name: name as keyof ServeSettings,
  ...fact,
}));

const modelNames: readonly string[] = ['model', 'path', 'names', 'load'];

/** Fills in the defaults. @throws KexaError KEXA_INVALID_ARGUMENT naming the option */
export function checkServeOptions(options: ServeOptions): Settings {
  checkNames('serve', options, [...serveOptions.map(({ name }) => name), ...modelNames, 'models', 'signal']);
  const settings = Object.fromEntries(
    serveOptions.map((option) => [option.name, checked(option, options[option.name])]),
  ) as unknown as Settings;
  if ((settings.tlsCert === undefined) !== (settings.tlsKey === undefined))
    throw new KexaError('KEXA_INVALID_ARGUMENT', 'tlsCert: wanted both tlsCert and tlsKey, found one of them');
  return settings;
}

/** The bytes of the file that an option names. @throws KexaError KEXA_NOT_FOUND naming the option */
export function readOptionFile(name: keyof ServeSettings, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new KexaError('KEXA_NOT_FOUND', `${name}: ${file}: ${(cause as Error).message}`, { cause });
  }
}

function checked(option: ServeOption, value: unknown): unknown {
  const { name, reads, least = 0, most = limits.integer, choices = [] } = option;
  if (value === undefined) return option.default;
  const isNumber = typeof value === 'number' && value >= least && value <= most;
  switch (reads) {
    case 'on':
    case 'off':
      if (typeof value === 'boolean') return value;
      throw invalid(name, 'true or false', value);
    case 'text':
      if (typeof value === 'string' && value !== '') return value;
      throw invalid(name, 'a text', value);
    case 'list':
      if (Array.isArray(value) && value.every((entry) => typeof entry === 'string' && entry !== '')) return value;
      throw invalid(name, 'an array of texts', value);
    case 'choice':
      if (choices.includes(value as string)) return value;
      throw invalid(name, choices.join(' or '), value);
    case 'seconds':
      if (isNumber) return value;
      throw invalid(name, `a number from ${least} to ${most}`, value);
    case 'integer':
    case 'bytes':
      if (isNumber && Number.isInteger(value)) return value;
      throw invalid(name, `an integer from ${least} to ${most}`, value);
  }
}
