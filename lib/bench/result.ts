/** What is told of each test. */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Model } from '../model/model.js';
import type { DeviceRates } from '../native.js';
import { version } from '../package-root.js';
import { cacheElementBytes, heldBytes } from '../plan/option-values.js';
import {
  elementCount,
  kvBytes,
  type ModelParts,
  partsOf,
  readTraffic,
  type TokenTraffic,
  tokenOperations,
  tokenTraffic,
} from '../plan/traffic.js';
import type {
  ActivationType,
  ExpertTraffic,
  GenerationProfile,
  LoadOptions,
  Speculation,
  StepCounts,
} from '../types.js';
import { deviation, mean, ratioInterval } from './statistics.js';
import type { BenchTest } from './tests.js';
import type { Measured, Sample } from './units.js';

/**
 * What was measured of one test. Names are llama-bench's where it has one. Times are wall-clock nanoseconds.
 *
 * @example
 * const tests = [{ prompt: 0, generated: 128, depth: 0, mtp: false as const }];
 * const [result] = await benchmark('models/tiny', { tests });
 * console.log(result!.test, result!.avg_ts, result!.gb_per_s); // tg128, tokens a second, 10^9 bytes a second
 */
export interface BenchResult {
  test: string;
  /** `test`, `sweep` over contexts, `sessions` at once, or a prompt of a `suite`. */
  kind: Measured['kind'];
  /** The suite's name. */
  suite: string | null;
  build_commit: string;
  model_filename: string;
  /** Bytes of the weights as they are held. */
  model_size: number;
  model_n_params: number;
  backend: string;
  n_threads: number | null;
  n_batch: number;
  /** As asked for. */
  weights: string;
  type_k: string;
  type_v: string;
  /** What block-quantised weights are multiplied by. */
  activations: ActivationType;
  n_prompt: number;
  n_gen: number;
  n_depth: number;
  /** Sessions at once. */
  n_sessions: number;
  mtp: BenchTest['mtp'];
  /** SHA-256, first 16 digits, of what prompts are made of: ids, or a suite's own prompt. */
  text_hash: string;
  test_time: string;
  samples_ns: number[];
  avg_ns: number;
  stddev_ns: number;
  /** Tokens a second, of all sessions together. */
  samples_ts: number[];
  avg_ts: number;
  stddev_ts: number;
  /** Tokens a second of one session, the mean over sessions that ran at once. Null where one ran alone. */
  session_ts: number | null;
  /** Loading, the same for all tests of a run; the first of a model may find its file on the disk alone. */
  load_ms: number;
  /** Time to the first token of the test's prompt, the mean; null where only decoding is timed. */
  first_token_ms: number | null;
  /** Of decoding alone. */
  ms_per_token: number | null;
  /** Bytes a token of decoding must read, at the middle of the test, without drafts; null for prefill. */
  bytes_per_token: TokenTraffic | null;
  /**
   * Bytes read for each token timed, by the steps that were run: rows of a step share the weights, experts are those that the
   * routers chose, drafts that were not kept have read too. Null without a warm-up, in which that is counted, but
   * for decoding without drafts, where it is the same as above; and for tests of prompt and answer together.
   */
  bytes_read_per_token: TokenTraffic | null;
  /** Those bytes times tokens a second, in 10^9 bytes a second. */
  gb_per_s: number | null;
  /** Of decoding: that over `copy_gb_per_s`. Above 1, caches help. */
  bandwidth_share: number | null;
  /** Operations of a token, a product and a sum being two. */
  flop_per_token: number;
  gflop_per_s: number;
  /** Of prefill: that over the device's own rate, of matrices where it has them. */
  compute_share: number | null;
  /** Measured before the tests on the device itself, all threads: bytes copied, read and written both counted. */
  copy_gb_per_s: number | null;
  /** Operations in f32, and by subgroup matrices where the device has them. */
  f32_gflop_per_s: number | null;
  matrix_gflop_per_s: number | null;
  /** Rows of a step of the kind that was timed, and experts that a MoE layer read in it, the mean; null if not counted. */
  rows_per_step: number | null;
  experts_per_step: number | null;
  /** Keys and values that a sequence holds at the end of the test. */
  kv_bytes: number;
  num_spec_steps: number;
  num_draft_tokens: number;
  num_accepted_draft_tokens: number;
  draft_acceptance_rate: number;
  mean_acceptance_length: number;
  acceptance_histogram: number[];
  /** Of the first, second, ... draft of a step: how many there were, and how many were kept. */
  acceptance_by_position: { drafted: number; accepted: number }[];
  /** Tokens a second over those of the same test without drafts, and where that ratio lies with 95 % confidence. */
  speedup: number | null;
  speedup_interval: [number, number] | null;
  /** Of the runs that were timed; null where the machine does not count it, or they are too short. */
  joules_per_token: number | null;
  energy_source: string | null;
  /** Kernels run for a token, and what handing them to the GPU took of the processor's time; null on the CPU device. */
  dispatches_per_token: number | null;
  encode_ms_per_token: number | null;
  /**
   * Where the GPU holds but some experts: of the choices of the runs that were timed the share whose expert was there, and
   * what was copied for a token; else null.
   */
  expert_hit_rate: number | null;
  expert_bytes_copied_per_token: number | null;
  /** By kernel: dispatches, and nanoseconds by the GPU's clock, for a token; null where the device has no kernels or no clock. */
  ops: { name: string; dispatches: number; ns: number }[] | null;
  /** SHA-256, first 16 digits, of the ids that were generated. Runs that agree computed the same. */
  ids_hash: string;
  /** The same of the logits, f32, that the last token was chosen from; null without a warm-up. */
  logits_hash: string | null;
  /** The best of them: for devices, which agree in all but the last digits. */
  logits_best: { id: number; logit: number } | null;
  /** Most memory the process has held so far. */
  peak_rss_bytes: number;
}

