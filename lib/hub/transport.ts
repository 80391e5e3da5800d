/** Requests to a hub: redirects, the token, waiting and trying again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KexaError } from '../errors.js';
import { version } from '../package-root.js';

/** Where a hub is and who asks. */
export interface Hub {
  /** The hub's address without a slash at its end, such as `https://huggingface.co`. */
  endpoint: string;
  /** Sent to the endpoint alone, never to a place that it redirects to. Null without. */
  token: string | null;
  /** The address of the model's page, where its terms can be accepted. */
  page: string;
}

/** An answer whose body has not been read, and the address that gave it after redirects. */
export interface Answer {
  response: Response;
  url: string;
}

/** Says that a request failed in a way that another try may mend. */
export class TryAgain extends Error {
  override readonly name = 'TryAgain';

  /** @param waitMs the wait that the server asked for (milliseconds). Null if it asked for none. */
  constructor(
    message: string,
    readonly waitMs: number | null = null,
    /** Whether the address that a redirect gave is of no use any more. */
    readonly isStale: boolean = false,
  ) {
    super(message);
  }
}

/** The longest time without a byte (milliseconds). */
export const silenceMs = 30_000;
const mostRedirects = 6;
/** The failures in a row, without a byte gained, after which a download gives up. */
const mostFailures = 8;
const longestWaitMs = 60_000;

/** Counts failures in a row, and waits longer after each. */
export class Patience {
  #failures = 0;

  /** Begins to count anew, because something was gained. */
  renew(): void {
    this.#failures = 0;
  }

  /**
   * Waits before the next try: as long as the server asked, else 0.2 seconds, doubled with each failure.
   *
   * @throws KexaError KEXA_DOWNLOAD_FAILED after too many failures; the signal's reason
   */
  async wait(error: TryAgain, signal: AbortSignal | undefined): Promise<void> {
    if (++this.#failures > mostFailures)
      throw new KexaError(
        'KEXA_DOWNLOAD_FAILED',
        `${error.message}; gave up after ${mostFailures} tries. The same command goes on from here`,
        { cause: error },
      );
    const grown = Math.min(longestWaitMs / 2, 100 * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    const waitMs = error.waitMs === null ? grown : Math.min(error.waitMs, 10 * longestWaitMs);
    try {
      await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
    } catch {
      signal?.throwIfAborted();
    }
  }
}

/**
 * Sends a GET and follows redirects. The token goes to addresses of the hub's own origin only.
 *
 * @throws TryAgain for a broken connection, silence, and the statuses 408, 425, 429 and 5xx
 * @throws KexaError KEXA_NOT_FOUND for 404; KEXA_DOWNLOAD_FAILED for a refusal
 */
export async function get(
  hub: Hub,
  address: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Answer> {
  const home = new URL(hub.endpoint).origin;
  let url = new URL(address);
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const isHome = url.origin === home;
    const response = await fetched(
      url,
      {
        ...headers,
        // Compressed bytes could not be counted against the ranges that are asked for.
        'accept-encoding': 'identity',
        'user-agent': `kexa/${version()}`,
        ...(isHome && hub.token !== null && { authorization: `Bearer ${hub.token}` }),
      },
      signal,
    );
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) {
      await refuse(response, url, isHome, hub);
      return { response, url: url.href };
    }
    await response.body?.cancel().catch(() => {});
    if (!URL.canParse(location, url.href))
      throw new KexaError('KEXA_DOWNLOAD_FAILED', `${shownUrl(url)}: redirects to what is no address`);
    const next = new URL(location, url);
    if (next.protocol !== 'https:' && !(next.protocol === 'http:' && url.protocol === 'http:'))
      throw new KexaError('KEXA_DOWNLOAD_FAILED', `${shownUrl(url)}: redirects to ${next.protocol}, which is not safe`);
    url = next;
  }
  throw new KexaError('KEXA_DOWNLOAD_FAILED', `${shownUrl(address)}: more than ${mostRedirects} redirects`);
}

async function fetched(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { headers, redirect: 'manual', signal });
  } catch (cause) {
    signal.throwIfAborted();
    const { code, message } = ((cause as Error).cause ?? cause) as NodeJS.ErrnoException;
    throw new TryAgain(`${shownUrl(url)}: no answer (${code ?? message})`);
  }
}

