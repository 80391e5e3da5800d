/** Answers the rows of a batch by a server of OpenAI's API. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KexaError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../files/json-file.js';
import { askedWait } from '../hub/transport.js';
import { type BatchRow, chatUrl, completionUrl, seedOf } from './rows.js';
import type { Answerer, RowAnswer } from './run.js';

export interface RemoteOptions {
  /** The server's address, with or without `/v1` at its end. */
  url: string;
  /** Sent as a bearer token. Null without. */
  apiKey: string | null;
  /** The model to ask for in rows that name none. */
  model?: string | undefined;
  /** The longest time that an answer may take (milliseconds). Default 1 hour. */
  timeoutMs?: number | undefined;
}

/** The failures in a row of one request after which the run stops: the server is gone. */
const mostFailures = 10;
const longestWaitMs = 60_000;

/** The rows of these routes get a seed, so that a server that keeps seeds gives a row the same answer again. */
const seeded = new Set([chatUrl, completionUrl]);

/** Answers rows by a server. Answers that were refused are tried again as the server asks for. */
export class RemoteAnswerer implements Answerer {
  readonly identity: JsonObject;
  readonly #options: RemoteOptions;
  readonly #base: string;

  /** @throws KexaError KEXA_INVALID_ARGUMENT for an address that is none */
  constructor(options: RemoteOptions) {
    const { url, model } = options;
    if (!/^https?:\/\//.test(url) || !URL.canParse(url))
      throw new KexaError(
        'KEXA_INVALID_ARGUMENT',
        `url: wanted an address of http or https, found ${JSON.stringify(url)}`,
      );
    this.#options = options;
    this.#base = url.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.identity = { url: this.#base, ...(model !== undefined && { model }) };
  }

  async check({ body }: BatchRow): Promise<string | null> {
    return body.stream === true ? 'stream: the answers of a batch are whole' : null;
  }

  orderKey({ body }: BatchRow): string {
    return JSON.stringify([body.tools ?? null, body.messages ?? body.prompt ?? body.input ?? null]);
  }

  async answer(row: BatchRow): Promise<RowAnswer> {
    const { url, customId } = row;
    const { apiKey, model, timeoutMs = 3_600_000 } = this.#options;
    const body = {
      ...(model !== undefined && { model }),
      ...row.body,
      ...(seeded.has(url) && row.body.seed === undefined && { seed: seedOf(customId) }),
    };
    for (let failures = 0; ; ) {
      const found = await this.#post(`${this.#base}${url}`, JSON.stringify(body), apiKey, timeoutMs);
      if ('status' in found) return found;
      if (++failures === mostFailures)
        throw new KexaError(
          'KEXA_DOWNLOAD_FAILED',
          `${this.#base}${url}: ${found.reason}; gave up after ${failures} tries`,
        );
      const grown = Math.min(longestWaitMs, 250 * 2 ** failures) * (0.75 + Math.random() / 2);
      await sleep(found.waitMs === null ? grown : Math.min(found.waitMs, 10 * longestWaitMs));
    }
  }

  /** Sends one request. Gives a reason and a wait for what another try may mend. */
  async #post(
    address: string,
    body: string,
    apiKey: string | null,
    timeoutMs: number,
  ): Promise<RowAnswer | { reason: string; waitMs: number | null }> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(address, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }) },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      text = await response.text();
    } catch (cause) {
      const { code, message } = ((cause as Error).cause ?? cause) as NodeJS.ErrnoException;
      return { reason: `no answer (${code ?? message})`, waitMs: null };
    }
    const { status, headers } = response;
    const isPassing = status === 408 || status === 409 || status === 429 || status >= 500;
    if (isPassing && headers.get('x-should-retry') !== 'false') {
      const ms = Number(headers.get('retry-after-ms') ?? Number.NaN);
      return { reason: `status ${status}`, waitMs: Number.isFinite(ms) ? ms : askedWait(headers) };
    }
    // A key that is refused for one row is refused for all.
    if (status === 401 || status === 403)
      throw new KexaError(
        'KEXA_DOWNLOAD_FAILED',
        `${address}: status ${status}: the server wants another key; set OPENAI_API_KEY`,
      );
    const value = parsed(text);
    if (value === null) return { reason: 'the answer is no JSON object', waitMs: null };
    const { usage } = value;
    const tokens = isJsonObject(usage) ? (usage.completion_tokens ?? usage.output_tokens) : 0;
    return { status, body: value, tokens: typeof tokens === 'number' ? tokens : 0 };
  }
}

function parsed(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}
