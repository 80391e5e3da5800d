/** Makes the results of tests from their samples. */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { limits } from '../limits.js';
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
 * The result of one test. Fields have llama-bench's names if it has them. Times are wall-clock nanoseconds.
 *
 * @example
 * const tests = [{ prompt: 0, generated: 128, depth: 0, mtp: false as const }];
 * const [result] = await benchmark('models/tiny', { tests });
 * console.log(result!.test, result!.avg_ts, result!.gb_per_s); // tg128, tokens a second, 10^9 bytes a second
 */
export interface BenchResult {
  test: string;
  /** The kind of test: a `test`, a `sweep` over contexts, `sessions` at once, or a prompt of a `suite`. */
  kind: Measured['kind'];
  /** The suite's name. Null for other kinds. */
  suite: string | null;
  build_commit: string;
  model_filename: string;
  /** The size of the weights as they are held (bytes). */
  model_size: number;
  model_n_params: number;
  backend: string;
  n_threads: number | null;
  n_batch: number;
  /** The option `weights` that was asked for. */
  weights: string;
  type_k: string;
  type_v: string;
  /** The type of the activations that block-quantised weights are multiplied by. */
  activations: ActivationType;
  n_prompt: number;
  n_gen: number;
  n_depth: number;
  /** The number of sessions at once. */
  n_sessions: number;
  mtp: BenchTest['mtp'];
  /** The first 16 digits of the SHA-256 of the prompts' text: ids, or a suite's own prompt. */
  text_hash: string;
  test_time: string;
  samples_ns: number[];
  avg_ns: number;
  stddev_ns: number;
  /** The rate of all sessions together (tokens a second). */
  samples_ts: number[];
  avg_ts: number;
  stddev_ts: number;
  /** The mean rate of one session (tokens a second). Null if a session ran alone. */
  session_ts: number | null;
  /**
   * The time to load the model, the same for all tests of a run. The first load may have to read the file from disk.
   */
  load_ms: number;
  /** The mean time to the first token after the test's prompt. Null if only decoding is timed. */
  first_token_ms: number | null;
  /** The time of a token. Null unless only decoding is timed. */
  ms_per_token: number | null;
  /** The bytes that a token of decoding must read without drafts, at the middle of the test. Null for prefill. */
  bytes_per_token: TokenTraffic | null;
  /**
   * The bytes that the steps read for each timed token. Rows of a step share the weights, experts are those that the
   * routers chose, and drafts that were not kept count too. For decoding without drafts it equals `bytes_per_token`;
   * else the warm-up counts it. Null without a warm-up, and for tests of prompt and answer together.
   */
  bytes_read_per_token: TokenTraffic | null;
  /** `bytes_read_per_token` times tokens a second (10^9 bytes a second). */
  gb_per_s: number | null;
  /** For decoding: `gb_per_s` divided by `copy_gb_per_s`. Above 1, caches help. */
  bandwidth_share: number | null;
  /** The operations of a token. A product and a sum are two. */
  flop_per_token: number;
  gflop_per_s: number;
  /** For prefill: `gflop_per_s` divided by the device's own rate, which is that of matrices if it has them. */
  compute_share: number | null;
  /** The device's own copy rate, measured before the tests on all threads. Bytes read and bytes written both count. */
  copy_gb_per_s: number | null;
  /** The device's own rate in f32. */
  f32_gflop_per_s: number | null;
  /** The device's own rate of subgroup matrices. Null if it has none. */
  matrix_gflop_per_s: number | null;
  /** The mean number of rows of a timed step. Null if not counted. */
  rows_per_step: number | null;
  /** The mean number of experts that a MoE layer read in a timed step. Null if not counted. */
  experts_per_step: number | null;
  /** The size of the keys and values that a sequence holds at the end of the test. */
  kv_bytes: number;
  num_spec_steps: number;
  num_draft_tokens: number;
  num_accepted_draft_tokens: number;
  draft_acceptance_rate: number;
  mean_acceptance_length: number;
  acceptance_histogram: number[];
  /** For the first, second, ... draft of a step: how many there were, and how many were kept. */
  acceptance_by_position: { drafted: number; accepted: number }[];
  /** The rate divided by that of the same test without drafts. Null if there is no such test. */
  speedup: number | null;
  /** The 95 % confidence interval of `speedup`. */
  speedup_interval: [number, number] | null;
  /** The energy of a token in the timed runs. Null if the machine does not count it or the runs are too short. */
  joules_per_token: number | null;
  energy_source: string | null;
  /** The number of kernels run for a token. Null on the CPU device. */
  dispatches_per_token: number | null;
  /** The processor's time to hand a token's kernels to the GPU. Null on the CPU device. */
  encode_ms_per_token: number | null;
  /**
   * The share of choices whose expert was on the GPU, in the timed runs. Null if the GPU holds all experts.
   */
  expert_hit_rate: number | null;
  /** The bytes of experts copied to the GPU for a token. Null if the GPU holds all experts. */
  expert_bytes_copied_per_token: number | null;
  /**
   * For each kernel: its dispatches and its time by the GPU's clock, for a token. Null if the device has no kernels or
   * no clock.
   */
  ops: { name: string; dispatches: number; ns: number }[] | null;
  /** The first 16 digits of the SHA-256 of the generated ids. */
  ids_hash: string;
  /**
   * The first 16 digits of the SHA-256 of the f32 logits that the last token was chosen from. Null without a warm-up.
   */
  logits_hash: string | null;
  /** The best of these logits. Two devices agree in it but for the last digits. Null without a warm-up. */
  logits_best: { id: number; logit: number } | null;
  /** The most memory that the process has held so far. */
  peak_rss_bytes: number;
}

/** The facts that all results of a run share. */
export interface RunFacts {
  /** The model's name. */
  name: string;
  model: Model;
  options: Omit<LoadOptions, 'contextSize'>;
  loadMs: number;
  /** The device's own rates. Empty if they were not measured. */
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
      n_batch: options.prefillChunk ?? limits.defaultChunk,
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

  /** @param counted the work of the same test in its warm-up */
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
    // A suite's rate is that of its answer. Tests of decoding with several sessions compute a prompt of one token too.
    const isDecode = prompt === 0 || kind === 'suite';
    const isPrefill = !isDecode && generated === 0;
    // A test of decoding begins with a token that is not timed. A sweep's context already has that token.
    const begun = kind === 'sweep' ? prompt : Math.max(1, prompt);
    const first = isDecode ? depth + begun : depth;
    const last = isDecode ? first + generated - 1 : depth + prompt + generated - 1;
    const steps = counted === null ? null : isDecode ? counted.decode : isPrefill ? counted.prefill : null;
    const needed = isDecode ? this.#needed((first + last) / 2) : null;
    // With several sessions only the first one's steps are counted.
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

/** Compares tests with drafts with the same tests without. */
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

/** The fields about the GPU, for a token: kernels of the counted run, and the processor's time of the timed runs. */
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

/** The fields about drafts, all runs together, with vLLM's names. */
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
