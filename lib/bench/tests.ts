/** The tests of a benchmark, with llama-bench's names. */

/**
 * One measurement: a prompt of `prompt` tokens, then `generated` tokens, after a context of `depth` tokens.
 *
 * @example
 * const test: BenchTest = { prompt: 512, generated: 128, depth: 4096, mtp: false }; // pg512,128 @ d4096
 */
export interface BenchTest {
  /** The length of the prompt (tokens). 0: only decoding is timed. */
  prompt: number;
  /** The number of tokens to generate. 0: only prefill is timed. */
  generated: number;
  /** The tokens in the context before. */
  depth: number;
  /** The number of drafts a step: the option `mtp` of `generate`. */
  mtp: false | 'auto' | number;
  /**
   * The number of sessions that run the test at once, timed together by the clock. Default: one session, timed by
   * itself.
   */
  sessions?: number;
}

/** The test's name: `pp512`, `tg128 @ d4096`, `pg512,128 mtp auto`, `tg128 x4`. */
export function testName({ prompt, generated, depth, mtp, sessions }: BenchTest): string {
  const name = prompt === 0 ? `tg${generated}` : generated === 0 ? `pp${prompt}` : `pg${prompt},${generated}`;
  return `${name}${depth > 0 ? ` @ d${depth}` : ''}${draftsText(mtp)}${sessions === undefined ? '' : ` x${sessions}`}`;
}

/** The part of a name that tells of drafts. Empty without drafts. */
export function draftsText(mtp: BenchTest['mtp']): string {
  return mtp === false ? '' : ` mtp ${mtp}`;
}

/** The most tokens that a session's context holds in the test. */
export function contextOf({ prompt, generated, depth }: BenchTest): number {
  // Decoding needs a token to begin with, and its first chosen token is not timed.
  return depth + Math.max(prompt, 1) + generated + 1;
}

/**
 * Combines lists into tests: each prompt and each answer alone and each pair together, at each depth, with each number
 * of sessions. Tests that generate are made for each value of `mtp`.
 */
export function combineTests(lists: {
  prompts: readonly number[];
  generated: readonly number[];
  pairs: readonly (readonly [number, number])[];
  depths: readonly number[];
  mtp: readonly BenchTest['mtp'][];
  sessions?: readonly number[];
}): BenchTest[] {
  const tests: BenchTest[] = [];
  for (const depth of lists.depths) {
    for (const prompt of lists.prompts) if (prompt > 0) tests.push({ prompt, generated: 0, depth, mtp: false });
    for (const mtp of lists.mtp) {
      for (const generated of lists.generated) if (generated > 0) tests.push({ prompt: 0, generated, depth, mtp });
      for (const [prompt, generated] of lists.pairs) tests.push({ prompt, generated, depth, mtp });
    }
  }
  if (lists.sessions === undefined) return tests;
  return tests.flatMap((test) => lists.sessions!.map((sessions) => ({ ...test, sessions })));
}

/**
 * A sweep over contexts in one session. At each context only the newest part is read, and then a few tokens are
 * generated.
 *
 * @example
 * const sweeps: BenchSweep[] = [{ contexts: [1024, 2048, 4096], generated: 32, mtp: false }];
 * const results = await benchmark('models/tiny', { sweeps });
 */
export interface BenchSweep {
  /** The contexts (tokens), rising. */
  contexts: readonly number[];
  /** The number of tokens to generate at each context. 0: none. */
  generated: number;
  mtp: BenchTest['mtp'];
}

/** The tests of a sweep: two for each context, or one if nothing is generated. */
export function sweepTests({ contexts, generated, mtp }: BenchSweep): BenchTest[] {
  let depth = 0;
  return contexts.flatMap((context) => {
    const slice: BenchTest = { prompt: context - depth, generated: 0, depth, mtp };
    // The generated tokens stay in the context, and the next slice comes after them.
    depth = context + generated;
    return generated === 0 ? [slice] : [slice, { prompt: 0, generated, depth: context, mtp }];
  });
}
