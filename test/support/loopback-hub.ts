/** A hub on this machine, of two servers as Hugging Face's: one lists and redirects, the other holds large files. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tape';

export const repository = 'org/name';
export const commit = '0123456789abcdef0123456789abcdef01234567';

export interface HubFaults {
  /** The share of answers that break off at a random byte. */
  cut?: number;
  /** The share of answers with status 429 or 503. */
  busy?: number;
  /** The share of answers to ranges that tell another size of the file, or announce more bytes than they have. */
  lying?: number;
  /** How often the whole of a file is sent with one wrong byte, by path. */
  wrong?: Record<string, number>;
  /** Ranges are ignored: every answer is the whole file. */
  hasNoRanges?: boolean;
  /** The large files' server closes an address after so many answers, as signatures expire. */
  expiry?: number;
  /** Bytes a second of each connection. */
  rate?: number;
  /** Token without which nothing is given. */
  token?: string;
  /** Entries that are listed beside the files. */
  listed?: object[];
  /** The data of the model's page. */
  card?: object;
}

/** Seeded noise from 0 to 1: the same faults in each run. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The digest that git gives a file. */
const gitDigest = (bytes: Buffer) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
/** Files from this size on lie on the other server. */
const largeBytes = 100_000;

export class LoopbackHub {
  endpoint = '';
  /** Bytes of files that were sent. */
  sent = 0;
  /** Requests with a token that came to the server of large files. */
  leaked = 0;
  /** Requests of files, and the most that were answered at the same time. */
  requests = 0;
  mostAtOnce = 0;
  #atOnce = 0;
  faults: HubFaults;
  readonly #files: ReadonlyMap<string, Buffer>;
  readonly #random: () => number;
  readonly #servers: Server[] = [];
  readonly #answers = new Map<string, number>();
  #other = '';
  #signature = 1;

  private constructor(files: ReadonlyMap<string, Buffer>, faults: HubFaults, seed: number) {
    this.#files = files;
    this.faults = faults;
    this.#random = noise(seed);
  }

  static async start(t: Test, files: Record<string, Buffer>, faults: HubFaults = {}, seed = 1): Promise<LoopbackHub> {
    const hub = new LoopbackHub(new Map(Object.entries(files)), faults, seed);
    hub.endpoint = await hub.#listen((request, response) => hub.#answerHub(request, response));
    hub.#other = await hub.#listen((request, response) => hub.#answerOther(request, response));
    t.teardown(() => hub.close());
    return hub;
  }

  close(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  async #listen(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<string> {
    const server = createServer((request, response) => {
      answer(request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#servers.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #answerHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { token } = this.faults;
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      response.writeHead(401, { 'x-error-message': 'Access to model org/name is restricted.' }).end();
      return;
    }
    if (this.#isBusy(response)) return;
    const { pathname, searchParams } = new URL(request.url!, this.endpoint);
    const api = `/api/models/${repository}`;
    if (pathname === `${api}/revision/main` || pathname === `${api}/revision/${commit}`)
      return json(response, { id: repository, sha: commit, cardData: this.faults.card ?? {} });
    if (pathname === `${api}/tree/${commit}`) return this.#list(Number(searchParams.get('cursor') ?? 0), response);
    const [, path] = new RegExp(`^/${repository}/resolve/${commit}/(.+)$`).exec(decodeURIComponent(pathname)) ?? [];
    const bytes = path === undefined ? undefined : this.#files.get(path);
    if (bytes === undefined) response.writeHead(404).end();
    else if (bytes.length < largeBytes) await this.#send(path!, bytes, request, response);
    else response.writeHead(302, { location: `${this.#other}/${path}?signature=${this.#signature}` }).end();
  }

  /** Answers the listing in pages of three files. */
  #list(from: number, response: ServerResponse): void {
    const entries = [
      ...[...this.#files].map(([path, bytes]) => ({
        type: 'file',
        path,
        size: bytes.length,
        oid: gitDigest(bytes),
        ...(bytes.length >= largeBytes && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } }),
      })),
      { type: 'directory', path: 'folder', size: 0, oid: commit },
      ...(this.faults.listed ?? []),
    ];
    const next = `${this.endpoint}/api/models/${repository}/tree/${commit}?recursive=true&cursor=${from + 3}`;
    if (from + 3 < entries.length) response.setHeader('link', `<${next}>; rel="next"`);
    json(response, entries.slice(from, from + 3));
  }

  async #answerOther(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.headers.authorization !== undefined) this.leaked++;
    if (this.#isBusy(response)) return;
    const { pathname, searchParams } = new URL(request.url!, this.#other);
    const signature = searchParams.get('signature')!;
    const answers = (this.#answers.get(signature) ?? 0) + 1;
    this.#answers.set(signature, answers);
    if (answers > (this.faults.expiry ?? Number.POSITIVE_INFINITY)) {
      this.#signature++;
      response.writeHead(403).end();
      return;
    }
    const path = decodeURIComponent(pathname.slice(1));
    await this.#send(path, this.#files.get(path)!, request, response);
  }

  #isBusy(response: ServerResponse): boolean {
    if (this.#random() >= (this.faults.busy ?? 0)) return false;
    const status = this.#random() < 0.5 ? 429 : 503;
    response.writeHead(status, status === 429 ? { 'retry-after': '0' } : {}).end();
    return true;
  }

  async #send(path: string, bytes: Buffer, request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#atOnce);
    response.on('close', () => this.#atOnce--);
    const { hasNoRanges, rate, cut = 0, lying = 0 } = this.faults;
    const etag = `"${sha256(bytes)}"`;
    const wanted = request.headers['if-match'];
    if (wanted !== undefined && wanted !== etag) return void response.writeHead(412).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const isRange = first !== undefined && !hasNoRanges;
    const start = isRange ? Number(first) : 0;
    const end = isRange ? Math.min(Number(last) + 1, bytes.length) : bytes.length;
    const body = Buffer.from(bytes.subarray(start, end));
    if (start === 0 && (this.faults.wrong?.[path] ?? 0) > 0) {
      this.faults.wrong![path]!--;
      body[body.length >> 1]! ^= 1;
    }
    const lie = this.#random() < lying ? (this.#random() < 0.5 ? 'size' : 'length') : null;
    const size = lie === 'size' ? bytes.length + 7 : bytes.length;
    response.writeHead(isRange ? 206 : 200, {
      etag,
      'content-length': body.length + (lie === 'length' ? 1000 : 0),
      ...(isRange && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    });
    const stop = this.#random() < cut ? Math.floor(this.#random() * body.length) : body.length;
    const each = rate === undefined ? 256 * 1024 : 32 * 1024;
    for (let at = 0; at < stop; at += each) {
      if (response.destroyed) return;
      const piece = body.subarray(at, Math.min(stop, at + each));
      this.sent += piece.length;
      if (!response.write(piece)) await drained(response);
      if (rate !== undefined) await sleep((1000 * piece.length) / rate);
    }
    if (stop < body.length || lie === 'length') {
      // The bytes that were written are on their way before the connection breaks.
      await sleep(5);
      response.destroy();
    } else response.end();
  }
}

async function drained(response: ServerResponse): Promise<void> {
  const either = new AbortController();
  const { signal } = either;
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  either.abort();
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}
