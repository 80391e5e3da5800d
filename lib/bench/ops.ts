/** Measures a device's ops one by one, and compares each with the device's own rates. */
import { availableParallelism } from 'node:os';
import { type ChosenDevice, chooseDevice, pickAdapter } from '../device/devices.js';
import { type OpName, ops as opFacts, opNames } from '../device/ops.js';
import { KexaError } from '../errors.js';
import { limits } from '../limits.js';
import { loadModel, loadSynthetic } from '../model/load.js';
import type { Model } from '../model/model.js';
import { computing, type DeviceRates, type NativeMeasurement, native, nativeError } from '../native.js';
import {
  checkNames,
  checkSignalType,
  choiceOption,
  defined,
  integerOption,
  invalid,
  numberOption,
} from '../options.js';
import { checkPlanOptions } from '../plan/memory-plan.js';
import { cacheElementBytes, cacheTypes, gpuElements, gpuKernels, weightTypes } from '../plan/option-values.js';
import type { CacheType, GpuKernels, LoadOptions, WeightType } from '../types.js';
import { checkSynthetic, functionOption, listOption } from './checks.js';
import { type OpGroup, opGroups, opWork } from './op-work.js';
import { deviation, median } from './statistics.js';

/**
 * How the GPU's kernels are written, or `cpu` for the CPU device's functions.
 *
 * @example
 * const { results } = await benchmarkOps('models/tiny', { device: 'gpu', variants: ['plain', 'subgroups'] });
 */
export type OpVariant = Exclude<GpuKernels, 'auto'> | 'cpu';
const opVariants: readonly OpVariant[] = [...gpuKernels.filter((kernels) => kernels !== 'auto'), 'cpu'];

const loadNames = ['device', 'gpuChecks', 'threads', 'weights', 'cacheType', 'activations', 'signal'] as const;
const benchNames = [
  'synthetic',
  'rows',
  'depth',
  'ops',
  'elements',
  'variants',
  'repetitions',
  'leastMs',
  'onOp',
] as const satisfies readonly (keyof OpBenchOptions)[];

/**
 * Options of {@link benchmarkOps}.
 *
 * @example
 * const options: OpBenchOptions = { device: 'cpu', ops: ['attention'], rows: [1, 512], depth: 4096 };
 * const { results } = await benchmarkOps('models/tiny', options);
 */
export interface OpBenchOptions extends Pick<LoadOptions, (typeof loadNames)[number]> {
  /**
   * Makes the weights up, like the option of `BenchOptions`. `true` keeps the first four layers, or all if there are
   * fewer.
   */
  synthetic?: boolean | { layers?: number };
  /** The numbers of rows of the steps. Default 1, 2, 4, 8, 16, 512. */
  rows?: readonly number[];
  /** The tokens in the context before. Default 512. */
  depth?: number;
  /** The ops to measure. Default: all, and whole steps. */
  ops?: readonly OpName[];
  /** The types of the activations between ops. Default: all that the GPU offers; `f32` on the CPU. */
  elements?: readonly ('f32' | 'f16')[];
  /** The ways to write kernels. Default: all that the GPU offers; `cpu` on the CPU. */
  variants?: readonly OpVariant[];
  /** How often each op is measured. Default 5. */
  repetitions?: number;
  /**
   * The least time of a repetition (milliseconds). The op is called again until then, at most 2000 times. Default 20.
   */
  leastMs?: number;
  /** Is called after each op with the number of ops done and of all. */
  onOp?: (progress: { done: number; total: number; op: string }) => void;
}

/**
 * One op at one number of rows, written in one way. Times are of one call.
 *
 * @example
 * const { results } = await benchmarkOps('models/tiny', { device: 'cpu' });
 * for (const { op, rows, ms, share } of results) console.log(op, rows, ms, `${share * 100} % of the device`);
 */
