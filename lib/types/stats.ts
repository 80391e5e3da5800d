/** Counts of a model: its requests, pages, steps and tokens. */

/**
 * How values are spread. `counts[i]` is the number of values up to `bounds[i]` that are above the bound before; the last
 * count is of values above all bounds.
 *
 * @example
 * const { seconds } = model.stats().steps.answer;
 * console.log(`${seconds.count} steps of ${(1000 * seconds.sum) / seconds.count} ms`);
 */
export interface Histogram {
  /** The number of all values. */
  count: number;
  /** The sum of all values. */
  sum: number;
  bounds: number[];
  /** One more than there are bounds. */
  counts: number[];
}

/**
 * Steps of one kind.
 *
 * @example
 * const { rows, sequences }: StepStats = model.stats().steps.prompt;
 * console.log(`${rows.sum / sequences.sum} rows of each sequence in a step`);
 */
export interface StepStats {
  /** Rows a step: tokens that went through the model, drafts included. `rows.count` is the number of steps. */
  rows: Histogram;
  /** Sequences that shared a step. */
  sequences: Histogram;
  /** The time that a step took (seconds). */
  seconds: Histogram;
}

/**
 * Counts of all requests for answers. `running` to `pages` are of now, the others since the model was loaded.
 *
 * @example
 * const { running, waiting, pages }: ModelStats = model.stats();
 * console.log(`${running} run, ${waiting} wait, ${pages.live} of ${pages.total} pages are in use`);
 */
export interface ModelStats {
  /** Answers that have a slot. */
  running: number;
  /** Answers that have not started. */
  waiting: number;
  /** Answers that gave up their room to others and wait to go on. */
  parked: number;
  /** The number of sequences that can run at the same time. */
  slots: number;
  /** Tokens of the waiting answers' prompts that would have to be computed: those that no kept prefix has. */
  waitingTokens: number;
  /**
   * Pages of the global layers' cache. `live` ones belong to running requests, `kept` ones to idle sessions or kept
   * prefixes alone, which give them up to those in want. A page has `rows` rows.
   */
  pages: { live: number; kept: number; free: number; total: number; rows: number };
  /**
   * Steps. `answer`: of answers' rows alone. `prompt`: with rows of prompts, alone or beside rows of answers. Steps of
   * `forward` and `score` are not counted.
   */
  steps: { answer: StepStats; prompt: StepStats };
  /**
   * `prompt`: tokens of prompts that are computed or were cached as a whole. `computed`: tokens of prompts that steps
   * have computed. `generated`: tokens of answers.
   */
  tokens: { prompt: number; computed: number; generated: number };
  /** Drafts made and kept. `byPosition[i]`: those at place i of their steps, 0 the first. */
  drafts: { drafted: number; accepted: number; byPosition: { drafted: number; accepted: number }[] };
  /** Tokens of prompts that were looked up in the cache, and those that were there. */
  prefixCache: { queried: number; hit: number };
  /** How often an answer gave up its room to others. */
  parks: number;
  /** Layers run so far, those of `forward` and `score` included. It grows within a step, so a device that hangs shows. */
  layers: number;
  /** The devices that share the model, and how long each has worked (seconds). Empty if there is one device. */
  devices: { busy: number }[];
  /** Whether the GPU was lost. Every later request fails; load the model again. */
  isDeviceLost: boolean;
}
