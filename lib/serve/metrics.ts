/**
 * The figures of a server for Prometheus. Names that begin with `vllm:` are those that routers and dashboards know; the
 * others are kexa's own. Counts of the engine are read when they are asked for.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { GenerationResult, ModelStats } from '../types.js';
import { EngineHistograms, type LabelledHistogram } from './engine-histograms.js';
import type { ServedModels } from './served-models.js';

/** Milliseconds for which the text of the figures is kept: routers ask for it many times a second. */
const keptMs = 100;
const label = 'model_name';

/** Bounds of the histograms of times (seconds). */
const bounds = {
  first: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160],
  between: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5],
  whole: [0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480],
} as const;

/** Times of one answer (milliseconds). */
export interface AnswerTimes {
  queueMs: number;
  wholeMs: number;
}

/** The metrics of a server, in a registry of its own. */
export class Metrics {
  readonly #registry: Registry = new Registry();
  readonly #models: ServedModels;
  readonly #first: Histogram;
  readonly #between: Histogram;
  readonly #whole: Histogram;
  readonly #queue: Histogram;
  readonly #ends: Counter;
  #kept: { text: Promise<string>; at: number } | undefined;

  /** `openStreams` gives the number of exchanges under way. */
  constructor(models: ServedModels, openStreams: () => number) {
    this.#models = models;
    const times = (name: string, help: string, buckets: readonly number[]) =>
      new Histogram({ ...this.#facts(name, help), labelNames: [label], buckets: [...buckets] });
    this.#first = times('vllm:time_to_first_token_seconds', 'Seconds from a request to its first token.', bounds.first);
    this.#between = times(
      'vllm:inter_token_latency_seconds',
      "Mean seconds between an answer's tokens.",
      bounds.between,
    );
    this.#whole = times('vllm:e2e_request_latency_seconds', 'Seconds from a request to its end.', bounds.whole);
    this.#queue = times('vllm:request_queue_time_seconds', 'Seconds that a request has waited.', bounds.whole);
    const endings = this.#facts('vllm:request_success_total', 'Answers that have ended, by the reason.');
    this.#ends = new Counter({ ...endings, labelNames: [label, 'finished_reason'] });
    const streams = this.#facts('kexa_http_open_streams', 'Requests that are being answered.');
    new Gauge({ ...streams, collect: gaugeOf(openStreams) });
    for (const [name, help, read] of gauges) this.#addGauge(name, help, read);
    for (const [name, help, read] of counters) this.#addCounter(name, help, read);
    this.#addPages();
    this.#addDrafts();
    this.#addSteps();
    collectDefaultMetrics({ register: this.#registry });
  }

  /** The type of the text. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All figures in Prometheus' format. */
  text(): Promise<string> {
    const now = performance.now();
    if (this.#kept === undefined || now - this.#kept.at > keptMs)
      this.#kept = { text: this.#registry.metrics(), at: now };
    return this.#kept.text;
  }

  /** Counts an answer that has ended. */
  noteAnswer(model: string, { timings, usage, finishReason }: GenerationResult, times: AnswerTimes): void {
    const labels = { [label]: model };
    this.#ends.inc({ ...labels, finished_reason: finishReason });
    this.#queue.observe(labels, times.queueMs / 1000);
    this.#whole.observe(labels, times.wholeMs / 1000);
    if (usage.completionTokens > 0) this.#first.observe(labels, timings.firstTokenMs / 1000);
    if (usage.completionTokens > 1)
      this.#between.observe(labels, timings.decodeMs / 1000 / (usage.completionTokens - 1));
  }

  /** Counts a request that ended without an answer: its client left, or it failed. */
  noteEnd(model: string, reason: 'abort' | 'error'): void {
    this.#ends.inc({ [label]: model, finished_reason: reason });
  }

  #facts(name: string, help: string): { name: string; help: string; registers: Registry[] } {
    return { name, help, registers: [this.#registry] };
  }

  /** Calls `visit` for each model that is loaded. */
  #each(visit: (stats: ModelStats, model: string) => void): void {
    for (const { names, loaded } of this.#models.all) if (loaded !== undefined) visit(loaded.stats(), names[0]!);
  }

  #addGauge(name: string, help: string, read: (stats: ModelStats) => number): void {
    const metrics = this;
    new Gauge({
      ...this.#facts(name, help),
      labelNames: [label],
      collect() {
        metrics.#each((stats, model) => this.set({ [label]: model }, read(stats)));
      },
    });
  }

  #addCounter(name: string, help: string, read: (stats: ModelStats) => number): void {
    const metrics = this;
    new Counter({
      ...this.#facts(name, help),
      labelNames: [label],
      collect() {
        this.reset();
        metrics.#each((stats, model) => this.inc({ [label]: model }, read(stats)));
      },
    });
  }

  #addPages(): void {
    const metrics = this;
    new Gauge({
      ...this.#facts(
        'kexa_pages',
        'Pages of the cache: live ones of requests, kept ones for later prompts, free ones.',
      ),
      labelNames: [label, 'state'],
      collect() {
        metrics.#each(({ pages }, model) => {
          for (const state of ['live', 'kept', 'free'] as const) this.set({ [label]: model, state }, pages[state]);
        });
      },
    });
    new Gauge({
      ...this.#facts('vllm:cache_config_info', 'The size of a page (tokens) and the number of pages.'),
      labelNames: [label, 'block_size', 'num_gpu_blocks'],
      collect() {
        this.reset();
        metrics.#each(({ pages }, model) =>
          this.set({ [label]: model, block_size: pages.rows, num_gpu_blocks: pages.total }, 1),
        );
      },
    });
  }

  #addDrafts(): void {
    const metrics = this;
    new Counter({
      ...this.#facts('vllm:spec_decode_num_accepted_tokens_per_pos_total', "Drafts kept, by their place in a step's."),
      labelNames: [label, 'position'],
      collect() {
        this.reset();
        metrics.#each(({ drafts }, model) => {
          for (const [position, { accepted }] of drafts.byPosition.entries())
            this.inc({ [label]: model, position }, accepted);
        });
      },
    });
  }

  #addSteps(): void {
    const steps = [
      ['kexa_step_seconds', 'Seconds that steps of the engine took.', 'seconds'],
      ['kexa_step_rows', 'Tokens that went through the model in a step.', 'rows'],
      ['kexa_step_sequences', 'Answers that shared a step.', 'sequences'],
    ] as const;
    // The registry asks a metric for its values alone, which its type does not tell.
    for (const [name, help, part] of steps)
      this.#registry.registerMetric(
        new EngineHistograms(name, help, () => {
          const found: LabelledHistogram[] = [];
          this.#each((stats, model) => {
            for (const kind of ['answer', 'prompt'] as const)
              found.push({ labels: { [label]: model, class: kind }, histogram: stats.steps[kind][part] });
          });
          return found;
        }) as unknown as Histogram,
      );
  }
}