export interface OpBenchResult {
  /** The op. `step` is a whole step; `unaccounted` is the part of a step that no op accounts for. */
  op: OpName | 'step' | 'unaccounted';
  shape: string;
  rows: number;
  /** The type of the activations between ops. */
  elements: 'f32' | 'f16';
  variant: OpVariant;
  /** The median of the repetitions (milliseconds). */
  ms: number;
  /** The standard deviation of the repetitions (milliseconds). */
  msDeviation: number;
  /**
   * Whether times are the device's timestamps, or the clock's over many calls, the time to issue the calls included.
   */
  timedBy: 'device' | 'clock';
  /** The bytes of weights, keys, values and rows, each once. */
  bytes: number;
  /** The operations. A product and a sum are two. */
  flops: number;
  gbPerS: number;
  gflopPerS: number;
  /**
   * The least possible time (milliseconds): the bytes at the device's copy rate or the operations at its rate, the
   * longer of both.
   */
  floorMs: number;
  /** The share of the device's rate that the op reaches: floorMs / ms. */
  share: number;
  /** The number of calls in a step of the measured model. */
  perStep: number;
  /**
   * The bytes of weights that the calls read before any is read again. If a cache holds them, the rate is flattering.
   */
  workingSetBytes: number;
  /** The number of different experts that the rows were sent to. Null for ops without experts. */
  expertsRead: number | null;
  /** The kernels of the call. Empty on the CPU. */
  kernels: { name: string; dispatches: number; ms: number }[];
  device: string;
  threads: number | null;
  depth: number;
  /** The device's copy rate, for `floorMs` (10^9 bytes a second). */
  deviceGbPerS: number;
  /** The device's arithmetic rate, for `floorMs` (10^9 operations a second). */
  deviceGflopPerS: number;
}

/**
 * The result of {@link benchmarkOps}.
 *
 * @example
 * const { rates, results }: OpBenchReport = await benchmarkOps('models/tiny', { device: 'cpu' });
 * console.log(`${rates.copy / 1e9} GB/s copied, ${results.length} ops measured`);
 */
export interface OpBenchReport {
  rates: DeviceRates;
  results: OpBenchResult[];
  /** The key of the device's tuning. Empty on the CPU. */
  tuningKey: string;
}

const defaultRows: readonly number[] = [1, 2, 4, 8, 16, 512];
const defaultLayers = 4;
// Choosing makes a sequence longer, and a chunk fills whole pages.
const contextSlack = limits.pageRows;

/**
 * Loads a model once for each way to write its kernels. Times each op at each number of rows, layers taking turns, and
 * then whole steps, which shows the time that no op accounts for. When the signal is aborted, the complete results are
 * returned.
 *
 * @throws KexaError every code of `loadModel`; KEXA_INVALID_ARGUMENT for rows or variants that the device does not
 *   have.
 *
 * @example
 * const { results } = await benchmarkOps('models/tiny', { device: 'cpu', rows: [1], ops: ['head'] });
 * console.log(results[0]!.ms, results[0]!.gbPerS); // milliseconds a call, 10^9 bytes a second
 */
