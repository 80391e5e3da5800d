/** Brings files from a hub: several connections at a time, each a segment, going on where an earlier run was stopped. */
import { mkdir, statfs } from 'node:fs/promises';
import { whenAborted } from '../abort.js';
import { KexaError } from '../errors.js';
import { writeError } from '../files/atomic-file.js';
import { sizeText } from '../options.js';
import { isFile } from './digest.js';
import { fileUrl, type HubFile, type HubListing } from './listing.js';
import { PartFile, type Segment } from './part.js';
import type { Store } from './store.js';
import { type Answer, get, type Hub, Patience, shownUrl, silenceMs, TryAgain } from './transport.js';

export interface DownloadOptions {
  hub: Hub;
  listing: HubListing;
  store: Store;
  /** Connections at a time. */
  jobs: number;
  /** The size of a segment (bytes). */
  segmentBytes: number;
  /** Called with the bytes that are there, and the bytes of all files. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The runs with wrong bytes after which a file is given up. */
const mostWrong = 3;

/** Files of the same bytes, which are brought once. */
interface Wanted {
  files: HubFile[];
  url: string;
  /** Where a redirect of the hub led, and the ETag there. Null before the first answer, and when it has expired. */
  place: { url: string; etag: string | null } | null;
  part: PartFile | null;
  /** Segments in line or under way. */
  lacking: number;
  /** How often all bytes were there, and the digest was wrong. */
  wrong: number;
}

/**
 * Brings the files that `store` does not have. A file gets its name once its digest is right.
 *
 * @returns the bytes that were received
 * @throws KexaError KEXA_DOWNLOAD_FAILED, KEXA_NOT_FOUND, KEXA_WRITE_FAILED; the signal's reason
 */
export async function downloadFiles(files: readonly HubFile[], options: DownloadOptions): Promise<number> {
  const { store, segmentBytes: each, signal, onProgress } = options;
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const wanted = await missing(files, options);
  try {
    await mkdir(store.folder, { recursive: true });
  } catch (cause) {
    throw writeError(store.folder, cause);
  }
  let left = 0;
  for (const { files: same } of wanted) {
    const [file] = same;
    const segments = await PartFile.read(store.partOf(file!), file!.size, each);
    const done = segments?.reduce((sum, segment) => sum + segment.done, 0) ?? 0;
    left += file!.size - done + file!.size * (same.length - 1);
  }
  await checkRoom(store.folder, left);
  const stop = new AbortController();
  const stopListening = whenAborted(signal, () => stop.abort(signal!.reason));
  const run = new Run(wanted, options, stop.signal, (gained) => {
    left -= gained;
    onProgress?.(total - left, total);
  });
  try {
    signal?.throwIfAborted();
    onProgress?.(total - left, total);
    const workers = Array.from({ length: options.jobs }, async () => {
      try {
        await run.work();
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    });
    const results = await Promise.allSettled(workers);
    // The first failure stops the others, so it is the reason of all.
    if (results.some(({ status }) => status === 'rejected')) throw stop.signal.reason;
    return run.received;
  } finally {
    stopListening();
    await run.close();
  }
}

/** The files that are not there yet, with files of the same bytes together. */
async function missing(files: readonly HubFile[], { hub, listing, store, signal }: DownloadOptions): Promise<Wanted[]> {
  const byDigest = new Map<string, Wanted>();
  for (const file of files) {
    signal?.throwIfAborted();
    if (await store.has(file, signal)) continue;
    const same = byDigest.get(file.digest.hex);
    if (same !== undefined) same.files.push(file);
    else
      byDigest.set(file.digest.hex, {
        files: [file],
        url: fileUrl(hub, listing, file),
        place: null,
        part: null,
        lacking: 0,
        wrong: 0,
      });
  }
  return [...byDigest.values()];
}

async function checkRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new KexaError(
    'KEXA_WRITE_FAILED',
    `${folder}: wanted room for ${sizeText(bytes)}, found ${sizeText(bavail * bsize)} free`,
  );
}

/** One download: deals segments to connections. */
class Run {
  /** The bytes received. */
  received = 0;
  readonly #options: DownloadOptions;
  readonly #signal: AbortSignal;
  readonly #onGain: (bytes: number) => void;
  readonly #waiting: Wanted[];
  /** The segments of the file that was begun last. */
  #segments: { wanted: Wanted; segment: Segment }[] = [];
  /** Files that are being begun, whose segments are not in line yet. */
  readonly #beginning = new Set<Promise<void>>();
  readonly #open = new Set<PartFile>();

  constructor(wanted: Wanted[], options: DownloadOptions, signal: AbortSignal, onGain: (bytes: number) => void) {
    this.#waiting = [...wanted];
    this.#options = options;
    this.#signal = signal;
    this.#onGain = onGain;
  }

