/** Counts that many parts of kexa agree on. */
export const limits = {
  /** Tokens of a context, where the caller asks for none and the model allows as many. */
  defaultContext: 32768,
  /** Rows of a prompt's step: the default, and the most. */
  defaultChunk: 128,
  chunk: 4096,
  threads: 1024,
  /** Milliseconds that prompts may hold up running answers at a time: the default, and the most. */
  defaultStepMs: 50,
  stepMs: 60000,
  /** Sequences whose cache is kept at the same time: the most. */
  mostSlots: 256,
  /** The largest integer that the core takes: 2^31 - 1. */
  integer: 2147483647,
  /** Rows that a GPU's global layers are given at load, at most. */
  cacheStartRows: 8192,
  /** The highest priority of a request; the lowest is as far below 0. */
  priority: 100,
  /** Answers of one call. */
  choices: 128,

  // native/plan/limits.h has the rest, too.
  /** Sequences whose cache is kept at the same time, where the caller does not say. */
  slots: 4,
  /** Rows of the global layers' cache in a page. */
  pageRows: 64,
  /** Drafts of a step. */
  drafts: 8,
  /** Alternatives that `logprobs` tells of beside the chosen token. */
  alternatives: 20,
  /** Rows of an answer that one step computes again. Measurements of as many rows, or fewer, are of an answer's kernels. */
  smallRows: 16,
} as const;

/** The tokens of so many whole pages as hold `tokens` tokens: a sequence's part of the cache. */
export const wholePages = (tokens: number): number => Math.ceil(tokens / limits.pageRows) * limits.pageRows;