export async function benchmarkOps(path: string, options: OpBenchOptions = {}): Promise<OpBenchReport> {
  checkNames('benchmarkOps', options, [...benchNames, ...loadNames]);
  const { device, gpuChecks, threads, weights, cacheType, activations, signal } = options;
  checkSignalType(signal);
  const load = defined({ device, gpuChecks, threads, weights, cacheType, activations, signal });
  const types = {
    threads,
    weights: choiceOption('weights', weights, weightTypes),
    cacheType: choiceOption('cacheType', cacheType, cacheTypes),
  };
  const rows = options.rows === undefined ? defaultRows : listOption('rows', options.rows, checkRows);
  if (rows.length === 0) throw new KexaError('KEXA_INVALID_ARGUMENT', 'rows: wanted at least one count, found none');
  const depth = integerOption('depth', options.depth, 0, 2 ** 31 - 1, 512);
  const choices = <Choice extends string>(name: keyof OpBenchOptions, among: readonly Choice[]) =>
    options[name] === undefined
      ? undefined
      : listOption(name, options[name], (entry, value) => {
          if (value === undefined) throw invalid(entry, among.map((choice) => `'${choice}'`).join(' or '), value);
          return choiceOption(entry, value, among);
        });
  const ops = choices('ops', opNames);
  const elements = choices('elements', gpuElements);
  const variants = choices('variants', opVariants);
  const repetitions = integerOption('repetitions', options.repetitions, 1, 1e6, 5);
  const leastMs = numberOption('leastMs', options.leastMs, 0, 1e6, 20);
  const onOp = functionOption('onOp', options.onOp);
  const synthetic = checkSynthetic(options.synthetic);
  const { info, ...chosen } = await chooseDevice(device);
  const rates = await ratesOf(chosen, load);
  const ways = await waysOf({ info, ...chosen }, rates, elements, variants);
  const most = Math.max(...rows);
  const report: OpBenchReport = { rates, results: [], tuningKey: chosen.tuningKey };
  let done = 0;
  try {
    for (const way of ways) {
      if (way.variant === 'matrices' && most <= limits.smallRows) continue;
      const modelOptions: LoadOptions = {
        ...load,
        contextSize: depth + most + contextSlack,
        prefillChunk: most,
        gpuElements: way.elements,
        ...(way.variant !== 'cpu' && { gpuKernels: way.variant }),
      };
      await using model = await (synthetic === null
        ? loadModel(path, modelOptions)
        : loadSynthetic(path, await layersOf(path, synthetic, weights), modelOptions)
      ).catch((error: unknown) => {
        throw nameContext(error, depth, most);
      });
      const groups = opGroups(model.description).filter(({ op }) => ops === undefined || ops.includes(op));
      const hasStep = ops === undefined;
      const total = (groups.length + (hasStep ? 1 : 0)) * rows.length * ways.length;
      for (const count of rows) {
        const request = (op: string, layers: readonly number[]) => ({
          op,
          layers: Uint32Array.from(layers),
          rows: count,
          repetitions,
          leastMs,
        });
        const wanted = groups.map(({ op, layers }) => request(op, layers));
        if (hasStep) wanted.push(request('step', [0]));
        const names = wanted.map(({ op }) => op);
        const found = await model.measure({ depth, ops: wanted }, signal, () => {
          onOp?.({ done: ++done, total, op: names[(done - 1) % names.length]! });
        });
        const measured = groups.map((group, i) =>
          resultOf(group, found[i]!, { model, rates, way, rows: count, depth, ...types }),
        );
        report.results.push(...measured);
        if (hasStep) report.results.push(...stepResults(measured, found.at(-1)!));
      }
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  return report;
}

function checkRows(name: string, count: unknown): number {
  if (typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= limits.chunk) return count;
  throw invalid(name, `an integer from 1 to ${limits.chunk}`, count);
}

/** An error about the context, with the options that make the context so long. */
function nameContext(error: unknown, depth: number, rows: number): unknown {
  if (!(error instanceof KexaError && error.message.startsWith('contextSize: '))) return error;
  const tokens = `${depth} tokens before and a step of ${rows} rows`;
  return new KexaError(error.code, `depth: ${tokens} need too long a context: ${error.message}`, { cause: error });
}

interface Way {
  elements: 'f32' | 'f16';
  variant: OpVariant;
}

/** The ways to write kernels that are measured: all that the device has, or those that were asked for. */
async function waysOf(
  { info, ...chosen }: ChosenDevice,
  rates: DeviceRates,
  elements: OpBenchOptions['elements'],
  variants: OpBenchOptions['variants'],
): Promise<Way[]> {
  let offered: { elements: Way['elements'][]; variants: OpVariant[] } = { elements: ['f32'], variants: ['cpu'] };
  if (info.kind === 'gpu') {
    const isNull = chosen.adapter === 'null';
    const adapters = isNull ? [] : await native().adapters(chosen.dawnLibrary, chosen.vulkanLibrary);
    const adapter = pickAdapter(adapters, chosen.adapter.toLowerCase());
    offered = {
      elements: isNull || adapter?.hasF16 ? ['f32', 'f16'] : ['f32'],
      variants: [
        'plain',
        ...(isNull || adapter?.hasSubgroups ? (['subgroups'] as const) : []),
        ...(rates.matrices !== null ? (['matrices'] as const) : []),
      ],
    };
  }
  const among = <T>(name: string, wanted: readonly T[] | undefined, has: readonly T[]): readonly T[] => {
    const missing = wanted?.find((one) => !has.includes(one));
    if (missing === undefined) return wanted ?? has;
    throw new KexaError(
      'KEXA_INVALID_ARGUMENT',
      `${name}: wanted what ${info.name} has, ${has.join(', ')}; found ${missing}`,
    );
  };
  const kept = {
    elements: among('elements', elements, offered.elements),
    variants: among('variants', variants, offered.variants),
  };
  return kept.elements.flatMap((one) => kept.variants.map((variant) => ({ elements: one, variant })));
}

/** @throws KexaError */
async function ratesOf(chosen: Omit<ChosenDevice, 'info'>, load: Partial<LoadOptions>): Promise<DeviceRates> {
  const plan = checkPlanOptions(load.threads === undefined ? {} : { threads: load.threads }, 1);
  return await computing()
    .rates({ ...plan, ...chosen })
    .catch((cause: unknown) => {
      throw nativeError(cause);
    });
}

/** The number of layers. Default: the first four, because K-EXAONE's first four have every kind. */
async function layersOf(
  path: string,
  { layers }: { layers?: number },
  weights: LoadOptions['weights'],
): Promise<{ layers: number }> {
  if (layers !== undefined) return { layers };
  const { openSynthetic } = await import('../plan/synthetic.js');
  const { config } = await openSynthetic(path, {}, weights);
  return { layers: Math.min(defaultLayers, config.layers.length) };
}

interface Where {
  model: Model;
  rates: DeviceRates;
  way: Way;
  rows: number;
  depth: number;
  threads: number | undefined;
  weights: WeightType;
  cacheType: CacheType;
}

function resultOf(
  group: OpGroup,
  measured: NativeMeasurement,
  { model, rates, way, rows, depth, threads, weights, cacheType }: Where,
): OpBenchResult {
  const isCpu = model.device.kind === 'cpu';
  const work = opWork(model.description, group, {
    rows,
    depth,
    elementBytes: way.elements === 'f16' ? 2 : 4,
    weights,
    cacheBytes: cacheElementBytes(cacheType, model.config.headDim),
    expertsRead: measured.expertsRead,
  });
  // Only the products of large steps can use matrices.
  const hasMatrices = way.variant === 'matrices' && rows > limits.smallRows && opFacts[group.op].hasMatrices;
  const rate = hasMatrices ? rates.matrices! : rates.f32;
  const ms = median(measured.ms);
  const floorMs = Math.max(work.bytes / rates.copy, work.flops / rate) * 1e3;
  return {
    op: group.op,
    shape: group.shape,
    rows,
    ...way,
    ms,
    msDeviation: deviation(measured.ms),
    timedBy: measured.isDeviceTime ? 'device' : 'clock',
    bytes: Math.round(work.bytes),
    flops: work.flops,
    gbPerS: work.bytes / ms / 1e6,
    gflopPerS: work.flops / ms / 1e6,
    floorMs,
    share: floorMs / ms,
    perStep: group.perStep,
    workingSetBytes: Math.round(work.weightBytes * group.layers.length),
    expertsRead: group.op === 'experts' ? measured.expertsRead : null,
    kernels: (measured.profile?.ops ?? []).map(({ name, dispatches, nanoseconds }) => ({
      name,
      dispatches,
      ms: nanoseconds / 1e6,
    })),
    device: model.device.name,
    threads: isCpu ? (threads ?? availableParallelism()) : null,
    depth,
    deviceGbPerS: rates.copy / 1e9,
    deviceGflopPerS: rate / 1e9,
  };
}

/** The whole step by the clock, and its time less that of all ops. The difference is negative if ops overlap. */
function stepResults(parts: readonly OpBenchResult[], measured: NativeMeasurement): OpBenchResult[] {
  const sum = (of: (part: OpBenchResult) => number) =>
    parts.reduce((total, part) => total + part.perStep * of(part), 0);
  const ms = median(measured.ms);
  const [bytes, flops, floorMs] = [sum((part) => part.bytes), sum((part) => part.flops), sum((part) => part.floorMs)];
  const step: OpBenchResult = {
    ...parts[0]!,
    op: 'step',
    shape: `${Math.max(...parts.map(({ perStep }) => perStep))} layers`,
    ms,
    msDeviation: deviation(measured.ms),
    timedBy: 'clock',
    bytes,
    flops,
    gbPerS: bytes / ms / 1e6,
    gflopPerS: flops / ms / 1e6,
    floorMs,
    share: floorMs / ms,
    perStep: 1,
    workingSetBytes: sum((part) => part.workingSetBytes / Math.max(1, part.perStep)),
    expertsRead: null,
    kernels: (measured.profile?.ops ?? []).map(({ name, dispatches, nanoseconds }) => ({
      name,
      dispatches,
      ms: nanoseconds / 1e6,
    })),
  };
  const rest = ms - sum((part) => part.ms);
  return [
    step,
    {
      ...step,
      op: 'unaccounted',
      shape: `${((rest / ms) * 100).toFixed(1)} % of the step`,
      ms: rest,
      bytes: 0,
      flops: 0,
      gbPerS: 0,
      gflopPerS: 0,
      floorMs: 0,
      share: 0,
      workingSetBytes: 0,
      kernels: [],
    },
  ];
}
