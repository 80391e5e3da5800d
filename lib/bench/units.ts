/** Takes measurements: each unit runs once a round and gives a sample for each of its tests. */
import type { Model } from '../model/model.js';
import type { GenerateOptions, GenerationResult, Prompt } from '../types.js';
import type { EnergyMeter } from './energy.js';
import { type BenchSweep, type BenchTest, contextOf, draftsText, sweepTests, testName } from './tests.js';

/** One run of a test. */
export interface Sample {
  ns: number;
  /** The rate of all sessions together. */
  tokensPerSecond: number;
  firstTokenMs: number;
  /** Each session's rate by the clock (tokens a second). Null without several sessions. */
  sessionRates: number[] | null;
  /** The number of timed tokens. */
  tokens: number;
  /** The energy that the device used. Null if it is not counted or the run is too short. */
  joules: number | null;
  /** The first session's result. */
  result: GenerationResult;
}

/** The model and texts that a run works with. */
export interface Bench {
  model: Model;
  /** A text as long as the longest context (tokens). */
  ids: readonly number[];
  meter: EnergyMeter | null;
  /** Whether steps are counted instead of timed. */
  isCounted: boolean;
  signal: AbortSignal | undefined;
}

export interface Measured {
  name: string;
  /** The kind of measurement that the unit belongs to. */
  kind: 'test' | 'sweep' | 'sessions' | 'suite';
  suite: string | null;
  /** The unit's own prompt. Null if it has none. */
  text: string | null;
  test: BenchTest;
}

export interface Unit {
  tests: readonly Measured[];
  /** The most tokens of a session's context. */
  context: number;
  sessions: number;
  /** Whether the unit is run once before it is timed. */
  hasWarmUp: boolean;
  /** Runs the unit's tests. Calls `take` with each test's index and sample. */
  run(bench: Bench, take: (index: number, sample: Sample) => void): Promise<void>;
}

/** A test by itself. Its time is the engine's clock, which stands still while the engine works for others. */
export function testUnit(test: BenchTest): Unit {
  if (test.sessions !== undefined) return sessionsUnit(test, test.sessions);
  return {
    tests: [{ name: testName(test), kind: 'test', suite: null, text: null, test }],
    context: contextOf(test),
    sessions: 1,
    hasWarmUp: true,
    async run(bench, take) {
      const { prompt, generated, depth, mtp } = test;
      await using session = bench.model.createSession();
      const ids = bench.ids;
      if (depth > 0)
        await session.generate(ids.slice(0, depth), { ...greedy(bench, mtp), profile: false, maxTokens: 1 });
      // The first token of a test of decoding is not timed.
      const maxTokens = prompt === 0 ? generated + 1 : Math.max(1, generated);
      const [result, joules] = await withEnergy(bench, () =>
        session.generate(ids.slice(0, depth + Math.max(1, prompt)), { ...greedy(bench, mtp), maxTokens }),
      );
      take(0, sampleOf(result, { prompt: prompt > 0, generated }, joules));
    },
  };
}

/** Several sessions at once, by the wall clock. The engine takes turns between them, step by step. */
function sessionsUnit(test: BenchTest, sessions: number): Unit {
  return {
    tests: [{ name: testName(test), kind: 'sessions', suite: null, text: null, test }],
    context: contextOf(test),
    sessions,
    hasWarmUp: true,
    async run(bench, take) {
      const { prompt, generated, depth, mtp } = test;
      const open = Array.from({ length: sessions }, () => bench.model.createSession());
      try {
        // Each session begins elsewhere in the text, or all would go to the same experts.
        const texts = open.map((_, i) => [...bench.ids.slice(i * 97), ...bench.ids.slice(0, i * 97)]);
        const options = greedy(bench, mtp);
        if (depth > 0)
          for (const [i, session] of open.entries())
            await session.generate(texts[i]!.slice(0, depth), { ...options, profile: false, maxTokens: 1 });
        const began = performance.now();
        const [ended, joules] = await withEnergy(bench, () =>
          Promise.all(
            open.map(async (session, i) => {
              const ids = texts[i]!.slice(0, depth + Math.max(1, prompt));
              const result = await session.generate(ids, { ...options, maxTokens: Math.max(1, generated) });
              return { result, ms: performance.now() - began };
            }),
          ),
        );
        const ms = performance.now() - began;
        const tokensOf = ({ usage }: GenerationResult) =>
          (prompt > 0 ? usage.promptTokens - usage.cachedTokens : 0) + generated;
        const tokens = ended.reduce((sum, { result }) => sum + tokensOf(result), 0);
        take(0, {
          ns: Math.round(ms * 1e6),
          tokensPerSecond: (tokens / ms) * 1e3,
          firstTokenMs: ended.reduce((sum, { result }) => sum + result.timings.firstTokenMs, 0) / sessions,
          sessionRates: ended.map(({ result, ms: own }) => (tokensOf(result) / own) * 1e3),
          tokens,
          joules,
          result: ended[0]!.result,
        });
      } finally {
        for (const session of open) await session.close();
      }
    },
  };
}

