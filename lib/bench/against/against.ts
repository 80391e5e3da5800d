/** Compares kexa with another engine: the same file and prompts, runs in turns, each engine in its own process. */
import { KexaError } from '../../errors.js';
import { openModelFolder } from '../../files/model-folder.js';
import type { ActivationType } from '../../types.js';
import { deviation, mean, ratioInterval } from '../statistics.js';
import { Contestant, type Reply, type RunRequest } from './contestant.js';
import { dropFromCache } from './page-cache.js';
import type { Peer } from './peer.js';

/** A value for each engine. */
type Both<T> = { kexa: T; peer: T };

export interface AgainstOptions {
  peer: Peer;
  /** The lengths of the prompts (tokens). */
  prompts: readonly number[];
  generated: readonly number[];
  threads: readonly number[];
  /** The number of sequences that do each test at once. Default 1. */
  parallel?: number;
  repetitions: number;
  batchSize?: number;
  /** The type of kexa's activations. Default `f32`. */
  activations?: ActivationType;
  signal?: AbortSignal;
  onRun?: (progress: { done: number; total: number; test: string }) => void;
}

/** One test at one number of threads. */
export interface AgainstTest {
  /** The test's name, such as `pp256`, `tg64` or `tg64 x8`. */
  test: string;
  threads: number;
  /** The rate of each run (tokens a second), in the order of the runs. */
  samples_ts: Both<number[]>;
  avg_ts: Both<number>;
  stddev_ts: Both<number>;
  /** kexa's geometric mean rate divided by the peer's. */
  ratio: number;
  /** The 95 % confidence interval of the ratio, if runs vary at random. Null for a single run. */
  interval: [number, number] | null;
  /** The least and the greatest ratio among pairs of runs that followed each other. */
  spread: [number, number];
}

/** One start of an engine: a process, the model, the first token after a prompt of 16. */
export interface AgainstStart {
  engine: string;
  threads: number;
  /** Whether the file had left the page cache. */
  isCold: boolean;
  /** The time from starting the process to the first token (milliseconds). */
  first_token_ms: number;
  /** The most memory held until the first token. */
  peak_bytes: number;
  peak_bytes_after_runs: number | null;
}

/** Whether both choose the same tokens greedily. */
export interface Agreement {
  /** The number of tokens compared. */
  compared: number;
  same: number;
  /** The lead of kexa's first differing token over the next best, in log-probability. Null if no token differs. */
  margin_at_difference: number | null;
  /** The first token whose lead was below {@link smallMargin}. Null if there is none. */
  first_small_margin: number | null;
  /** Whether no token before `first_small_margin` differs. */
  agrees: boolean;
}

export interface AgainstReport {
  peer: string;
  peer_version: string;
  model_filename: string;
  /** The type of the activations that kexa multiplied block-quantised weights by. */
  activations: ActivationType;
  tests: AgainstTest[];
  starts: AgainstStart[];
  /** Why no start was cold. Null if some were. */
  no_cold_start: string | null;
  text: Agreement;
}

/**
 * A lead, in log-probability, that rounding may overturn: llama.cpp rounds activations to 8 or 16 bits, which moves
 * logits by some hundredths of the largest.
 */
export const smallMargin = 0.25;

const firstPrompt = 16;
const compared = 64;

/**
 * Runs the comparison. Rates are those of whole calls by each process's clock: a prompt of p tokens until the first
 * token is chosen, or n tokens after a prompt of one.
 *
 * @throws KexaError a code of loading the model; KEXA_INTERNAL if an engine fails, with its message
 */
export async function runAgainst(path: string, options: AgainstOptions): Promise<AgainstReport> {
  const { peer, threads, parallel = 1, repetitions, signal, onRun } = options;
  const { description } = await openModelFolder(path);
  if (!/\.gguf$/i.test(path))
    throw new KexaError('KEXA_UNSUPPORTED', `${path}: wanted a GGUF file, which both engines read (kexa quantize)`);
  const tests = testsOf(options);
  const contextSize = Math.max(firstPrompt + compared, ...tests.map(({ prompt, generated }) => prompt + generated)) + 1;
  const prompts = (count: number, sequences: number) => promptsOf(count, sequences, description.vocabSize);
  const report = emptyReport(path, options);
  const total = threads.length * tests.length * (repetitions + 1);
  let done = 0;
  const open = new Set<Contestant>();
  const start = async (name: keyof Both<0>, count: number, isCold: boolean) => {
    if (isCold) report.no_cold_start = await dropFromCache(path);
    if (isCold && report.no_cold_start !== null) return null;
    signal?.throwIfAborted();
    const began = performance.now();
    const contestant =
      name === 'kexa'
        ? new Contestant('kexa', './kexa-engine.js', [])
        : new Contestant(peer.name, './llama-engine.js', [peer.entry]);
    open.add(contestant);
    const { batchSize } = options;
    const { activations } = report;
    await contestant.ask({
      ...{ kind: 'start', model: path, threads: count, contextSize, sequences: parallel },
      ...{ batchSize, activations },
    });
    const reply = await contestant.ask({ kind: 'run', prompts: prompts(firstPrompt, 1), generated: 1 });
    const entry: AgainstStart = {
      engine: contestant.name,
      threads: count,
      isCold,
      first_token_ms: performance.now() - began,
      peak_bytes: reply.peakBytes,
      peak_bytes_after_runs: null,
    };
    report.starts.push(entry);
    return { contestant, entry };
  };
  try {
    for (const count of threads) {
      for (const name of ['kexa', 'peer'] as const) {
        const cold = await start(name, count, true);
        await cold?.contestant.close();
      }
      // The cold start has read the file whole, so the warm start finds it in the page cache.
      const engines = { kexa: (await start('kexa', count, false))!, peer: (await start('peer', count, false))! };
      const ask = async (name: keyof Both<0>, request: Omit<RunRequest, 'kind'>) => {
        signal?.throwIfAborted();
        const { contestant, entry } = engines[name];
        const reply = await contestant.ask({ kind: 'run', ...request });
        entry.peak_bytes_after_runs = reply.peakBytes;
        return reply;
      };
      const run = (name: keyof Both<0>, prompt: number, generated: number) =>
        ask(name, { prompts: prompts(prompt, parallel), generated });
      const times = await inTurns(tests, repetitions, run, (test) =>
        onRun?.({ done: ++done, total, test: `${test}, ${count} ${count === 1 ? 'thread' : 'threads'}` }),
      );
      for (const [i, { test, tokens }] of tests.entries())
        report.tests.push(resultOf(test, count, tokens * parallel, times[i]!));
      if (count === threads[0]) {
        const request = { prompts: prompts(firstPrompt, 1), generated: compared };
        const mine = await ask('kexa', { ...request, wantsMargins: true });
        report.text = agreement(mine, (await ask('peer', request)).ids);
      }
      for (const { contestant } of Object.values(engines)) await contestant.close();
    }
  } finally {
    for (const contestant of open) await contestant.close();
  }
  return report;
}

