/** Who may ask: API keys, and the names that a server may be called by. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { KexaError } from '../errors.js';
import { ApiError } from './errors.js';
import { readOptionFile, type Settings } from './options.js';

interface Key {
  hash: Buffer;
  label: string;
}

/** A key that a client has given. */
export interface KnownKey {
  label: string;
  isAdmin: boolean;
}

/** The keys of a server. */
export class ApiKeys {
  readonly #fixed: readonly Key[];
  readonly #admin: Key | undefined;
  readonly #file: string | undefined;
  #ofFile: readonly Key[];

  /** @throws KexaError KEXA_NOT_FOUND or KEXA_BAD_FILE */
  constructor({ apiKeys, apiKeyFile, adminKey }: Pick<Settings, 'apiKeys' | 'apiKeyFile' | 'adminKey'>) {
    this.#fixed = apiKeys.map((key, i) => ({ hash: hashOf(key), label: `key-${i + 1}` }));
    this.#admin = adminKey === undefined ? undefined : { hash: hashOf(adminKey), label: 'admin' };
    this.#file = apiKeyFile;
    this.#ofFile = apiKeyFile === undefined ? [] : readKeys(apiKeyFile);
  }

  /** Whether clients must give a key. */
  get isNeeded(): boolean {
    return this.#fixed.length > 0 || this.#file !== undefined;
  }

  /** Reads the file of keys again. If that fails, throws and keeps the keys of before. */
  reload(): void {
    if (this.#file !== undefined) this.#ofFile = readKeys(this.#file);
  }

  /** The key that a request gives. Null if it gives none that is known. */
  find(incoming: IncomingMessage): KnownKey | null {
    const given = givenKey(incoming);
    if (given === undefined) return null;
    const hash = hashOf(given);
    if (this.#admin !== undefined && timingSafeEqual(hash, this.#admin.hash)) return { label: 'admin', isAdmin: true };
    let label: string | undefined;
    // All keys are compared, so that the time tells nothing of which one it is.
    for (const key of [...this.#fixed, ...this.#ofFile]) if (timingSafeEqual(hash, key.hash)) label ??= key.label;
    return label === undefined ? null : { label, isAdmin: false };
  }
}

function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function givenKey({ headers }: IncomingMessage): string | undefined {
  const other = headers['x-api-key'];
  if (typeof other === 'string') return other;
  const [, bearer] = /^Bearer\s+(\S+)\s*$/i.exec(headers.authorization ?? '') ?? [];
  return bearer;
}

function readKeys(file: string): Key[] {
  const text = readOptionFile('apiKeyFile', file).toString();
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const keys = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line, i): Key => {
      const [key, ...label] = line.split(/\s+/);
      return { hash: hashOf(key!), label: label.join(' ') || `file-${i + 1}` };
    });
  if (keys.length === 0) throw new KexaError('KEXA_BAD_FILE', `apiKeyFile: ${file}: wanted one key a line, found none`);
  return keys;
}

/** The refusal of a request without a key that is known. */
export function keyRefused(): ApiError {
  return new ApiError('wanted a key of this server, as "Authorization: Bearer KEY" or "x-api-key: KEY"', {
    ...{ status: 401, type: 'authentication_error', code: 'invalid_api_key' },
  });
}

/** Whether an address is of this machine alone. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (bare === 'localhost' || bare.endsWith('.localhost') || bare === '::1' || bare === '::ffff:127.0.0.1') return true;
  return isIP(bare) === 4 && bare.startsWith('127.');
}

/**
 * Refuses a Host header of another name. A page of another site could otherwise call a server of this machine, by a name
 * that it has made to mean this machine.
 */
export function checkHost({ headers }: IncomingMessage, allowed: readonly string[]): void {
  const host = headers.host ?? '';
  const name = host.replace(/:\d*$/, '');
  if (isLoopback(name) || allowed.includes(name) || allowed.includes(host)) return;
  throw new ApiError(`the Host header names '${name}', which is not this server; --allowed-host allows it`, {
    ...{ status: 403, type: 'invalid_request_error', code: 'host_not_allowed' },
  });
}

/** Refuses a request that the page of another site makes. @throws ApiError 403 */
export function checkOrigin(origin: string, host: string): void {
  if (URL.canParse(origin) && new URL(origin).host === host) return;
  throw new ApiError(`the page at ${origin} may not call this server; --cors allows it`, {
    ...{ status: 403, type: 'invalid_request_error', code: 'origin_not_allowed' },
  });
}