/** One session that grows from context to context. Tokens that were read before are not read again. */
export function sweepUnit(sweep: BenchSweep): Unit {
  const tests = sweepTests(sweep);
  const { contexts, generated, mtp } = sweep;
  return {
    tests: tests.map((test) => ({ name: testName(test), kind: 'sweep', suite: null, text: null, test })),
    context: contexts.at(-1)! + generated + 1,
    sessions: 1,
    hasWarmUp: false,
    async run(bench, take) {
      await using session = bench.model.createSession();
      let ids: number[] = [];
      let index = 0;
      for (const context of contexts) {
        ids = [...ids, ...bench.ids.slice(ids.length, context)];
        const [result, joules] = await withEnergy(bench, () =>
          session.generate(ids, { ...greedy(bench, mtp), maxTokens: generated + 1 }),
        );
        take(index++, sampleOf(result, { prompt: true, generated: 0 }, null));
        if (generated > 0) take(index++, sampleOf(result, { prompt: false, generated }, joules));
        ids = [...ids, ...result.ids.slice(0, generated)];
      }
    },
  };
}

/** A prompt of a suite. */
export interface SuitePrompt {
  suite: string;
  /** The prompt's name within the suite. */
  name: string;
  prompt: Prompt;
  /** Whether the prompt is taken as it is, without the chat template. */
  raw: boolean;
  promptTokens: number;
  maxTokens: number;
}

/** A real prompt in a session of its own, answered to its full length. */
export function promptUnit(
  { suite, name, prompt, raw, promptTokens, maxTokens }: SuitePrompt,
  mtp: BenchTest['mtp'],
): Unit {
  const test = { prompt: promptTokens, generated: maxTokens, depth: 0, mtp };
  return {
    tests: [{ name: `${suite}/${name}${draftsText(mtp)}`, kind: 'suite', suite, text: JSON.stringify(prompt), test }],
    context: contextOf(test),
    sessions: 1,
    hasWarmUp: true,
    async run(bench, take) {
      await using session = bench.model.createSession();
      const [result, joules] = await withEnergy(bench, () =>
        session.generate(prompt, { ...greedy(bench, mtp), raw, maxTokens: maxTokens + 1 }),
      );
      take(0, sampleOf(result, { prompt: false, generated: maxTokens }, joules));
    },
  };
}

function greedy({ isCounted, signal }: Bench, mtp: BenchTest['mtp']): GenerateOptions {
  return { temperature: 0, ignoreEos: true, profile: isCounted, mtp, ...(signal && { signal }) };
}

/** The sample of one answer: of its prompt, of its tokens after the first, or of both. */
function sampleOf(
  { timings, usage, ...rest }: GenerationResult,
  timed: { prompt: boolean; generated: number },
  joules: number | null,
): Sample {
  // If drafts need the context computed again, it is computed and counted with the prompt.
  const computed = timed.prompt ? usage.promptTokens - usage.cachedTokens : 0;
  const tokens = computed + timed.generated;
  const ms = (timed.prompt ? timings.prefillMs : 0) + (timed.generated > 0 ? timings.decodeMs : 0);
  return {
    ns: Math.round(ms * 1e6),
    tokensPerSecond: (tokens / ms) * 1e3,
    firstTokenMs: timings.firstTokenMs,
    sessionRates: null,
    tokens,
    joules,
    result: { timings, usage, ...rest },
  };
}

/** Runs `work`, and measures the energy that the device used meanwhile. */
async function withEnergy<Value>(
  { meter, isCounted, signal }: Bench,
  run: () => PromiseLike<Value>,
): Promise<[Value, number | null]> {
  const began = performance.now();
  const before = meter?.joules() ?? null;
  const value = await run();
  signal?.throwIfAborted();
  const after = meter?.joules() ?? null;
  const isLong = meter !== null && performance.now() - began >= meter.leastMs;
  return [value, before !== null && after !== null && isLong && !isCounted ? after - before : null];
}