function emptyReport(path: string, { peer, activations = 'f32' }: AgainstOptions): AgainstReport {
  return {
    peer: peer.name,
    peer_version: peer.version,
    model_filename: path,
    activations,
    tests: [],
    starts: [],
    no_cold_start: null,
    text: { compared: 0, same: 0, margin_at_difference: null, first_small_margin: null, agrees: true },
  };
}

/** The tests, with llama-bench's names. `tokens` are the tokens that a sequence is timed for. */
function testsOf({ prompts, generated, parallel = 1 }: AgainstOptions) {
  const ending = parallel === 1 ? '' : ` x${parallel}`;
  return [
    ...prompts.map((prompt) => ({ test: `pp${prompt}${ending}`, prompt, generated: 1, tokens: prompt })),
    ...generated.map((count) => ({ test: `tg${count}${ending}`, prompt: 1, generated: count, tokens: count })),
  ];
}

/** Prompts of `count` tokens. Each sequence has one of its own, or all would go to the same experts. */
function promptsOf(count: number, sequences: number, vocabSize: number): number[][] {
  return Array.from({ length: sequences }, (_, sequence) =>
    Array.from({ length: count }, (_, i) => (i * 7919 + sequence * 1009 + 11) % vocabSize),
  );
}

/**
 * Runs each test `repetitions` times on both engines, in turns: milliseconds by test, engine and round. A round before
 * the first warms up and is not counted.
 */
async function inTurns(
  tests: readonly { test: string; prompt: number; generated: number }[],
  repetitions: number,
  ask: (name: keyof Both<0>, prompt: number, generated: number) => Promise<{ milliseconds: number }>,
  onRun: (test: string) => void,
): Promise<Both<number[]>[]> {
  const times = tests.map((): Both<number[]> => ({ kexa: [], peer: [] }));
  for (let round = -1; round < repetitions; round++) {
    for (const [i, { test, prompt, generated }] of tests.entries()) {
      const order = round % 2 === 0 ? (['kexa', 'peer'] as const) : (['peer', 'kexa'] as const);
      for (const name of order) {
        const { milliseconds } = await ask(name, prompt, generated);
        if (round >= 0) times[i]![name].push(milliseconds);
      }
      onRun(test);
    }
  }
  return times;
}

/** Makes a test's result from the times of its runs. */
export function resultOf(test: string, threads: number, tokens: number, times: Both<readonly number[]>): AgainstTest {
  const rates = (of: readonly number[]) => of.map((milliseconds) => (tokens / milliseconds) * 1e3);
  const [kexa, peer] = [rates(times.kexa), rates(times.peer)];
  const logarithms = (of: readonly number[]) => mean(of.map(Math.log));
  const pairs = kexa.map((rate, i) => rate / peer[i]!);
  return {
    test,
    threads,
    samples_ts: { kexa, peer },
    avg_ts: { kexa: mean(kexa), peer: mean(peer) },
    stddev_ts: { kexa: deviation(kexa), peer: deviation(peer) },
    ratio: Math.exp(logarithms(kexa) - logarithms(peer)),
    interval: ratioInterval(peer, kexa),
    spread: [Math.min(...pairs), Math.max(...pairs)],
  };
}

/** Compares both answers, and looks at kexa's margins where they part. */
export function agreement({ ids, margins }: Pick<Reply, 'ids' | 'margins'>, peerIds: readonly number[]): Agreement {
  const count = Math.min(ids.length, peerIds.length);
  const different = ids.findIndex((id, i) => i < count && id !== peerIds[i]);
  const small = margins.findIndex((margin) => margin < smallMargin);
  return {
    compared: count,
    same: different < 0 ? count : different,
    margin_at_difference: different < 0 ? null : (margins[different] ?? null),
    first_small_margin: small < 0 ? null : small,
    agrees: different < 0 || (small >= 0 && small <= different),
  };
}
