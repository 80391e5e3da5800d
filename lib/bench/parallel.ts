/** Measures streams at the same time: tokens a second, the gaps between tokens, and the time to the first token. */
import { availableParallelism } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { KexaError } from '../errors.js';
import { openModelFolder } from '../files/model-folder.js';
import { limits, wholePages } from '../limits.js';
import { loadModel, loadSynthetic } from '../model/load.js';
import type { Model } from '../model/model.js';
import { openSynthetic } from '../plan/synthetic.js';
import { seededRandom } from '../random.js';
import type { LoadOptions } from '../types.js';
import { deviation, mean, percentile } from './statistics.js';
import { type BenchTest, testName } from './tests.js';
import { tokensOf } from './text.js';

/** Options of {@link benchmarkParallel}. */
export interface ParallelOptions {
  /** The numbers of streams, each of which is a test. */
  streams: readonly number[];
  /** The length of each prompt, and of each answer (tokens). At least 1. */
  prompt: number;
  generated: number;
  mtp: BenchTest['mtp'];
  /** The runs of each test. Tests take turns. */
  repetitions: number;
  /** How many requests come in a second on average. Null: a stream makes its next request when its last is answered. */
  arrivalRate: number | null;
  /** Decides how prompts begin and when requests come in. */
  seed: number;
  warmUp: boolean;
  /** Not null: the weights are made up, with so many layers. */
  synthetic: { layers?: number } | null;
  text?: string;
  load: Omit<LoadOptions, 'contextSize'>;
  signal?: AbortSignal;
  onRun?: (progress: { done: number; total: number; test: string }) => void;
}

/** The result of one number of streams. Fields have the names of `BenchResult` where it has them. */
export interface ParallelResult {
  test: string;
  model_filename: string;
  backend: string;
  n_threads: number | null;
  n_streams: number;
  n_prompt: number;
  n_gen: number;
  mtp: BenchTest['mtp'];
  arrival: 'closed' | 'poisson';
  /** The requests a second that were asked for. Null if arrival is `closed`. */
  arrival_rate: number | null;
  seed: number;
  /** The requests of all runs. */
  n_requests: number;
  /** Each run's generated tokens, divided by the time from its first request to its last token (seconds). */
  samples_ts: number[];
  avg_ts: number;
  stddev_ts: number;
  /** The median rate of a stream from an answer's first token to its last (tokens a second). Null for one token. */
  stream_ts: number | null;
  /**
   * The time between two pieces of an answer (milliseconds). Tokens that come together, as kept drafts do, are one
   * piece. Null if answers have one piece.
   */
  gap_ms_p50: number | null;
  gap_ms_p99: number | null;
  /** The time from a request's arrival to its first token (milliseconds); waiting for a free stream counts. */
  first_token_ms_p50: number;
  first_token_ms_p99: number;
}

/** How many requests each stream makes in a run. */
const requestsOfStream = 2;

/** The answer to one request, by the clock of its reader. Times are milliseconds. */
interface Seen {
  firstTokenMs: number;
  gaps: number[];
  /** Tokens a second from the first token to the last. Null for one piece. */
  rate: number | null;
  tokens: number;
}

/**
 * Loads a model and measures streams of requests. A stream is a reader that makes one request at a time, each in a
 * session of its own. When the signal is aborted, the complete runs are returned.
 *
 * @throws KexaError every code of `loadModel`; KEXA_INVALID_ARGUMENT if the streams do not fit the model's context
 */
