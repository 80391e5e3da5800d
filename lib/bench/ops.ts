/** Measuring a device's ops by themselves, each against what the device itself can do. */
import { availableParallelism } from 'node:os';
import { type ChosenDevice, chooseDevice, pickAdapter } from '../device/devices.js';
import { KexaError, type KexaErrorCode } from '../errors.js';
import { loadModel, loadSynthetic } from '../model/load.js';
import type { Model } from '../model/model.js';
import { type DeviceRates, type NativeMeasurement, native } from '../native.js';
import { checkNames, checkSignalType, choiceOption, integerOption, invalid, numberOption } from '../options.js';
import { checkPlanOptions } from '../plan/memory-plan.js';
import { cacheElementBytes, cacheTypes, gpuElements, gpuKernels, weightTypes } from '../plan/option-values.js';
import type { CacheType, GpuKernels, LoadOptions, WeightType } from '../types.js';
import { checkSynthetic, functionOption, listOption } from './checks.js';
import { type OpGroup, type OpName, opGroups, opNames, opWork, smallRows } from './op-work.js';
import { deviation, median } from './statistics.js';

/**
 * How the GPU's kernels are written, or that they are the CPU device's functions.
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
  /** As in `BenchOptions`. With `true` the first four layers are taken, or as many as there are. */
  synthetic?: boolean | { layers?: number };
  /** Rows of the steps. Default 1, 2, 4, 8, 16, 512. */
  rows?: readonly number[];
  /** Tokens in the context before. Default 512. */
  depth?: number;
  /** Only these ops; steps are measured only with all of them. */
  ops?: readonly OpName[];
  /** Default: all that the GPU offers; on the CPU f32. */
  elements?: readonly ('f32' | 'f16')[];
  /** Default: all that the GPU offers; on the CPU its own functions. */
  variants?: readonly OpVariant[];
  /** Default 5. */
  repetitions?: number;
  /** A repetition calls an op as often as takes this long, up to 2000 times. Default 20. */
  leastMs?: number;
  /** Told after each op how many of all are done. */
  onOp?: (progress: { done: number; total: number; op: string }) => void;
}

/**
 * One op at one number of rows, written in one way. Times are of one call.
 *
 * @example
 * const { results } = await benchmarkOps('models/tiny', { device: 'cpu' });
 * for (const { op, rows, ms, share } of results) console.log(op, rows, ms, `${share * 100} % of what the device can do`);
 */
export interface OpBenchResult {
  /** A function of the device; `step` for all of a step, `unaccounted` for what of it no op accounts for. */
  op: OpName | 'step' | 'unaccounted';
  shape: string;
  rows: number;
  /** Of activations between ops. */
  elements: 'f32' | 'f16';
  variant: OpVariant;
  /** The median of the repetitions, and their standard deviation. */
  ms: number;
  msDeviation: number;
  /** By the device's timestamps; else by the clock, over many calls, what it takes to ask for them included. */
  timedBy: 'device' | 'clock';
  /** Bytes of weights, keys, values and rows, each once; and operations, a product and a sum counting two. */
  bytes: number;
  flops: number;
  gbPerS: number;
  gflopPerS: number;
  /** What the bytes take at the device's copy bandwidth, or the operations at its rate, whichever is longer. */
  floorMs: number;
  /** floorMs / ms. */
  share: number;
  /** Calls in a step of the model measured. */
  perStep: number;
  /** Bytes of weights that calls, taking turns among layers, go through before any is read again. What a cache can hold flatters. */
  workingSetBytes: number;
  /** Different experts that the rows were sent to. */
  expertsRead: number | null;
  /** What of the GPU's kernels makes up the call; empty on the CPU. */
  kernels: { name: string; dispatches: number; ms: number }[];
  device: string;
  threads: number | null;
  depth: number;
  /** What the floor was taken from, in 10^9 a second. */
  deviceGbPerS: number;
  deviceGflopPerS: number;
}

/**
 * What {@link benchmarkOps} gives.
 *
 * @example
 * const { rates, results }: OpBenchReport = await benchmarkOps('models/tiny', { device: 'cpu' });
 * console.log(`${rates.copy / 1e9} GB/s copied, ${results.length} ops measured`);
 */
export interface OpBenchReport {
  rates: DeviceRates;
  results: OpBenchResult[];
  /** Of the device, for {@link writeTuning}; empty on the CPU. */
  tuningKey: string;
}

const defaultRows: readonly number[] = [1, 2, 4, 8, 16, 512];
const defaultLayers = 4;
// Choosing makes a sequence longer, and a chunk fills whole pages.
const contextSlack = 64;

/**
 * Loads a model once for each way to write its kernels, and times each op by itself at each number of rows, layers
 * taking turns; then whole steps, so that it shows what the ops do not account for. When the signal is aborted, what is
 * complete is returned.
 *
 * @throws KexaError as `loadModel`; KEXA_INVALID_ARGUMENT for rows or variants that the device has not.
 *
 * @example
 * const { results } = await benchmarkOps('models/tiny', { device: 'cpu', rows: [1], ops: ['head'] });
 * console.log(results[0]!.ms, results[0]!.gbPerS); // milliseconds a call, 10^9 bytes a second
 */
export async function benchmarkOps(path: string, options: OpBenchOptions = {}): Promise<OpBenchReport> {
  checkNames('benchmarkOps', options, [...benchNames, ...loadNames]);
  const { device, gpuChecks, threads, weights, cacheType, activations, signal } = options;
  checkSignalType(signal);
  const load = pick({ device, gpuChecks, threads, weights, cacheType, activations, signal });
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
      if (way.variant === 'matrices' && most <= smallRows) continue;
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
  if (typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= 4096) return count;
  throw invalid(name, 'an integer from 1 to 4096', count);
}

/** An error about the context that names what makes it so long. */
function nameContext(error: unknown, depth: number, rows: number): unknown {
  if (!(error instanceof KexaError && error.message.startsWith('contextSize: '))) return error;
  const tokens = `${depth} tokens before and a step of ${rows} rows`;
  return new KexaError(error.code, `depth: ${tokens} need too long a context: ${error.message}`, { cause: error });
}

interface Way {
  elements: 'f32' | 'f16';
  variant: OpVariant;
}

/** Side by side all that the device has, or what of it was asked for. */
async function waysOf(
  { info, ...chosen }: ChosenDevice,
  rates: DeviceRates,
  elements: OpBenchOptions['elements'],
  variants: OpBenchOptions['variants'],
): Promise<Way[]> {
  let offered: { elements: Way['elements'][]; variants: OpVariant[] } = { elements: ['f32'], variants: ['cpu'] };
  if (info.kind === 'gpu') {
    const isNull = chosen.adapter === 'null';
    const adapters = isNull ? [] : await native().adapters(chosen.dawnLibrary);
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
  try {
    return await native().rates({ ...plan, ...chosen });
  } catch (cause) {
    const { code, message } = cause as Error & { code?: KexaErrorCode };
    throw code === undefined ? cause : new KexaError(code, message, { cause });
  }
}

/** Without a number the first few layers: every kind is among K-EXAONE's first four. */
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
  // Of large steps' products, those that matrices have a part in; FFNs go without.
  const hasMatrices =
    way.variant === 'matrices' &&
    rows > smallRows &&
    ['attention_input', 'attention_output', 'draft_input'].includes(group.op);
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

/** The whole step by the clock, and what of it the ops by themselves leave over: less than nothing where they overlap. */
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

function pick<T extends object>(fields: T): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ReturnType<
    typeof pick<T>
  >;
}
