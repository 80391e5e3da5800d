/** What `forward` and `verify` take and give, and what a profile counts. */

/**
 * Options of `forward`.
 *
 * @example
 * const options: ForwardOptions = { logits: 'last' };
 * const { logits } = await model.forward(model.tokenizer.encode('In the beginning'), options);
 */
export interface ForwardOptions {
  /** Rows of logits wanted. Default `all`. */
  logits?: 'all' | 'last';
  /** Also run the MTP block: its logits for every position that has a next token. */
  mtp?: boolean;
  /** Also give the residual stream after each layer and the experts chosen. For checking. */
  trace?: boolean;
  /** Also count and time what the GPU did, which slows it. For measuring. */
  profile?: boolean;
  signal?: AbortSignal;
}

/**
 * What the GPU did for one call.
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
  /** Bytes of the GPU's buffers: weights, cache, working buffers. */
  bufferBytes: number;
  /** By kernel, the slowest first. `nanoseconds` are those of all its dispatches; 0 where the GPU has no timestamps. */
  ops: { name: string; dispatches: number; nanoseconds: number }[];
}

/**
 * What the steps of one kind did.
 *
 * @example
 * const { profile } = await session.generate('Hello', { profile: true });
 * const { steps, rows }: StepCounts = profile!.decode;
 * console.log(`${rows / steps} rows a step`);
 */
export interface StepCounts {
  steps: number;
  /** Tokens that went through the model, drafts that were not kept included. */
  rows: number;
  /** Experts that the MoE layers read: the distinct ones that each layer's router chose in each step, added up. */
  experts: number;
  /** Times the MTP block ran, and those of them that went on through the output head, for a draft. */
  mtpPasses: number;
  draftHeads: number;
  /** What the GPU did; null on the CPU device. Reading the routes back adds passes and submits. */
  gpu: ForwardProfile | null;
}

/**
 * What generating an answer did, step by step.
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
  /** [vocab], that the last token was chosen from. */
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
  /** [rows, topK], in the order chosen: best first. */
  experts: Uint32Array;
  /** [rows, topK], what each expert's output is multiplied by, scale included. */
  weights: Float32Array;
}

/**
 * What `forward` gives. Matrices are row-major.
 *
 * @example
 * const { logits, mtpLogits }: ForwardResult = await model.forward(ids, { mtp: true });
 * console.log(logits.length / model.config.vocabSize, mtpLogits!.length / model.config.vocabSize); // rows, rows - 1
 */
export interface ForwardResult {
  /** [rows, vocab]; one row with `logits: 'last'`. */
  logits: Float32Array;
  /** [rows - 1, vocab]: row i predicts token i + 2 from the hidden state at i and token i + 1. */
  mtpLogits?: Float32Array;
  /** With `trace`: [rows, hidden] after each layer. */
  layers?: Float32Array[];
  /** With `trace`: [rows, hidden] after the final norm. */
  hidden?: Float32Array;
  /** With `trace`: one entry a MoE layer. */
  routes?: RouteTrace[];
  /** With `profile`: null on the CPU device. */
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
  /** Tokens of the answer that is checked. Default 64. */
  maxTokens?: number;
  /** Told after each pass over the answer how many of all are done. */
  onProgress?: (progress: { done: number; total: number }) => void;
  signal?: AbortSignal;
}

/**
 * A token of an answer at which two ways of computing it part.
 *
 * @example
 * const { divergence } = await model.verify('Why is the sky blue?');
 * if (divergence !== null) console.error(`token ${divergence.position}: ${divergence.found.id}, not ${divergence.expected.id}`);
 */
export interface Divergence {
  /**
   * `drafts`: with drafts, the answer has another token. `rows`: rows computed together have other logits than those
   * computed one by one, or their best token is not the answer's.
   */
  check: 'drafts' | 'rows';
  /** Drafts a step, or rows a batch. */
  size: number;
  /** Index in the answer; 0 is its first token. */
  position: number;
  /** The answer's token, and its logit where rows are computed one by one. */
  expected: { id: number; logit: number };
  /**
   * What was found: with `drafts` the other token, its logit as above; with `rows` the batch's best token and logit, which
   * may be the same while other logits differ.
   */
  found: { id: number; logit: number };
  /** By how much the best logit leads the second, where rows are computed one by one. */
  margin: number;
  /** With `rows`, if logits differ: how many of the row's, and the one that differs most. */
  differing?: { count: number; id: number; expected: number; found: number };
}

/**
 * What `verify` checked and found.
 *
 * @example
 * const { ids, drafts, divergence }: VerifyReport = await model.verify('Why is the sky blue?');
 * console.log(`${ids.length} tokens, ${drafts.accepted} of ${drafts.drafted} drafts kept, ${divergence === null ? 'all equal' : 'different'}`);
 */
export interface VerifyReport {
  promptTokens: number;
  /** The greedy answer without drafts. */
  ids: number[];
  /** Drafts a step that the answer was made with again, none without an MTP block; and what became of the drafts in all. */
  drafts: { sizes: number[]; drafted: number; accepted: number };
  /** Rows a batch that the answer's logits were computed with. */
  rows: { sizes: number[] };
  /** The first in the answer, or null: all is as it must be. */
  divergence: Divergence | null;
}
