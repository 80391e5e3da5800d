/** What a benchmark runs, named as llama-bench names it. */

/**
 * One measurement: a prompt of `prompt` tokens, then `generated` tokens, after a context of `depth` tokens.
 *
 * @example
 * const test: BenchTest = { prompt: 512, generated: 128, depth: 4096, mtp: false }; // pg512,128 @ d4096
 */
export interface BenchTest {
  /** Tokens of the prompt; 0: decoding alone is timed. */
  prompt: number;
  /** Tokens generated; 0: prefill alone is timed. */
  generated: number;
  /** Tokens in the context before. */
  depth: number;
  /** Drafts a step, as `generate` takes them. */
  mtp: false | 'auto' | number;
  /** As many sessions at once, of which each does the same, timed by the clock together. Default: one, timed by itself. */
  sessions?: number;
}

/** `pp512`, `tg128 @ d4096`, `pg512,128 mtp auto`, `tg128 x4`. */
export function testName({ prompt, generated, depth, mtp, sessions }: BenchTest): string {
  const name = prompt === 0 ? `tg${generated}` : generated === 0 ? `pp${prompt}` : `pg${prompt},${generated}`;
  return `${name}${depth > 0 ? ` @ d${depth}` : ''}${draftsText(mtp)}${sessions === undefined ? '' : ` x${sessions}`}`;
}

/** What is added to a name where there are drafts. */
export function draftsText(mtp: BenchTest['mtp']): string {
  return mtp === false ? '' : ` mtp ${mtp}`;
}

/** Most tokens the test has in the context of a session. */
export function contextOf({ prompt, generated, depth }: BenchTest): number {
  // Decoding alone still needs a token to begin with; and the first token that is chosen is not timed.
  return depth + Math.max(prompt, 1) + generated + 1;
}

/**
 * Every test of these lengths: each prompt and each answer alone, each pair together, all at each depth, and all with each
 * number of sessions. Drafts matter to tests that generate.
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
 * A sweep over contexts: of each, only its newest part is read, and then a few tokens are generated.
 *
 * @example
 * const sweeps: BenchSweep[] = [{ contexts: [1024, 2048, 4096], generated: 32, mtp: false }];
 * const results = await benchmark('models/tiny', { sweeps });
 */
export interface BenchSweep {
  /** Contexts in tokens, rising. */
  contexts: readonly number[];
  /** Tokens generated at each; 0: none. */
  generated: number;
  mtp: BenchTest['mtp'];
}

/** The tests of a sweep: two of a context, or one where nothing is generated. */
export function sweepTests({ contexts, generated, mtp }: BenchSweep): BenchTest[] {
  let depth = 0;
  return contexts.flatMap((context) => {
    const slice: BenchTest = { prompt: context - depth, generated: 0, depth, mtp };
    // What is generated stays in the context, and the next slice comes after it.
    depth = context + generated;
    return generated === 0 ? [slice] : [slice, { prompt: 0, generated, depth: context, mtp }];
  });
}