/** What all results of a run share. */
export interface RunFacts {
  /** Of the model. */
  name: string;
  model: Model;
  options: Omit<LoadOptions, 'contextSize'>;
  loadMs: number;
  /** Empty where they were not measured. */
  rates: Partial<DeviceRates>;
  ids: readonly number[];
  energySource: string | null;
}

type SharedFields = Pick<
  BenchResult,
  | 'build_commit'
  | 'model_filename'
  | 'model_size'
  | 'model_n_params'
  | 'backend'
  | 'n_threads'
  | 'n_batch'
  | 'weights'
  | 'type_k'
  | 'type_v'
  | 'activations'
  | 'load_ms'
  | 'copy_gb_per_s'
  | 'f32_gflop_per_s'
  | 'matrix_gflop_per_s'
>;

/** Makes results of samples. */
export class ResultMaker {
  readonly #facts: RunFacts;
  readonly #fields: SharedFields;
  readonly #bytes: ModelParts;
  readonly #elements: ModelParts;
  readonly #cacheBytes: number;

  constructor(facts: RunFacts) {
    const { name, model, options, loadMs, rates } = facts;
    const { description } = model;
    this.#facts = facts;
    const cacheType = options.cacheType === undefined || options.cacheType === 'auto' ? 'f32' : options.cacheType;
    this.#cacheBytes = cacheElementBytes(cacheType, description.headDim);
    const { weights = 'auto' } = options;
    this.#bytes = partsOf(description, (tensor) => heldBytes(tensor, weights));
    this.#elements = partsOf(description, elementCount);
    const giga = (rate: number | null | undefined) => (rate ? rate / 1e9 : null);
    this.#fields = {
      build_commit: version(),
      model_filename: name,
      model_size: model.memory.weights.total,
      model_n_params: model.config.parameters,
      backend: model.device.name,
      n_threads: model.device.kind === 'cpu' ? (options.threads ?? availableParallelism()) : null,
      n_batch: options.prefillChunk ?? 128,
      weights,
      type_k: cacheType,
      type_v: cacheType,
      activations: model.activations,
      load_ms: loadMs,
      copy_gb_per_s: giga(rates.copy),
      f32_gflop_per_s: giga(rates.f32),
      matrix_gflop_per_s: giga(rates.matrices),
    };
  }

  /** @param counted what the same test did in its warm-up */
  make(
    { name, kind, suite, text, test }: Measured,
    samples: readonly Sample[],
    counted: GenerationProfile | null,
  ): BenchResult {
    const { prompt, generated, depth, mtp, sessions = 1 } = test;
    const { ids, energySource } = this.#facts;
    const samples_ns = samples.map(({ ns }) => ns);
    const samples_ts = samples.map(({ tokensPerSecond }) => tokensPerSecond);
    const rate = mean(samples_ts);
    // A suite's rate is of its answer; sessions' tests of decoding alone take in a prompt of one token.
    const isDecode = prompt === 0 || kind === 'suite';
    const isPrefill = !isDecode && generated === 0;
    // Decoding alone begins with a token too, which is no part of it; a sweep's context has it already.
    const begun = kind === 'sweep' ? prompt : Math.max(1, prompt);
    const first = isDecode ? depth + begun : depth;
    const last = isDecode ? first + generated - 1 : depth + prompt + generated - 1;
    const steps = counted === null ? null : isDecode ? counted.decode : isPrefill ? counted.prefill : null;
    const needed = isDecode ? this.#needed((first + last) / 2) : null;
    // Sessions' steps are counted of the first alone.
    const counts = kind === 'sessions' ? null : steps;
    const read = this.#read(test, isDecode, { first, last }, counts) ?? (mtp === false ? needed : null);
    const operations = this.#operations({ first, last }, isDecode ? 1 : (generated + 1) / (prompt + generated));
    const energies = samples.filter(({ joules }) => joules !== null);
    const isTimedByClock = kind === 'sessions';
    const rates = this.#facts.rates;
    return {
      test: name,
      kind,
      suite,
      ...this.#fields,
      n_prompt: prompt,
      n_gen: generated,
      n_depth: depth,
      n_sessions: sessions,
      mtp,
      text_hash: hash(text ?? ids.join()),
      test_time: new Date().toISOString(),
      samples_ns,
      avg_ns: mean(samples_ns),
      stddev_ns: deviation(samples_ns),
      samples_ts,
      avg_ts: rate,
      stddev_ts: deviation(samples_ts),
      session_ts: isTimedByClock ? mean(samples.flatMap(({ sessionRates }) => sessionRates ?? [])) : null,
      first_token_ms: prompt === 0 ? null : mean(samples.map(({ firstTokenMs }) => firstTokenMs)),
      ms_per_token: isDecode ? mean(samples_ns) / 1e6 / (generated * sessions) : null,
      bytes_per_token: needed,
      bytes_read_per_token: read,
      gb_per_s: read === null ? null : (read.total * rate) / 1e9,
      bandwidth_share: !isDecode || read === null || !rates.copy ? null : (read.total * rate) / rates.copy,
      flop_per_token: operations,
      gflop_per_s: (operations * rate) / 1e9,
      compute_share: !isPrefill || !rates.f32 ? null : (operations * rate) / (rates.matrices || rates.f32),
      rows_per_step: steps === null || steps.steps === 0 ? null : steps.rows / steps.steps,
      experts_per_step:
        steps === null || steps.steps === 0 || this.#bytes.moeLayers === 0
          ? null
          : steps.experts / steps.steps / this.#bytes.moeLayers,
      kv_bytes: kvBytes(this.#facts.model.description, last + 1, this.#cacheBytes, mtp !== false) * sessions,
      ...draftFields(generated === 0 ? [] : samples.map(({ result }) => result.speculation)),
      speedup: null,
      speedup_interval: null,
      joules_per_token:
        energies.length === 0
          ? null
          : energies.reduce((sum, { joules }) => sum + joules!, 0) /
            energies.reduce((sum, { tokens }) => sum + tokens, 0),
      energy_source: energies.length === 0 ? null : energySource,
      ...gpuFields(steps, samples, isDecode, generated),
      ...expertFields(samples),
      ids_hash: hash(samples[0]!.result.ids.join()),
      ...logitFields(counted?.logits),
      peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
    };
  }

  #needed(position: number): TokenTraffic {
    return tokenTraffic(this.#facts.model.description, this.#bytes, position, this.#cacheBytes);
  }

  #read(
    { prompt, generated }: BenchTest,
    isDecode: boolean,
    positions: { first: number; last: number },
    steps: StepCounts | null,
  ): TokenTraffic | null {
    if (steps === null || steps.steps === 0) return null;
    const tokens = isDecode ? generated : prompt;
    const heads = isDecode ? steps.steps : 1;
    return readTraffic(
      this.#facts.model.description,
      this.#bytes,
      steps,
      { ...positions, tokens, heads },
      this.#cacheBytes,
    );
  }

  #operations(positions: { first: number; last: number }, logitPart: number): number {
    return tokenOperations(this.#facts.model.description, this.#elements, positions, logitPart);
  }
}