/** Throws for a status that is no success. */
async function refuse(response: Response, url: URL, isHome: boolean, hub: Hub): Promise<void> {
  const { status, headers } = response;
  if (status === 200 || status === 206) return;
  await response.body?.cancel().catch(() => {});
  const place = shownUrl(url);
  if (status === 408 || status === 425 || status === 429 || status >= 500)
    throw new TryAgain(`${place}: status ${status}`, askedWait(headers));
  // Signed addresses that a redirect gave expire. A new one is to be had from the hub.
  if (!isHome && [400, 401, 403, 404, 410, 412].includes(status))
    throw new TryAgain(`${place}: status ${status}`, null, true);
  if (status === 412) throw new TryAgain(`${place}: the file has changed`, null, true);
  const said = headers.get('x-error-message');
  if (status === 401 || status === 403) throw refused(place, said, hub);
  if (status === 404)
    throw new KexaError(
      'KEXA_NOT_FOUND',
      `${place}: the hub has no such repository, revision or file${said ? ` (${said})` : ''}`,
    );
  throw new KexaError(
    'KEXA_DOWNLOAD_FAILED',
    `${place}: wanted status 200, found ${status}${said ? ` (${said})` : ''}`,
  );
}

function refused(place: string, said: string | null, { page, token }: Hub): KexaError {
  const advice =
    token === null
      ? 'it is private, gated or not there: set HF_TOKEN to a token of an account that may read it'
      : 'the token may not read it';
  return new KexaError(
    'KEXA_DOWNLOAD_FAILED',
    `${place}: the hub refuses${said ? ` (${said})` : ''}; ${advice}. If the model is gated, accept its terms at ${page}`,
  );
}

/** The wait that a server asks for (milliseconds): `retry-after`, or the `t` of Hugging Face's `ratelimit`. */
export function askedWait(headers: Headers): number | null {
  const after = headers.get('retry-after');
  if (after !== null && /^\d+(\.\d+)?$/.test(after)) return Number(after) * 1000;
  const date = after === null ? Number.NaN : Date.parse(after);
  if (!Number.isNaN(date)) return Math.max(0, date - Date.now());
  const [, seconds] = /\bt=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? [];
  return seconds === undefined ? null : Number(seconds) * 1000;
}

/** An address for messages. The rest may hold a signature, which is a secret. */
export function shownUrl(url: URL | string): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

/** Reads an answer's whole body as text, of at most `most` bytes, and tries again where that may help. */
export async function getText(
  hub: Hub,
  address: string,
  most: number,
  signal: AbortSignal | undefined,
): Promise<{ text: string; headers: Headers }> {
  const patience = new Patience();
  for (;;) {
    signal?.throwIfAborted();
    const limit = AbortSignal.timeout(silenceMs);
    const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
    try {
      const { response } = await get(hub, address, {}, either);
      return { text: await bodyText(response, address, most), headers: response.headers };
    } catch (error) {
      signal?.throwIfAborted();
      const again = limit.aborted ? new TryAgain(`${shownUrl(address)}: no answer in ${silenceMs / 1000} s`) : error;
      if (!(again instanceof TryAgain)) throw error;
      await patience.wait(again, signal);
    }
  }
}

async function bodyText(response: Response, address: string, most: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > most) break;
    }
  } catch {
    throw new TryAgain(`${shownUrl(address)}: the connection broke`);
  }
  if (bytes <= most) return Buffer.concat(chunks).toString('utf8');
  throw new KexaError('KEXA_DOWNLOAD_FAILED', `${shownUrl(address)}: an answer of more than ${most} bytes`);
}
