/** Measures how fast a model reads prompts and generates, and how much memory and energy that takes. */
import { chooseDevices, isOnProcessor } from '../device/devices.js';
import { KexaError } from '../errors.js';
import { openModelFolder } from '../files/model-folder.js';
import { wholePages } from '../limits.js';
import { loadModel, loadSynthetic } from '../model/load.js';
import type { Model } from '../model/model.js';
import { computing, type DeviceRates } from '../native.js';
import { booleanOption, checkNames, checkSignalType, integerOption, invalid } from '../options.js';
import { loadNames } from '../plan/load-options.js';
import { checkPlanOptions } from '../plan/memory-plan.js';
import { openSynthetic, type SyntheticOptions } from '../plan/synthetic.js';
import type { GenerationProfile, LoadOptions } from '../types.js';
import {
  checkDrafts,
  checkPrompt,
  checkSweep,
  checkSynthetic,
  checkTest,
  functionOption,
  listOption,
} from './checks.js';
import { type EnergyMeter, openEnergyMeter } from './energy.js';
import { type BenchResult, compareWithPlain, ResultMaker } from './result.js';
import { preparePrompts, type SuiteEntry } from './suite.js';
import type { BenchSweep, BenchTest } from './tests.js';
import { tokensOf } from './text.js';
import { type Bench, promptUnit, type Sample, sweepUnit, testUnit, type Unit } from './units.js';

/**
 * Options of {@link benchmark}.
 *
 * @example
 * const options: BenchOptions = { tests: [{ prompt: 512, generated: 128, depth: 0, mtp: 'auto' }], repetitions: 3 };
 * const [result] = await benchmark('models/tiny', options);
 */
export interface BenchOptions extends Omit<LoadOptions, 'contextSize'> {
  tests?: readonly BenchTest[];
  /**
   * Makes the weights up on the device: `path` is a config.json, or a folder with one. Times are those of a real model,
   * but the text means nothing. `layers` is the number of layers to keep. The MTP block is loaded only if a test
   * drafts. Cannot be combined with `prompts`, which need a tokenizer.
   */
  synthetic?: boolean | { layers?: number };
  /** Sweeps over contexts, each in one session that grows. They have no warm-up. */
  sweeps?: readonly BenchSweep[];
  /** Prompts to answer, once for each value of `mtp`. */
  prompts?: readonly SuiteEntry[];
  /**
   * The numbers of drafts a step with which `prompts` are answered. Default: `false`, and `'auto'` if the model has an
   * MTP block.
   */
  mtp?: readonly BenchTest['mtp'][];
  /**
   * How often each test is run. Tests take turns, so that other load on the machine meets all of them alike. Default 5.
   */
  repetitions?: number;
  /** Whether each test is run once before, untimed, to count the work of its steps. Default true. */
  warmUp?: boolean;
  /** Whether the device's own rates are measured first, which takes a second or less. Default true. */
  rates?: boolean;
  /**
   * A text whose tokens fill prompts and contexts, again and again. It should be like the texts that the model is used
   * for, because the acceptance of drafts depends on it. Default: a text that comes with kexa, or ids that mean nothing
   * for a model without a tokenizer.
   */
  text?: string;
  /** Is called after each run with the number of runs done and of all. */
  onRun?: (progress: { done: number; total: number; test: string }) => void;
}

const benchNames: readonly string[] = [
  'tests',
  'synthetic',
  'sweeps',
  'prompts',
  'mtp',
  'repetitions',
  'warmUp',
  'rates',
  'text',
  'onRun',
] satisfies (keyof BenchOptions)[];
const mostRepetitions = 1e6;

/**
 * Loads a model and measures it.
 *
 * - Prefill (`pp`) is timed from the first prompt row to the last.
 * - Decoding (`tg`) is timed from the first chosen token to the last.
 * - A test of both (`pg`) is timed from the first prompt row to the last token.
 * - A test with `sessions` is timed by the clock, from the request to the last session's last token.
 *
 * Greedy choice is part of a step. Tokenising, filling the context to `depth`, and loading are not timed. When the
 * signal is aborted, the complete results are returned, with fewer samples; that is an empty array if none is complete.
 *
 * @throws KexaError every code of {@link loadModel}; KEXA_INVALID_ARGUMENT for an option of another shape, with its
 *   name (`tests[0].prompt`), if there is no test, and for a test that fits no context of the model.
 *
 * @example
 * const tests = [{ prompt: 512, generated: 0, depth: 0, mtp: false as const }];
 * const [result] = await benchmark('models/tiny', { tests, repetitions: 3 });
 * console.log(result!.test, result!.avg_ts); // pp512, tokens a second
 */