type Figure = readonly [name: string, help: string, read: (stats: ModelStats) => number];

const gauges: readonly Figure[] = [
  ['vllm:num_requests_running', 'Answers that are being computed.', ({ running }) => running],
  [
    'vllm:num_requests_waiting',
    'Answers that wait, those in main memory too.',
    ({ waiting, parked }) => waiting + parked,
  ],
  [
    'vllm:kv_cache_usage_perc',
    'The part of the cache that running answers hold, 0 to 1.',
    ({ pages }) => pages.live / Math.max(1, pages.total),
  ],
  ['kexa_parked', 'Answers that gave up their room for a while.', ({ parked }) => parked],
  [
    'kexa_waiting_uncached_tokens',
    'Tokens of waiting prompts that are to be computed.',
    ({ waitingTokens }) => waitingTokens,
  ],
];

const counters: readonly Figure[] = [
  ['vllm:prompt_tokens_total', 'Tokens of prompts.', ({ tokens }) => tokens.prompt],
  ['vllm:generation_tokens_total', 'Tokens of answers.', ({ tokens }) => tokens.generated],
  ['vllm:num_preemptions_total', 'How often an answer gave up its room.', ({ parks }) => parks],
  [
    'vllm:prefix_cache_queries_total',
    'Tokens of prompts that were looked up in the cache.',
    ({ prefixCache }) => prefixCache.queried,
  ],
  ['vllm:prefix_cache_hits_total', 'Tokens of prompts that were in the cache.', ({ prefixCache }) => prefixCache.hit],
  ['vllm:spec_decode_num_draft_tokens_total', 'Drafts made.', ({ drafts }) => drafts.drafted],
  ['vllm:spec_decode_num_accepted_tokens_total', 'Drafts kept.', ({ drafts }) => drafts.accepted],
];

function gaugeOf(read: () => number): (this: Gauge) => void {
  return function () {
    this.set(read());
  };
}
