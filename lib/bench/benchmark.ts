/** Measuring a model: how fast it reads prompts and generates, and what that takes. */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { TensorEntry } from '../description.js';
import { KexaError } from '../errors.js';
import { storedScales } from '../files/fp8.js';
import { blockBytes } from '../files/gguf-types.js';
import { openModelFolder } from '../files/model-folder.js';
import { elementsOf } from '../files/wanted-tensors.js';
import { loadModel, loadSynthetic, type Model } from '../model.js';
import type { GenerationResult, LoadOptions, Speculation } from '../types.js';
import { version } from '../version.js';
import { deviation, mean } from './statistics.js';
import { measureStep, type StepCost } from './step-cost.js';
import { openSynthetic } from './synthetic.js';
import { type BenchTest, contextOf, testName } from './tests.js';
import { type TokenTraffic, tokenTraffic } from './traffic.js';

/** Options of {@link benchmark}. */
export interface BenchOptions extends Omit<LoadOptions, 'contextSize'> {
  tests: readonly BenchTest[];
  /**
   * `path` is a config.json, or a folder that has one, and its weights are made up on the device, as `weights` says: the
   * times are a real model's, the text means nothing. `layers` keeps the first so many. The MTP block is loaded only for
   * tests that draft.
   */
  synthetic?: boolean | { layers?: number };
  /** How often each test is run. The tests take turns, so that what the machine does otherwise meets all alike. Default 5. */
  repetitions?: number;
  /** Whether each test is run once before, untimed. Default true. */
  warmUp?: boolean;
  /**
   * Text whose tokens fill prompts and contexts, again and again. Drafts are kept as often as the text allows, so it
   * should be like what the model is used for. Default: one that comes with kexa; for a model without a tokenizer,
   * ids that mean nothing.
   */
  text?: string;
  /** Told after each run how many of all are done. */
  onRun?: (progress: { done: number; total: number; test: string }) => void;
}

/** What was measured of one test. Names are llama-bench's where it has one. Times are wall-clock nanoseconds. */
export interface BenchResult {
  test: string;
  build_commit: string;
  model_filename: string;
  /** Bytes of the weights as they are held. */
  model_size: number;
  model_n_params: number;
  backend: string;
  n_threads: number | null;
  n_batch: number;
  type_k: string;
  type_v: string;
  n_prompt: number;
  n_gen: number;
  n_depth: number;
  mtp: BenchTest['mtp'];
  test_time: string;
  samples_ns: number[];
  avg_ns: number;
  stddev_ns: number;
  samples_ts: number[];
  avg_ts: number;
  stddev_ts: number;
  /** Loading, the same for all tests of a run; the first of a model may find its file on the disk alone. */
  load_ms: number;
  /** Time to the first token of the test's prompt, the mean; null where only decoding is timed. */
  first_token_ms: number | null;
  /** Of decoding alone. */
  ms_per_token: number | null;
  /** Bytes a token of decoding must read, at the middle of the test, without drafts; null for prefill. */
  bytes_per_token: TokenTraffic | null;
  /** Those bytes times tokens a second, in 10^9 bytes a second. */
  gb_per_s: number | null;
  num_spec_steps: number;
  num_draft_tokens: number;
  num_accepted_draft_tokens: number;
  draft_acceptance_rate: number;
  mean_acceptance_length: number;
  acceptance_histogram: number[];
  /** Kernels that the GPU runs for a token without drafts, and what encoding and submitting them takes; null on the CPU. */
  dispatches_per_token: number | null;
  encode_ms_per_token: number | null;
  /** SHA-256, first 16 digits, of the ids that were generated. Runs that agree computed the same. */
  ids_hash: string;
  /** Most memory the process has held so far. */
  peak_rss_bytes: number;
}

interface Sample {
  ns: number;
  tokensPerSecond: number;
  firstTokenMs: number;
  result: GenerationResult;
}

const builtInText =
  'To move a table, click the handle at its corner and drag it to its new place. To copy it, hold down the Ctrl key while you ' +
  'drag. A table that is wider than the page can be turned: choose Layout, then Text Direction. If a row is split between two ' +
  'pages, select it, open its properties and clear the box that lets rows break. In the beginning was the word, and the word ' +
  'was written down, line upon line, until the book was full; and the reader opened it at evening and read until the lamp ' +
  'had burned low. Every function below takes two numbers and returns one. The first adds them, the second multiplies them, and ' +
  'the third returns the larger of the two. ';

