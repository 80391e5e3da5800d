/** What a benchmark runs, named as llama-bench names it. */

/** One measurement: a prompt of `prompt` tokens, then `generated` tokens, after a context of `depth` tokens. */
export interface BenchTest {
  /** Tokens of the prompt; 0: decoding alone is timed. */
  prompt: number;
  /** Tokens generated; 0: prefill alone is timed. */
  generated: number;
  /** Tokens in the context before. */
  depth: number;
  /** Drafts a step, as `generate` takes them. */
  mtp: false | 'auto' | number;
}

/** `pp512`, `tg128 @ d4096`, `pg512,128 mtp auto`. */
export function testName({ prompt, generated, depth, mtp }: BenchTest): string {
  const name = prompt === 0 ? `tg${generated}` : generated === 0 ? `pp${prompt}` : `pg${prompt},${generated}`;
  const drafts = mtp === false ? '' : ` mtp ${mtp}`;
  return `${name}${depth > 0 ? ` @ d${depth}` : ''}${drafts}`;
}

/** Most tokens the test has in its context. */
export function contextOf({ prompt, generated, depth }: BenchTest): number {
  // Decoding alone still needs a token to begin with; and the first token that is chosen is not timed.
  return depth + Math.max(prompt, 1) + generated + 1;
}

/**
 * Every test of these lengths: each prompt and each answer alone, each pair together, all at each depth. Drafts matter
 * to tests that generate.
 */
export function combineTests(lists: {
  prompts: readonly number[];
  generated: readonly number[];
  pairs: readonly (readonly [number, number])[];
  depths: readonly number[];
  mtp: readonly BenchTest['mtp'][];
}): BenchTest[] {
  const tests: BenchTest[] = [];
  for (const depth of lists.depths) {
    for (const prompt of lists.prompts) if (prompt > 0) tests.push({ prompt, generated: 0, depth, mtp: false });
    for (const mtp of lists.mtp) {
      for (const generated of lists.generated) if (generated > 0) tests.push({ prompt: 0, generated, depth, mtp });
      for (const [prompt, generated] of lists.pairs) tests.push({ prompt, generated, depth, mtp });
    }
  }
  return tests;
}
