/** The options and results of `forward` and `verify`, and the counts of a profile. */

/**
 * Options of `forward`.
 *
 * @example
 * const options: ForwardOptions = { logits: 'last' };
 * const { logits } = await model.forward(model.tokenizer.encode('In the beginning'), options);
 */
export interface ForwardOptions {
  /** Whether all rows of logits are wanted or the last one. Default `all`. */
  logits?: 'all' | 'last';
  /** Whether the MTP block runs too, and gives logits for every position that has a next token. Default false. */
  mtp?: boolean;
  /** Whether the residual stream after each layer and the chosen experts are wanted. For checking. Default false. */
  trace?: boolean;
  /** Whether the GPU's work is counted and timed, which slows it. For measuring. Default false. */
  profile?: boolean;
  signal?: AbortSignal;
}

/**
 * The GPU's work for one call.
 *
 * @example
 * const { profile } = await model.forward(ids, { profile: true });
 * for (const { name, dispatches, nanoseconds } of profile?.ops ?? []) console.log(name, dispatches, nanoseconds);
 */
export interface ForwardProfile {
  /** Kernels run. */
  dispatches: number;
  /** Compute passes. Where the GPU has no timestamps inside passes, each dispatch is timed in one of its own. */
  passes: number;
  /** Command buffers handed to the GPU. */
  submits: number;
  /** Results that the processor waited for before the GPU's work could go on. Times of a profile do not count. */
  waits: number;
  /** Bytes of the GPU's buffers: weights, cache, working buffers. */
  bufferBytes: number;
  /**
   * One entry a kernel, the slowest first. `nanoseconds` is the sum over its dispatches, or 0 if the GPU has no
   * timestamps.
   */
  ops: { name: string; dispatches: number; nanoseconds: number }[];
}

/**
 * The work of an answer's steps of one kind.
 *
 * @example
 * const { profile } = await session.generate('Hello', { profile: true });
 * const { steps, rows }: StepCounts = profile!.decode;
 * console.log(`${rows / steps} rows a step`);
 */
export interface StepCounts {
  steps: number;
  /** The number of tokens that went through the model, drafts that were not kept included. */
  rows: number;
  /** The number of experts that were read: the distinct ones that each layer's router chose in each step, added up. */
  experts: number;
  /** How often the MTP block ran. */
  mtpPasses: number;
  /** How often the MTP block also ran the output head, for a draft. */
  draftHeads: number;
  /** The GPU's work. Reading the routes back adds passes and submits. Null on the CPU device. */
  gpu: ForwardProfile | null;
}

/**
 * The work of generating an answer.
 *
 * @example
 * const { profile } = await session.generate('Hello', { profile: true });
 * console.log(profile!.prefill.steps, profile!.decode.steps, profile!.logits.length);
 */
export interface GenerationProfile {
  /** Steps that computed the prompt. */
  prefill: StepCounts;
  /** Steps that went on from it. */
  decode: StepCounts;
  /** The logits that the last token was chosen from [vocab]. */
  logits: Float32Array;
}

/**
 * The experts one MoE layer chose.
 *
 * @example
 * const { routes } = await model.forward(ids, { trace: true });
 * for (const { layer, experts } of routes!) console.log(layer, experts.subarray(0, 4)); // of the first row
 */
export interface RouteTrace {
  layer: number;
  /** The chosen experts [rows, topK], the best first. */
  experts: Uint32Array;
  /** The factors on the experts' outputs [rows, topK], the model's scale included. */
  weights: Float32Array;
}

/**
 * The result of `forward`. Matrices are row-major.
 *
 * @example
 * const { logits, mtpLogits }: ForwardResult = await model.forward(ids, { mtp: true });
 * console.log(logits.length / model.config.vocabSize, mtpLogits!.length / model.config.vocabSize); // rows, rows - 1
 */
export interface ForwardResult {
  /** The logits [rows, vocab], or [vocab] with `logits: 'last'`. */
  logits: Float32Array;
  /**
   * The MTP block's logits [rows - 1, vocab]. Row i predicts token i + 2 from the hidden state at i and token i + 1.
   */
  mtpLogits?: Float32Array;
  /** With `trace`: the residual stream after each layer, each [rows, hidden]. */
  layers?: Float32Array[];
  /** With `trace`: the hidden state after the final norm [rows, hidden]. */
  hidden?: Float32Array;
  /** With `trace`: the chosen experts, one entry a MoE layer. */
  routes?: RouteTrace[];
  /** With `profile`: the GPU's work. Null on the CPU device. */
  profile?: ForwardProfile | null;
}

/**
 * Options of `verify`.
 *
 * @example
 * const options: VerifyOptions = { maxTokens: 32, onProgress: ({ done, total }) => console.error(`${done}/${total}`) };
 * const { divergence } = await model.verify('Why is the sky blue?', options);
 */
export interface VerifyOptions {
  /** The length of the answer that is checked (tokens). Default 64. */
  maxTokens?: number;
  /** Is called after each pass over the answer with the number of passes done and of all. */
  onProgress?: (progress: { done: number; total: number }) => void;
  signal?: AbortSignal;
}

/**
 * A token of an answer at which two ways of computing it part.
 *
 * @example
 * const { divergence } = await model.verify('Why is the sky blue?');
 * if (divergence !== null) {
 *   const { position, found, expected } = divergence;
 *   console.error(`token ${position}: ${found.id}, not ${expected.id}`);
 * }
 */
export interface Divergence {
  /**
   * `drafts`: with drafts, the answer has another token. `rows`: rows computed together have other logits than rows
   * computed one by one, or another best token than the answer's.
   */
  check: 'drafts' | 'rows';
  /** The number of drafts a step, or of rows a step. */
  size: number;
  /** Index in the answer; 0 is its first token. */
  position: number;
  /** The answer's token, and its logit in steps of one row. */
  expected: { id: number; logit: number };
  /**
   * The token found instead. With `drafts` it is the other token, with its logit in steps of one row. With `rows` it is
   * the best token and its logit; that may be the answer's token while other logits differ.
   */
  found: { id: number; logit: number };
  /** The lead of the best logit over the second, in steps of one row. */
  margin: number;
  /** With `rows`, if logits differ: how many of the row's logits, and the one that differs most. */
  differing?: { count: number; id: number; expected: number; found: number };
}

/**
 * The result of `verify`: what was tried, and the first difference that was found.
 *
 * @example
 * const { ids, drafts, divergence }: VerifyReport = await model.verify('Why is the sky blue?');
 * console.log(`${ids.length} tokens, ${drafts.accepted} of ${drafts.drafted} drafts kept`);
 * console.log(divergence === null ? 'all equal' : 'different');
 */
export interface VerifyReport {
  promptTokens: number;
  /** The greedy answer without drafts. */
  ids: number[];
  /**
   * The numbers of drafts a step that were tried (none without an MTP block), and how many drafts were made and kept in
   * all.
   */
  drafts: { sizes: number[]; drafted: number; accepted: number };
  /** The numbers of rows a step that were tried. */
  rows: { sizes: number[] };
  /** The first difference in the answer. Null if there is none. */
  divergence: Divergence | null;
}