/**
 * Loads a model and measures it.
 *
 * Prefill (`pp`) is timed from the first prompt row computed to the last, decoding (`tg`) from the first token chosen to
 * the last; a test of both (`pg`) from the first row to the last token. Greedy choice is part of a step; tokenising,
 * filling the context to `depth` and loading are not timed. When the signal is aborted, what is complete is returned,
 * with fewer samples.
 *
 * @throws KexaError as {@link loadModel}; KEXA_INVALID_ARGUMENT for a test that fits no context of the model.
 */
export async function benchmark(path: string, options: BenchOptions): Promise<BenchResult[]> {
  const {
    tests,
    repetitions = 5,
    warmUp = true,
    text = builtInText,
    onRun,
    signal,
    synthetic,
    ...loadOptions
  } = options;
  if (tests.length === 0) throw new KexaError('KEXA_INVALID_ARGUMENT', 'tests: wanted at least one, found none');
  if (!(Number.isInteger(repetitions) && repetitions >= 1))
    throw new KexaError('KEXA_INVALID_ARGUMENT', `repetitions: wanted a positive integer, found ${repetitions}`);
  const made =
    synthetic === undefined || synthetic === false
      ? null
      : { ...(synthetic === true ? {} : synthetic), mtp: tests.some(({ mtp }) => mtp !== false) };
  const { description } =
    made === null ? await openModelFolder(path) : await openSynthetic(path, made, loadOptions.weights, 'cpu');
  for (const test of tests) {
    if (contextOf(test) <= description.maxPositions) continue;
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${testName(test)}: wanted a context of ${contextOf(test)} tokens, found a model of at most ${description.maxPositions}`,
    );
  }
  const contextSize = Math.max(...tests.map(contextOf));
  const began = performance.now();
  const modelOptions = { ...loadOptions, contextSize, ...(signal && { signal }) };
  await using model = await (made === null ? loadModel(path, modelOptions) : loadSynthetic(path, made, modelOptions));
  const loadMs = performance.now() - began;

  const ids = await tokensOf(model, text, contextSize);
  const samples = tests.map((): Sample[] => []);
  const total = tests.length * (repetitions + (warmUp ? 1 : 0));
  let done = 0;
  try {
    for (let round = warmUp ? -1 : 0; round < repetitions; round++) {
      for (const [index, test] of tests.entries()) {
        const sample = await run(model, ids, test, signal);
        if (round >= 0) samples[index]!.push(sample);
        onRun?.({ done: ++done, total, test: testName(test) });
      }
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  const layers = model.config.layers.length;
  const name = made === null ? path : `${path}, ${layers} ${layers === 1 ? 'layer' : 'layers'}, made-up weights`;
  const step = await measureStep(model);
  const shared = sharedFields(name, model, loadOptions, loadMs, step);
  return tests.flatMap((test, index) => {
    const found = samples[index]!;
    return found.length === 0 ? [] : [resultOf(test, found, shared)];
  });
}

/** As many tokens as the longest context, from the text over and over. */
async function tokensOf(model: Model, text: string, count: number): Promise<number[]> {
  const { vocabSize } = model.config;
  const piece = await encode(model, text);
  if (piece.length === 0) return Array.from({ length: count }, (_, i) => (i * 7919 + 11) % vocabSize);
  return Array.from({ length: count }, (_, i) => piece[i % piece.length]!);
}

async function encode(model: Model, text: string): Promise<number[]> {
  try {
    return await model.tokenizer.encodeAsync(text);
  } catch (error) {
    if (error instanceof KexaError && error.code === 'KEXA_NOT_FOUND') return [];
    throw error;
  }
}

/** Runs a test once, in a session of its own. */
async function run(
  model: Model,
  ids: readonly number[],
  { prompt, generated, depth, mtp }: BenchTest,
  signal: AbortSignal | undefined,
): Promise<Sample> {
  await using session = model.createSession();
  const greedy = { temperature: 0, ignoreEos: true, ...(signal && { signal }) };
  if (depth > 0) await session.generate(ids.slice(0, depth), { ...greedy, maxTokens: 1, mtp });
  // Of decoding alone, the first token only begins it.
  const maxTokens = prompt === 0 ? generated + 1 : Math.max(1, generated);
  const result = await session.generate(ids.slice(0, depth + Math.max(1, prompt)), { ...greedy, maxTokens, mtp });
  if (result.finishReason === 'aborted') signal?.throwIfAborted();
  const { prefillMs, decodeMs, firstTokenMs } = result.timings;
  const computed = result.usage.promptTokens - result.usage.cachedTokens;
  const milliseconds = prompt === 0 ? decodeMs : generated === 0 ? prefillMs : prefillMs + decodeMs;
  // A context that drafts have to see again is computed with the prompt, and counted with it.
  const tokens = prompt === 0 ? generated : generated === 0 ? computed : computed + generated;
  return { ns: Math.round(milliseconds * 1e6), tokensPerSecond: (tokens / milliseconds) * 1e3, firstTokenMs, result };
}

interface SharedFields {
  fields: Pick<
    BenchResult,
    | 'build_commit'
    | 'model_filename'
    | 'model_size'
    | 'model_n_params'
    | 'backend'
    | 'n_threads'
    | 'n_batch'
    | 'type_k'
    | 'type_v'
    | 'load_ms'
    | 'dispatches_per_token'
    | 'encode_ms_per_token'
  >;
  traffic: (position: number) => TokenTraffic;
}

function sharedFields(
  name: string,
  model: Model,
  options: Omit<LoadOptions, 'contextSize'>,
  loadMs: number,
  step: StepCost | null,
): SharedFields {
  const cacheType = options.cacheType === undefined || options.cacheType === 'auto' ? 'f32' : options.cacheType;
  const cacheBytes = { f32: 4, f16: 2, bf16: 2, q8: 34 / 32, q4: 20 / 32 }[cacheType];
  const { weights = 'auto' } = options;
  const stored = (entry: TensorEntry) => {
    const { bytes, shape, held } = entry;
    const type = held ?? (weights === 'f32' || weights === 'f16' || weights === 'bf16' ? weights : null);
    return type === null ? bytes + storedScales(entry).bytes : blockBytes(type, elementsOf(shape));
  };
  return {
    fields: {
      build_commit: version(),
      model_filename: name,
      model_size: model.memory.weights.total,
      model_n_params: model.config.parameters,
      backend: model.device.name,
      n_threads: model.device.kind === 'cpu' ? (options.threads ?? availableParallelism()) : null,
      n_batch: options.prefillChunk ?? 128,
      type_k: cacheType,
      type_v: cacheType,
      load_ms: loadMs,
      dispatches_per_token: step?.dispatches ?? null,
      encode_ms_per_token: step?.encodeMs ?? null,
    },
    traffic: (position) => tokenTraffic(model.description, position, cacheBytes, stored),
  };
}

function resultOf(test: BenchTest, samples: readonly Sample[], { fields, traffic }: SharedFields): BenchResult {
  const { prompt, generated, depth, mtp } = test;
  const samples_ns = samples.map(({ ns }) => ns);
  const samples_ts = samples.map(({ tokensPerSecond }) => tokensPerSecond);
  const isDecode = prompt === 0;
  const bytes = isDecode ? traffic(depth + (generated >> 1)) : null;
  return {
    test: testName(test),
    ...fields,
    n_prompt: prompt,
    n_gen: generated,
    n_depth: depth,
    mtp,
    test_time: new Date().toISOString(),
    samples_ns,
    avg_ns: mean(samples_ns),
    stddev_ns: deviation(samples_ns),
    samples_ts,
    avg_ts: mean(samples_ts),
    stddev_ts: deviation(samples_ts),
    first_token_ms: isDecode ? null : mean(samples.map(({ firstTokenMs }) => firstTokenMs)),
    ms_per_token: isDecode ? mean(samples_ns) / 1e6 / generated : null,
    bytes_per_token: bytes,
    gb_per_s: bytes === null ? null : (bytes.total * mean(samples_ts)) / 1e9,
    ...draftFields(samples.map(({ result }) => result.speculation)),
    ids_hash: createHash('sha256').update(samples[0]!.result.ids.join()).digest('hex').slice(0, 16),
    peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
  };
}

/** Drafts of all runs together, by vLLM's names. */
function draftFields(speculations: readonly Speculation[]) {
  const sum = (of: (speculation: Speculation) => number) => speculations.reduce((total, one) => total + of(one), 0);
  const steps = sum((one) => one.steps);
  const drafted = sum((one) => one.drafted);
  const accepted = sum((one) => one.accepted);
  const longest = Math.max(...speculations.map(({ histogram }) => histogram.length));
  return {
    num_spec_steps: steps,
    num_draft_tokens: drafted,
    num_accepted_draft_tokens: accepted,
    draft_acceptance_rate: drafted === 0 ? 0 : accepted / drafted,
    mean_acceptance_length: steps === 0 ? 0 : 1 + accepted / steps,
    acceptance_histogram: Array.from({ length: longest }, (_, i) => sum(({ histogram }) => histogram[i] ?? 0)),
  };
}