/** Sets what drafts brought against the same tests without them. */
export function compareWithPlain(results: readonly BenchResult[]): void {
  const nameOf = ({ test, mtp }: BenchResult) => (mtp === false ? test : test.replace(` mtp ${mtp}`, ''));
  const plain = new Map(results.filter(({ mtp }) => mtp === false).map((result) => [result.test, result]));
  for (const result of results) {
    const other = result.mtp === false ? undefined : plain.get(nameOf(result));
    if (other === undefined) continue;
    result.speedup = result.avg_ts / other.avg_ts;
    result.speedup_interval = ratioInterval(other.samples_ts, result.samples_ts);
  }
}

function hash(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex').slice(0, 16);
}

function logitFields(logits: Float32Array | undefined): Pick<BenchResult, 'logits_hash' | 'logits_best'> {
  if (logits === undefined) return { logits_hash: null, logits_best: null };
  let id = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[id]!) id = i;
  const bytes = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
  return { logits_hash: hash(bytes), logits_best: { id, logit: logits[id]! } };
}

function expertFields(
  samples: readonly Sample[],
): Pick<BenchResult, 'expert_hit_rate' | 'expert_bytes_copied_per_token'> {
  const traffic = samples.flatMap(({ result }) => result.experts ?? []);
  if (traffic.length === 0) return { expert_hit_rate: null, expert_bytes_copied_per_token: null };
  const sum = (of: (one: ExpertTraffic) => number) => traffic.reduce((total, one) => total + of(one), 0);
  const choices = sum(({ hits, misses }) => hits + misses);
  const tokens = samples.reduce(
    (total, { result: { usage } }) =>
      total + usage.promptTokens - usage.cachedTokens + Math.max(0, usage.completionTokens - 1),
    0,
  );
  return {
    expert_hit_rate: choices === 0 ? null : sum(({ hits }) => hits) / choices,
    expert_bytes_copied_per_token: tokens === 0 ? null : sum(({ copiedBytes }) => copiedBytes) / tokens,
  };
}

