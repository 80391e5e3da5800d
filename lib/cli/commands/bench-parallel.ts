import type { Command } from 'commander';
import { benchmarkParallel } from '../../bench/parallel.js';
import { defined } from '../../options.js';
import { arrivalRate, sessionList } from '../bench-lists.js';
import { exitCodes, UsageError } from '../exit.js';
import { readPrompt } from '../input.js';
import { Interrupt } from '../interrupt.js';
import { integer } from '../numbers.js';
import { add, toLoadOptions } from '../options.js';
import { writeAnswer, writeNote } from '../output.js';
import { parallelText } from '../parallel-output.js';
import { ProgressBar } from '../progress-bar.js';
import type { BenchFlags } from './bench-flags.js';

/** `--parallel`, `--arrival` and `--seed`. */
export function addParallelOptions(command: Command, group: string): void {
  const list = command.createOption('--parallel <n>', 'streams of requests at once: 1 to 64, or several with commas');
  command.addOption(list.helpGroup(group).argParser(sessionList));
  add(command, group, '--arrival <poisson:r>', 'with --parallel: r requests a second come in at random times', {
    parse: arrivalRate,
  });
  add(command, group, '--seed <n>', 'with --parallel: same seed, same prompts and arrivals (default: 1)', {
    parse: integer(0, 2 ** 32 - 1),
  });
}

/** `kexa bench --parallel`. */
export async function benchParallel(
  path: string,
  flags: BenchFlags & { parallel: number[] },
  synthetic: { layers?: number } | null,
): Promise<number> {
  const { nPrompt = [128], nGen = [64], mtp = [false], threads = [], output = 'md', ...loadFlags } = flags;
  const others = ['pg', 'nDepth', 'ctxMax', 'ctxStart', 'step', 'suite', 'concurrency', 'ctxSize'] as const;
  for (const flag of [...others, 'outputErr', 'report', 'ops'] as const)
    if (flags[flag] !== undefined)
      throw new UsageError(`--parallel takes -p, -n, --mtp, -r, -f, --arrival, --seed and -o, not ${flag}`);
  const one = (name: string, values: readonly number[]) => {
    if (values.length === 1 && values[0]! > 0) return values[0]!;
    throw new UsageError(`${name}: with --parallel one number from 1 on`);
  };
  if (mtp.length > 1) throw new UsageError('--mtp: with --parallel one setting');
  if (threads.length > 1) throw new UsageError('-t, --threads: several numbers of threads are for --against');
  const [prompt, generated] = [one('-p', nPrompt), one('-n', nGen)];
  const text = flags.file === undefined ? undefined : await readPrompt({ file: flags.file });
  using interrupt = new Interrupt();
  using bar = new ProgressBar('benchmark');
  const results = await benchmarkParallel(path, {
    ...{ streams: flags.parallel, prompt, generated, mtp: mtp[0]!, synthetic },
    repetitions: flags.repetitions ?? 5,
    arrivalRate: flags.arrival ?? null,
    seed: flags.seed ?? 1,
    warmUp: flags.warmup,
    load: toLoadOptions({ ...loadFlags, ...defined({ threads: threads[0] }) }),
    signal: interrupt.signal,
    onRun: ({ done, total, test }) => bar.showPart(done / total, `${total} runs, ${test}`),
    ...defined({ text }),
  });
  bar[Symbol.dispose]();
  await writeAnswer(parallelText(results, output));
  if (interrupt.exitCode !== null) writeNote('interrupted: these are the runs that were complete\n');
  return interrupt.exitCode ?? exitCodes.ok;
}
