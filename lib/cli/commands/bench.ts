import type { Command } from 'commander';
import { combineTests } from '../../bench/tests.js';
import { countList, countPair, draftList } from '../bench-lists.js';
import { type BenchFormat, benchFormats, benchText } from '../bench-output.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { readPrompt } from '../input.js';
import { Interrupt } from '../interrupt.js';
import { integer } from '../numbers.js';
import { add, addLoadOptions, defined, type LoadFlags, nameFlag, toLoadOptions } from '../options.js';
import { writeAnswer, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { addSyntheticOptions, benchedModel } from '../synthetic-flags.js';
import { addBenchCompare } from './bench-compare.js';
import { addBenchOps } from './bench-ops.js';

interface BenchFlags extends LoadFlags {
  config?: string;
  layers?: number;
  nPrompt?: number[];
  nGen?: number[];
  pg?: [number, number][];
  nDepth?: number[];
  mtp?: (false | 'auto' | number)[];
  repetitions?: number;
  warmup: boolean;
  file?: string;
  output?: BenchFormat;
  outputErr?: BenchFormat;
}

const examples = `
Examples:
  kexa bench -m models/tiny
  kexa bench -m models/tiny -p 0 -n 64 --mtp off,auto,2 -r 10
  kexa bench -m models/tiny -p 128 -n 32 -d 0-2048+512 -o csv >context.csv
  kexa bench --config models/K-EXAONE-236B-A23B --layers 4 --weights q2

Tests and fields are named as llama-bench names them: pp512 reads a prompt of 512 tokens, tg128 generates 128 tokens,
pg512,128 does both, "@ d4096" with 4096 tokens in the context before. Lists take commas, ranges (0-4096+1024, 1-64*2)
and repeating. The tests take turns, one run each, so that other work on the machine meets all alike. Prompts are a
text that comes with kexa, over and over, or that of --file. Choosing a token is part of generating it; tokenising,
loading and filling the context before are not timed. Ctrl-C ends with what is complete.
With --config the weights are made up on the device, and nothing is downloaded: times are a real model's, the text means
nothing.`;

/** `kexa bench`: how fast a model is here. */
export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('measure how fast a model is on this device')
    .usage('-m DIR [options]')
    .description('Measures how fast a model reads prompts and generates on this device.')
    .addHelpText('after', examples)
    // Flags after the name of a command below belong to that one, though this one has them too.
    .enablePositionalOptions();
  const tests = 'Tests:';
  const list = (flags: string, description: string) =>
    command.addOption(command.createOption(flags, description).helpGroup(tests).argParser(countList));
  list('-p, --n-prompt <n>', 'tokens of a prompt; 0 is none (default: 512)');
  list('-n, --n-gen <n>', 'tokens to generate; 0 is none (default: 128)');
  command.addOption(
    command
      .createOption('--pg <p,n>', 'a prompt of p tokens and n tokens after it; may be given again')
      .helpGroup(tests)
      .argParser(countPair),
  );
  list('-d, --n-depth <n>', 'tokens in the context before (default: 0)');
  command.addOption(
    command
      .createOption('--mtp <n>', 'drafts a step of tests that generate: off, auto or 1 to 8 (default: off)')
      .helpGroup(tests)
      .argParser(draftList),
  );
  add(command, tests, '-r, --repetitions <n>', 'runs of each test (default: 5)', { parse: integer(1, 1000) });
  add(command, tests, '--no-warmup', 'do not run each test once before');
  add(command, tests, '-f, --file <file>', 'text for prompts and contexts, repeated as often as need be');
  addSyntheticOptions(command, tests);
  const output = 'Output:';
  add(command, output, '-o, --output <format>', 'md, csv, json or jsonl (default: md)', { choices: benchFormats });
  add(command, output, '--output-err <format>', 'the same, on stderr as well', { choices: benchFormats });
  addLoadOptions(command);
  command.action(exitWith(bench));
  addBenchCompare(command);
  addBenchOps(command);
}

async function bench(flags: BenchFlags, command: Command): Promise<number> {
  const { path, synthetic } = benchedModel(flags, command);
  const tests = combineTests({
    // Asked for pairs alone, nobody wants the others.
    prompts: flags.nPrompt ?? (flags.pg === undefined ? [512] : []),
    generated: flags.nGen ?? (flags.pg === undefined ? [128] : []),
    pairs: flags.pg ?? [],
    depths: flags.nDepth ?? [0],
    mtp: flags.mtp ?? [false],
  });
  if (tests.length === 0) throw new UsageError('no test: -p and -n are both 0');
  if (flags.ctxSize !== undefined)
    throw new UsageError('-c, --ctx-size: the context is as long as the longest test needs; leave it out');
  const text = flags.file === undefined ? undefined : await readPrompt({ file: flags.file });
  const { benchmark } = await import('../../index.js');
  using interrupt = new Interrupt();
  using bar = new ProgressBar('benchmark');
  const results = await benchmark(path, {
    ...toLoadOptions(flags),
    ...defined({ repetitions: flags.repetitions, text }),
    tests,
    ...(synthetic !== null && { synthetic }),
    warmUp: flags.warmup,
    signal: interrupt.signal,
    onRun: ({ done, total, test }) => bar.showPart(done / total, `${total} runs, ${test}`),
  }).catch((error: unknown) => {
    throw nameFlag(error);
  });
  bar[Symbol.dispose]();
  if (flags.outputErr !== undefined) writeNote(benchText(results, flags.outputErr));
  await writeAnswer(benchText(results, flags.output ?? 'md'));
  if (interrupt.exitCode !== null) writeNote('interrupted: these are the runs that were complete\n');
  return interrupt.exitCode ?? exitCodes.ok;
}
