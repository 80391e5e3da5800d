/** The main thread's side of constrained answers: it keeps the worker and the grammars that it has compiled. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { whenAborted } from '../../abort.js';
import { KexaError } from '../../errors.js';
import type { NativeEngine } from '../../native.js';
import { packageRequire } from '../../package-root.js';
import { replyMarkers } from '../reply-markers.js';
import type { Tokenizer } from '../tokenizer.js';
import type { GrammarFormat } from './grammar.js';
import type { FromWorker, NumberedGrammar, ToWorker, WorkerStart } from './messages.js';
import { xgrammarFile } from './xgrammar.js';

/** Limits of the worker (milliseconds), and how many grammars it keeps. */
const compileMs = 5000;
const answerMs = 2000;
const watchMs = 500;
const mostGrammars = 100;
/** Workers that may be lost one after the other, without an answer between them. */
const mostLosses = 3;

/** A grammar that an answer uses. */
export interface GrammarInUse {
  /** Its number, for the engine. */
  id: number;
  /** To be called once, when the answer is over. */
  release(): void;
}

interface Entry extends NumberedGrammar {
  /** The number of answers that use it. */
  users: number;
  /** Settled when the worker has compiled it. */
  compiled: Promise<void>;
  isCompiled: boolean;
}

interface Compilation {
  id: number;
  resolve(): void;
  reject(error: Error): void;
}

type GrammarTokenizer = Pick<Tokenizer, 'vocabulary' | 'tokenToId' | 'reasoning'>;

/** The grammars of one model. The worker is started with the first of them. */
export class Grammars {
  readonly #engine: NativeEngine;
  readonly #tokenizer: GrammarTokenizer;
  readonly #vocabSize: number;
  readonly #ends: readonly number[];
  /** By their texts, the one that was used last at the end. */
  readonly #entries = new Map<string, Entry>();
  #nextId = 1;
  #worker: Promise<Worker> | undefined;
  /** The same worker, from its start on, and whether it has compiled the grammars it started with. */
  #current: Worker | undefined;
  #isReady = false;
  /** When the worker last became free to answer. */
  #freeSince = 0;
  #compilation: Compilation | undefined;
  /** Settled when no compilation is under way. */
  #queue: Promise<unknown> = Promise.resolve();
  #watch: NodeJS.Timeout | undefined;
  #losses = 0;
  #isClosed = false;
  /** Whether tokens that are the only ones allowed count as drafts. For tests. */
  forcesTokens = true;

  /** @internal */
  constructor(parts: {
    engine: NativeEngine;
    tokenizer: GrammarTokenizer;
    /** The number of the model's logits. */
    vocabSize: number;
    /** The tokens that end an answer. */
    ends: readonly number[];
  }) {
    this.#engine = parts.engine;
    this.#tokenizer = parts.tokenizer;
    this.#vocabSize = parts.vocabSize;
    this.#ends = parts.ends;
  }

  /**
   * Compiles a grammar, unless it has been. `isPlain`: the answer is one text, from which all special tokens are left
   * out.
   *
   * @throws KexaError KEXA_INVALID_ARGUMENT if the grammar is wrong; KEXA_UNSUPPORTED if it takes too long to compile, or
   *   if the package for it is not installed; KEXA_CLOSED. An aborted signal's reason.
   */
  async use(format: GrammarFormat, isPlain: boolean, signal?: AbortSignal): Promise<GrammarInUse> {
    const key = JSON.stringify([isPlain, format]);
    const entry = this.#entries.get(key) ?? this.#add(key, format, isPlain);
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users++;
    this.#watch ??= setInterval(() => this.#check(), watchMs).unref();
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      entry.users--;
      this.#forgetOldest();
    };
    try {
      await orAborted(entry.compiled, signal);
      return { id: entry.id, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Ends the worker. Answers that need it end with the engine. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watch);
    this.#compilation?.reject(closed());
    await this.#current?.terminate();
  }