export async function benchmark(path: string, options: BenchOptions = {}): Promise<BenchResult[]> {
  checkNames('benchmark', options, [...benchNames, ...loadNames.filter((name) => name !== 'contextSize')]);
  const { tests, sweeps, prompts, mtp, synthetic, repetitions, warmUp, rates, text, onRun, ...loadOptions } = options;
  const { signal } = loadOptions;
  checkSignalType(signal);
  const checked = {
    tests: listOption('tests', tests, checkTest),
    sweeps: listOption('sweeps', sweeps, checkSweep),
    prompts: listOption('prompts', prompts, checkPrompt),
    repetitions: integerOption('repetitions', repetitions, 1, mostRepetitions, 5),
    warmUp: booleanOption('warmUp', warmUp, true),
    onRun: functionOption('onRun', onRun),
  };
  const wantsRates = booleanOption('rates', rates, true);
  if (text !== undefined && typeof text !== 'string') throw invalid('text', 'a text', text);
  const settings = mtp === undefined ? undefined : listOption('mtp', mtp, checkDrafts);
  const isDrafting = [...checked.tests, ...checked.sweeps].some((test) => test.mtp !== false);
  const wanted = checkSynthetic(synthetic);
  const made = wanted && { ...wanted, mtp: isDrafting };
  if (made !== null && checked.prompts.length > 0)
    throw new KexaError('KEXA_INVALID_ARGUMENT', 'prompts: made-up weights have no tokenizer; leave them out');
  if (checked.tests.length + checked.sweeps.length + checked.prompts.length === 0)
    throw new KexaError('KEXA_INVALID_ARGUMENT', 'tests: wanted a test, a sweep or a prompt, found none');
  const { description, folder } =
    made === null ? await openModelFolder(path) : await openSynthetic(path, made, loadOptions.weights);
  const drafts = settings ?? (description.mtp === null ? [false as const] : [false as const, 'auto' as const]);
  const units = [
    ...checked.tests.map(testUnit),
    ...checked.sweeps.map(sweepUnit),
    ...(await preparePrompts(folder, checked.prompts)).flatMap((prompt) =>
      drafts.map((setting) => promptUnit(prompt, setting)),
    ),
  ];
  const contextSize = Math.max(...units.map((unit) => checkUnit(unit, description.maxPositions)));

  const begun = await begin(path, { made, wantsRates, loadOptions: { ...loadOptions, contextSize } });
  if (begun === null) return [];
  await using model = begun.model;
  const ids = await tokensOf(model, text, Math.max(...units.map(({ context }) => context)));
  // The meter counts one GPU, which is not enough for several.
  const meter = model.devices.length > 1 && !isOnProcessor(model.device) ? null : openEnergyMeter(model.device);
  const layers = model.config.layers.length;
  const name = made === null ? path : `${path}, ${layers} ${layers === 1 ? 'layer' : 'layers'}, made-up weights`;
  const { rates: found, loadMs } = begun;
  const maker = new ResultMaker({
    name,
    model,
    options: loadOptions,
    loadMs,
    rates: found,
    ids,
    energySource: meter?.source ?? null,
  });
  const ran = await runAll(units, { ...checked, model, ids, meter, signal });
  meter?.close();

  const results = units.flatMap((unit, u) =>
    unit.tests.flatMap((test, i) => {
      const { samples, counted } = ran[u]![i]!;
      return samples.length === 0 ? [] : [maker.make(test, samples, counted)];
    }),
  );
  compareWithPlain(results);
  return results;
}

/** Measures the device's rates and loads the model. Null if the signal is aborted before. */
async function begin(
  path: string,
  {
    made,
    wantsRates,
    loadOptions,
  }: { made: SyntheticOptions | null; wantsRates: boolean; loadOptions: LoadOptions & { contextSize: number } },
): Promise<{ model: Model; rates: Partial<DeviceRates>; loadMs: number } | null> {
  const { signal } = loadOptions;
  try {
    signal?.throwIfAborted();
    const rates = wantsRates ? await measureRates(loadOptions) : {};
    const began = performance.now();
    const model = await (made === null ? loadModel(path, loadOptions) : loadSynthetic(path, made, loadOptions));
    return { model, rates, loadMs: performance.now() - began };
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    return null;
  }
}

/** The samples of a test. */
interface Found {
  samples: Sample[];
  counted: GenerationProfile | null;
}

/** Runs the units in turns. If the signal is aborted, ends with the samples so far. */
async function runAll(
  units: readonly Unit[],
  run: {
    model: Model;
    ids: readonly number[];
    meter: EnergyMeter | null;
    signal: AbortSignal | undefined;
    repetitions: number;
    warmUp: boolean;
    onRun: BenchOptions['onRun'];
  },
): Promise<Found[][]> {
  const { model, ids, meter, signal, repetitions, warmUp, onRun } = run;
  const found = units.map(({ tests }) => tests.map((): Found => ({ samples: [], counted: null })));
  const warmed = warmUp ? units.filter(({ hasWarmUp }) => hasWarmUp) : [];
  const runs = (list: readonly Unit[]) => list.reduce((sum, { tests }) => sum + tests.length, 0);
  const total = runs(units) * repetitions + runs(warmed);
  let done = 0;
  try {
    for (let round = warmUp ? -1 : 0; round < repetitions; round++) {
      for (const [u, unit] of units.entries()) {
        if (round < 0 && !unit.hasWarmUp) continue;
        const bench: Bench = { model, ids, meter, isCounted: round < 0, signal };
        await unit.run(bench, (i, sample) => {
          if (round >= 0) found[u]![i]!.samples.push(sample);
          else found[u]![i]!.counted = sample.result.profile ?? null;
          onRun?.({ done: ++done, total, test: unit.tests[i]!.name });
        });
      }
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  return found;
}

/** The context that a unit needs for all its sessions together. */
function checkUnit({ tests, context, sessions }: Unit, most: number): number {
  const wanted = sessions === 1 ? context : sessions * wholePages(context);
  if (wanted <= most) return wanted;
  throw new KexaError(
    'KEXA_INVALID_ARGUMENT',
    `${tests.at(-1)!.name}: wanted a context of ${wanted} tokens, found a model of at most ${most}`,
  );
}

/** @throws KexaError KEXA_NO_DEVICE, KEXA_OUT_OF_MEMORY */
async function measureRates(options: LoadOptions & { contextSize: number }): Promise<Partial<DeviceRates>> {
  // The first of several devices is measured: in decoding devices work one after the other.
  const { info: _, ...gpu } = (await chooseDevices(options.device))[0]!;
  return await computing().rates({ ...checkPlanOptions(options, options.contextSize), ...gpu, isChecked: false });
}