  /** Brings segments until none is left to begin. */
  async work(): Promise<void> {
    for (;;) {
      this.#signal.throwIfAborted();
      const next = this.#segments.shift();
      if (next !== undefined) await this.#bring(next.wanted, next.segment);
      else {
        const wanted = this.#waiting.shift();
        if (wanted !== undefined) await this.#beginNext(wanted);
        // Its segments are for all connections.
        else if (this.#beginning.size > 0) await Promise.race(this.#beginning);
        else return;
      }
    }
  }

  async close(): Promise<void> {
    for (const part of this.#open) await part.close().catch(() => {});
  }

  async #beginNext(wanted: Wanted): Promise<void> {
    const begun = this.#begin(wanted);
    this.#beginning.add(begun);
    try {
      await begun;
    } finally {
      this.#beginning.delete(begun);
    }
  }

  /** Opens a file's part and puts its segments in line. */
  async #begin(wanted: Wanted): Promise<void> {
    const { store, segmentBytes: each } = this.#options;
    const [file] = wanted.files;
    wanted.part = await PartFile.open(store.partOf(file!), file!.size, each);
    this.#open.add(wanted.part);
    await this.#putInLine(wanted);
  }

  /** Puts what a file lacks in line. Checks a file that lacks nothing, such as an empty one. */
  async #putInLine(wanted: Wanted): Promise<void> {
    const lacking = wanted.part!.segments.filter(({ start, end, done }) => done < end - start);
    wanted.lacking = lacking.length;
    this.#segments.push(...lacking.map((segment) => ({ wanted, segment })));
    if (lacking.length === 0) await this.#check(wanted);
  }

  /** Brings a segment, over as many connections as it takes. Whoever brings a file's last one checks the file. */
  async #bring(wanted: Wanted, segment: Segment): Promise<void> {
    const patience = new Patience();
    while (segment.done < segment.end - segment.start) {
      const before = segment.done;
      try {
        await this.#stream(wanted, segment);
      } catch (error) {
        if (!(error instanceof TryAgain)) throw error;
        if (error.isStale) wanted.place = null;
        if (segment.done > before) patience.renew();
        await patience.wait(error, this.#signal);
      }
    }
    if (--wanted.lacking === 0) await this.#check(wanted);
  }

  /** Gives a whole file its name, or brings it again if its bytes are wrong. */
  async #check(wanted: Wanted): Promise<void> {
    const part = wanted.part!;
    const [file] = wanted.files;
    if (await isFile(part.path, file!, this.#signal)) {
      this.#open.delete(part);
      await part.close();
      await this.#options.store.keep(part.path, wanted.files);
      await PartFile.remove(part.path);
      if (wanted.files.length > 1) this.#onGain(file!.size * (wanted.files.length - 1));
      return;
    }
    const { done } = part;
    await part.forget();
    this.#onGain(-done);
    if (++wanted.wrong === mostWrong)
      throw new KexaError(
        'KEXA_DOWNLOAD_FAILED',
        `${shownUrl(wanted.url)}: wanted bytes of ${file!.digest.kind === 'git' ? 'git digest' : 'SHA-256'} ` +
          `${file!.digest.hex}, found others ${mostWrong} times`,
      );
    wanted.place = null;
    await this.#putInLine(wanted);
  }

  /** Reads one answer into a segment. @throws TryAgain if it ends early or does not fit */
  async #stream(wanted: Wanted, segment: Segment): Promise<void> {
    const position = segment.start + segment.done;
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), silenceMs);
    const stopListening = whenAborted(this.#signal, () => silence.abort());
    try {
      const { response } = await this.#ask(wanted, position, segment.end, silence.signal);
      // A server that knows no ranges sends the file from its beginning.
      let skip = response.status === 206 ? 0 : position;
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer);
        this.received += chunk.length;
        const bytes = (chunk as Uint8Array).subarray(skip, skip + segment.end - segment.start - segment.done);
        skip = Math.max(0, skip - chunk.length);
        await wanted.part!.add(segment, bytes);
        this.#onGain(bytes.length);
        this.#signal.throwIfAborted();
        if (segment.done === segment.end - segment.start) return;
        timer = setTimeout(() => silence.abort(), silenceMs);
      }
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof TryAgain || error instanceof KexaError) throw error;
      const why = silence.signal.aborted ? `no byte in ${silenceMs / 1000} s` : 'the connection broke';
      throw new TryAgain(`${shownUrl(wanted.url)}: ${why}`);
    } finally {
      clearTimeout(timer);
      stopListening();
      silence.abort();
    }
    throw new TryAgain(`${shownUrl(wanted.url)}: the answer ended early`);
  }

  /** Asks for bytes, at the place that a redirect gave before or at the hub. */
  async #ask(wanted: Wanted, start: number, end: number, signal: AbortSignal): Promise<Answer> {
    const { place, url, files } = wanted;
    const headers: Record<string, string> = { range: `bytes=${start}-${end - 1}` };
    if (place?.etag) headers['if-match'] = place.etag;
    const answer = await get(this.#options.hub, place?.url ?? url, headers, signal);
    const { response } = answer;
    const [, from, size] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
    const isOther = size !== '*' && Number(size) !== files[0]!.size;
    if (response.status === 206 && (Number(from) !== start || isOther)) {
      const found = response.headers.get('content-range');
      throw new TryAgain(
        `${shownUrl(url)}: wanted bytes ${start} and on of ${files[0]!.size}, found ${found}`,
        null,
        true,
      );
    }
    const etag = response.headers.get('etag');
    wanted.place = { url: answer.url, etag: etag?.startsWith('"') ? etag : null };
    return answer;
  }
}
