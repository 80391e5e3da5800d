import { type Command, InvalidArgumentError } from 'commander';
import { type OpName, opNames } from '../../device/ops.js';
import { defined } from '../../options.js';
import { gpuElements, gpuKernels } from '../../plan/option-values.js';
import { countList } from '../bench-lists.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { Interrupt } from '../interrupt.js';
import { integer } from '../numbers.js';
import { type OpsFormat, opsFormats, opsText } from '../ops-output.js';
import { add, addLoadOption, addModelOptions, type ModelFlags, toLoadOptions } from '../options.js';
import { writeAnswer, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { addSyntheticOptions, benchedModel } from '../synthetic-flags.js';

interface OpsFlags extends ModelFlags {
  device?: string;
  config?: string;
  layers?: number;
  rows?: number[];
  nDepth?: number;
  ops?: OpName[];
  elements?: 'f32' | 'f16';
  variant?: 'plain' | 'subgroups' | 'matrices';
  repetitions?: number;
  time?: number;
  tune?: boolean;
  output?: OpsFormat;
}

const examples = `
Examples:
  kexa bench ops -m models/tiny --rows 1,16
  kexa bench ops --config models/K-EXAONE-236B-A23B --weights q4 --device gpu -o json >ops.json
  kexa bench ops --config models/K-EXAONE-236B-A23B --device gpu --tune

Each op of a step is called by itself, layers taking turns, and held against its floor: the bytes it must move at the
device's measured copy bandwidth, or its operations at the measured rate, whichever takes longer. "step" is a whole step
by the clock, "unaccounted" what of it the ops leave over; calls are those in a step. --tune keeps, for this GPU and
driver, which way of writing its kernels was faster for each op; models are loaded with that from then on.`;

/** `kexa bench ops`: a device's ops by themselves. */
export function addBenchOps(bench: Command): void {
  const command = bench
    .command('ops')
    .summary('measure each op of the device by itself')
    .usage('(-m DIR | --config FILE) [options]')
    .description('Measures each op of the device by itself, against what the device can do.')
    .addHelpText('after', () => wrapHelp(examples))
    .helpOption('-h, --help', 'show this help');
  const tests = 'Tests:';
  command.addOption(
    command
      .createOption('--rows <n>', 'rows of a step (default: 1,2,4,8,16,512)')
      .helpGroup(tests)
      .argParser(countList),
  );
  add(command, tests, '-d, --n-depth <n>', 'tokens in the context before (default: 512)', {
    parse: integer(0, 2 ** 20),
  });
  add(command, tests, '--ops <names>', 'only these ops, with commas', { parse: opList });
  add(command, tests, '--elements <type>', 'of activations between ops: f32 or f16 (default: all the GPU has)', {
    choices: gpuElements,
  });
  add(command, tests, '--variant <name>', 'plain, subgroups or matrices (default: all the GPU has)', {
    choices: gpuKernels.filter((kernels) => kernels !== 'auto'),
  });
  add(command, tests, '-r, --repetitions <n>', 'runs of each op (default: 5)', { parse: integer(1, 1000) });
  add(command, tests, '--time <ms>', 'how long a run calls an op again and again (default: 20)', {
    parse: integer(0, 60_000),
  });
  add(command, tests, '--tune', 'keep the faster kernels of each op for this GPU');
  addSyntheticOptions(command, tests);
  add(command, 'Output:', '-o, --output <format>', 'md, csv or json (default: md)', { choices: opsFormats });
  addModelOptions(command);
  addLoadOption(command, 'device', { help: "auto, cpu, gpu, or part of a device's name (default: auto)" });
  for (const name of ['cacheType', 'weights', 'activations', 'threads'] as const) addLoadOption(command, name);
  command.action(exitWith(benchOps));
}

function opList(text: string): OpName[] {
  return text.split(',').map((name) => {
    const found = opNames.find((op) => op === name);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`It takes ${opNames.join(', ')}.`);
  });
}

async function benchOps(flags: OpsFlags, command: Command): Promise<number> {
  const { path, synthetic } = benchedModel(flags, command);
  if (flags.tune && (flags.elements === 'f16' || flags.variant !== undefined))
    throw new UsageError('--tune compares the ways there are in f32; leave out --elements f16 and --variant');
  const { chooseDevice } = await import('../../device/devices.js');
  const { benchmarkOps } = await import('../../bench/ops.js');
  const { deviceTuning } = await import('../../bench/tune.js');
  const { readTuning, tuningPath, writeTuning } = await import('../../device/tuning.js');
  const tuning = flags.tune ? tuningPath() : null;
  if (flags.tune && tuning === null)
    throw new UsageError('--tune: there is nowhere to keep it (KEXA_TUNING is off, or KEXA_CACHE_DIR empty)');
  if (flags.tune) {
    const { info } = await chooseDevice(flags.device);
    if (info.kind === 'cpu')
      throw new UsageError("--tune: wanted a GPU, for the CPU's ops are written in one way; found the device cpu");
  }
  // The file is read now, so that a broken one is reported before anything is measured.
  if (tuning !== null) await readTuning(tuning);
  using interrupt = new Interrupt();
  using bar = new ProgressBar('ops');
  const { rows, nDepth, ops, elements, variant, repetitions, time } = flags;
  const tuned = flags.tune ? { elements: ['f32'] as const, variants: ['plain', 'subgroups'] as const } : {};
  const report = await benchmarkOps(path, {
    ...toLoadOptions(flags),
    ...defined({ rows, depth: nDepth, ops, repetitions, leastMs: time }),
    ...(elements !== undefined && { elements: [elements] }),
    ...(variant !== undefined && { variants: [variant] }),
    ...tuned,
    ...(synthetic !== null && { synthetic: synthetic.layers === undefined ? true : synthetic }),
    signal: interrupt.signal,
    onOp: ({ done, total, op }) => bar.showPart(done / total, `${total} ops, ${op}`),
  });
  bar[Symbol.dispose]();
  await writeAnswer(opsText(report, flags.output ?? 'md'));
  if (tuning !== null && interrupt.exitCode === null) {
    await writeTuning(tuning, report.tuningKey, deviceTuning(report.results));
    writeNote(`tuning of ${report.tuningKey} kept in ${tuning}\n`);
  }
  if (interrupt.exitCode !== null) writeNote('interrupted: these are the ops of the ways that were complete\n');
  return interrupt.exitCode ?? exitCodes.ok;
}