export async function benchmarkParallel(path: string, options: ParallelOptions): Promise<ParallelResult[]> {
  const { streams, prompt, generated, synthetic, load, signal } = options;
  const made = synthetic && { ...synthetic, mtp: options.mtp !== false };
  const { description } = made === null ? await openModelFolder(path) : await openSynthetic(path, made, load.weights);
  const most = Math.max(...streams);
  const contextSize = wholePages(prompt + generated + 1);
  if (contextSize > description.maxPositions)
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${nameOf(options, most)}: wanted a context of ${contextSize} tokens, found a model of at most ` +
        `${description.maxPositions}; ask for shorter texts`,
    );
  // Every stream has room, unless the caller gives less.
  const room = { slots: Math.max(most, limits.slots), cacheTokens: most * contextSize };
  const loading = { ...room, ...load, contextSize, ...(signal && { signal }) };
  await using model = await (made === null ? loadModel(path, loading) : loadSynthetic(path, made, loading));
  const makePrompt = await promptMaker(model, options);
  const runs = streams.map((): { seen: Seen[]; rate: number }[] => []);
  const total = streams.length * options.repetitions + (options.warmUp ? 1 : 0);
  let done = 0;
  const run = async (count: number) => {
    const found = await runStreams(model, count, makePrompt, options);
    options.onRun?.({ done: ++done, total, test: nameOf(options, count) });
    return found;
  };
  try {
    if (options.warmUp) await run(most);
    for (let round = 0; round < options.repetitions; round++)
      for (const [i, count] of streams.entries()) runs[i]!.push(await run(count));
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  return streams.flatMap((count, i) =>
    runs[i]!.length === 0 ? [] : [resultOf(path, model, options, count, runs[i]!)],
  );
}

/** The times at which `count` requests come in (milliseconds): a Poisson process of `rate` requests a second. */
export function poissonArrivals(count: number, rate: number, random: () => number): number[] {
  const arrivals: number[] = [];
  let now = 0;
  for (let i = 0; i < count; i++) {
    arrivals.push(now);
    now += (-Math.log(1 - random()) / rate) * 1e3;
  }
  return arrivals;
}

/** Runs `count` streams until each has made its requests, and measures them by the clock. */
async function runStreams(
  model: Model,
  count: number,
  makePrompt: () => number[],
  { generated, mtp, arrivalRate, seed, signal }: ParallelOptions,
): Promise<{ seen: Seen[]; rate: number }> {
  const requests = count * requestsOfStream;
  const arrivals = arrivalRate === null ? null : poissonArrivals(requests, arrivalRate, seededRandom(seed));
  const prompts = Array.from({ length: requests }, makePrompt);
  const seen: Seen[] = [];
  let next = 0;
  const began = performance.now();
  const stream = async () => {
    while (next < requests) {
      const index = next++;
      const arrivesAt = arrivals === null ? performance.now() : began + arrivals[index]!;
      const left = arrivesAt - performance.now();
      if (left > 0) await wait(left, undefined, signal && { signal });
      const options = { temperature: 0, ignoreEos: true, maxTokens: generated, mtp, ...(signal && { signal }) };
      seen.push(await watch(model.generate(prompts[index]!, options), arrivesAt));
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: count }, stream));
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
  const seconds = (performance.now() - began) / 1e3;
  return { seen, rate: seen.reduce((sum, { tokens }) => sum + tokens, 0) / seconds };
}

/** Reads an answer, and notes when its pieces come. */
async function watch(generation: AsyncIterable<{ ids: number[] }>, arrivesAt: number): Promise<Seen> {
  const times: number[] = [];
  let tokens = 0;
  let ofFirst = 0;
  for await (const { ids } of generation) {
    if (ids.length === 0) continue;
    times.push(performance.now());
    tokens += ids.length;
    ofFirst ||= ids.length;
  }
  const [first, last] = [times[0]!, times.at(-1)!];
  return {
    firstTokenMs: first - arrivesAt,
    gaps: times.slice(1).map((time, i) => time - times[i]!),
    rate: times.length < 2 ? null : ((tokens - ofFirst) / (last - first)) * 1e3,
    tokens,
  };
}

/** Gives a prompt at each call. No two begin alike, so none is found in the cache. */
async function promptMaker(model: Model, { prompt, text, seed }: ParallelOptions): Promise<() => number[]> {
  const ids = await tokensOf(model, text, prompt);
  const random = seededRandom(seed);
  return () => {
    const head = Array.from({ length: Math.min(4, prompt) }, () => Math.floor(random() * model.config.vocabSize));
    return [...head, ...ids.slice(head.length)];
  };
}

function resultOf(
  path: string,
  model: Model,
  options: ParallelOptions,
  count: number,
  runs: readonly { seen: Seen[]; rate: number }[],
): ParallelResult {
  const { prompt, generated, mtp, arrivalRate, seed, synthetic } = options;
  const seen = runs.flatMap((run) => run.seen);
  const gaps = seen.flatMap((one) => one.gaps);
  const rates = seen.flatMap(({ rate }) => rate ?? []);
  const firsts = seen.map(({ firstTokenMs }) => firstTokenMs);
  const totals = runs.map(({ rate }) => rate);
  return {
    test: nameOf(options, count),
    model_filename: synthetic === null ? path : `${path}, made-up weights`,
    backend: model.device.name,
    n_threads: model.device.kind === 'cpu' ? (options.load.threads ?? availableParallelism()) : null,
    ...{ n_streams: count, n_prompt: prompt, n_gen: generated, mtp },
    arrival: arrivalRate === null ? 'closed' : 'poisson',
    arrival_rate: arrivalRate,
    seed,
    n_requests: seen.length,
    ...{ samples_ts: totals, avg_ts: mean(totals), stddev_ts: deviation(totals) },
    stream_ts: rates.length === 0 ? null : percentile(rates, 0.5),
    gap_ms_p50: gaps.length === 0 ? null : percentile(gaps, 0.5),
    gap_ms_p99: gaps.length === 0 ? null : percentile(gaps, 0.99),
    first_token_ms_p50: percentile(firsts, 0.5),
    first_token_ms_p99: percentile(firsts, 0.99),
  };
}

function nameOf({ prompt, generated, mtp }: ParallelOptions, sessions: number): string {
  return testName({ prompt, generated, depth: 0, mtp, sessions });
}