/** By token: kernels of the counted run, the processor's time of those that were timed. */
function gpuFields(
  steps: StepCounts | null,
  samples: readonly Sample[],
  isDecode: boolean,
  generated: number,
): Pick<BenchResult, 'dispatches_per_token' | 'encode_ms_per_token' | 'ops'> {
  const gpu = steps?.gpu ?? null;
  const encodings = samples.flatMap(({ result }) => result.timings.encodeMs ?? []);
  const tokens = isDecode ? generated : (steps?.rows ?? 1);
  const hasClock = gpu?.ops.some(({ nanoseconds }) => nanoseconds > 0) ?? false;
  return {
    dispatches_per_token: gpu === null ? null : gpu.dispatches / tokens,
    encode_ms_per_token: isDecode && encodings.length > 0 ? mean(encodings) / generated : null,
    ops:
      gpu === null || !hasClock
        ? null
        : gpu.ops.map(({ name, dispatches, nanoseconds }) => ({
            name,
            dispatches: dispatches / tokens,
            ns: nanoseconds / tokens,
          })),
  };
}

/** Drafts of all runs together, by vLLM's names. */
function draftFields(speculations: readonly Speculation[]) {
  const sum = (of: (speculation: Speculation) => number) => speculations.reduce((total, one) => total + of(one), 0);
  const longest = (of: (speculation: Speculation) => readonly unknown[]) =>
    Math.max(0, ...speculations.map((one) => of(one).length));
  const steps = sum((one) => one.steps);
  const drafted = sum((one) => one.drafted);
  const accepted = sum((one) => one.accepted);
  return {
    num_spec_steps: steps,
    num_draft_tokens: drafted,
    num_accepted_draft_tokens: accepted,
    draft_acceptance_rate: drafted === 0 ? 0 : accepted / drafted,
    mean_acceptance_length: steps === 0 ? 0 : 1 + accepted / steps,
    acceptance_histogram: Array.from({ length: longest(({ histogram }) => histogram) }, (_, i) =>
      sum(({ histogram }) => histogram[i] ?? 0),
    ),
    acceptance_by_position: Array.from({ length: longest(({ byPosition }) => byPosition) }, (_, i) => ({
      drafted: sum(({ byPosition }) => byPosition[i]?.drafted ?? 0),
      accepted: sum(({ byPosition }) => byPosition[i]?.accepted ?? 0),
    })),
  };
}