  #add(key: string, format: GrammarFormat, isPlain: boolean): Entry {
    const markers = replyMarkers(this.#tokenizer.reasoning);
    const banned = isPlain
      ? markers.map((marker) => this.#tokenizer.tokenToId(marker)).filter((id) => id !== null)
      : [];
    const id = this.#nextId++;
    const entry: Entry = { id, format, banned, users: 0, isCompiled: false, compiled: Promise.resolve() };
    const compiled = this.#queue.then(async () => {
      await this.#compile({ id, format, banned });
      entry.isCompiled = true;
    });
    entry.compiled = compiled;
    // The next compilation need not know how this one ended. A grammar that is wrong is not kept.
    this.#queue = compiled.catch(() => this.#entries.delete(key));
    this.#entries.set(key, entry);
    return entry;
  }

  #forgetOldest(): void {
    if (![...this.#entries.values()].some(({ users }) => users > 0)) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    for (const [key, { id, users }] of this.#entries) {
      if (this.#entries.size <= mostGrammars) return;
      if (users > 0) continue;
      this.#entries.delete(key);
      void this.#worker?.then((worker) => post(worker, { kind: 'forget', id })).catch(() => {});
    }
  }

  async #compile(grammar: NumberedGrammar): Promise<void> {
    const worker = await this.#start();
    let timer: NodeJS.Timeout | undefined;
    worker.ref();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#compilation = { id: grammar.id, resolve, reject };
        timer = setTimeout(() => {
          reject(
            new KexaError(
              'KEXA_UNSUPPORTED',
              `grammar: wanted one that is compiled in ${compileMs / 1000} s, found one that takes longer; smaller repetitions (maxLength, maxItems, {m,n}) help most`,
            ),
          );
          this.#restart();
        }, compileMs);
        post(worker, { kind: 'compile', ...grammar });
      });
    } finally {
      clearTimeout(timer);
      this.#compilation = undefined;
      this.#freeSince = performance.now();
      worker.unref();
    }
  }

  /** The worker, started if there is none. */
  #start(): Promise<Worker> {
    if (this.#isClosed) return Promise.reject(closed());
    this.#worker ??= this.#startNew();
    return this.#worker;
  }

  async #startNew(): Promise<Worker> {
    const file = xgrammarFile();
    if (file === undefined) {
      this.#worker = undefined;
      throw new KexaError(
        'KEXA_UNSUPPORTED',
        'constrained answers need the package @mlc-ai/web-xgrammar, which is not installed: npm install @mlc-ai/web-xgrammar@0.1.27',
      );
    }
    const used = [...this.#entries.values()].filter(({ users, isCompiled }) => users > 0 && isCompiled);
    const { bytes, starts, banned } = this.#tokenizer.vocabulary(replyMarkers(this.#tokenizer.reasoning));
    const workerData: WorkerStart = {
      file,
      vocabulary: {
        bytes,
        starts,
        banned: banned.filter((id) => !this.#ends.includes(id)),
        ends: this.#ends,
        size: this.#vocabSize,
      },
      port: this.#engine.grammarPort(),
      grammars: used.map(({ id, format, banned: also }) => ({ id, format, banned: also })),
    };
    const worker = newWorker(workerData);
    this.#current = worker;
    return await new Promise((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.kind !== 'ready') return this.#settle(message);
        this.#isReady = true;
        this.#freeSince = performance.now();
        worker.unref();
        resolve(worker);
      });
      const onLost = (cause?: unknown) => {
        const error = lost(cause);
        reject(error);
        this.#lose(worker, error);
      };
      worker.on('error', onLost);
      worker.on('exit', () => onLost());
    });
  }

  #settle(message: Exclude<FromWorker, { kind: 'ready' }>): void {
    const compilation = this.#compilation;
    if (compilation?.id !== message.id) return;
    this.#losses = 0;
    if (message.kind === 'compiled') compilation.resolve();
    else compilation.reject(new KexaError('KEXA_INVALID_ARGUMENT', `grammar: ${message.message}`));
  }

  /** Sees to it that the worker answers the engine. A compilation has a limit of its own. */
  #check(): void {
    const waitedMs = this.#engine.grammarWaitMs();
    if (waitedMs < watchMs) this.#losses = 0;
    const isFree = this.#compilation === undefined && this.#isReady;
    if (isFree && waitedMs > answerMs && performance.now() - this.#freeSince > answerMs) this.#restart();
  }

  #restart(): void {
    const worker = this.#current;
    if (worker === undefined) return;
    this.#lose(worker, lost());
    void worker.terminate();
  }

  /** Forgets a worker, and starts another if answers need one. */
  #lose(worker: Worker, error: KexaError): void {
    if (this.#current !== worker) return;
    this.#current = undefined;
    this.#worker = undefined;
    this.#isReady = false;
    this.#compilation?.reject(error);
    for (const [key, { users, isCompiled }] of this.#entries) if (users === 0 && isCompiled) this.#entries.delete(key);
    if (this.#isClosed || ![...this.#entries.values()].some(({ users, isCompiled }) => users > 0 && isCompiled)) return;
    if (++this.#losses <= mostLosses) {
      this.#start().catch(() => {});
      return;
    }
    // No worker has them any more, so whoever wants one of them next has it compiled by a new worker.
    for (const [key, { isCompiled }] of this.#entries) if (isCompiled) this.#entries.delete(key);
    this.#engine.failGrammars(error.code, error.message);
  }
}

function newWorker(workerData: WorkerStart): Worker {
  const entry = new URL('./worker.js', import.meta.url);
  if (existsSync(entry)) return new Worker(entry, { workerData });
  // Tests run from the sources, by a loader that a worker does not inherit.
  const loader = pathToFileURL(join(dirname(packageRequire().resolve('tsx')), 'esm/api/index.mjs')).href;
  const sources = new URL('./worker.ts', import.meta.url).href;
  const start = `import('${loader}').then(({ register }) => (register(), import('${sources}')))`;
  return new Worker(start, { eval: true, workerData });
}

function post(worker: Worker, message: ToWorker): void {
  worker.postMessage(message);
}

async function orAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  let stopListening = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stopListening = whenAborted(signal, () => reject(signal!.reason));
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    stopListening();
  }
}

function closed(): KexaError {
  return new KexaError('KEXA_CLOSED', 'the model was closed');
}

function lost(cause?: unknown): KexaError {
  if (cause instanceof KexaError) return cause;
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new KexaError('KEXA_INTERNAL', `grammar: the worker was lost${why}`, { cause });
}
