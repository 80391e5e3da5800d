import { join } from 'node:path';
import type { Command } from 'commander';
import { peerNames } from '../../bench/against/peer.js';
import type { BenchOptions } from '../../bench/benchmark.js';
import { memoryOverContext } from '../../bench/memory.js';
import { openReport, readOps, writeReport } from '../../bench/report.js';
import { readSuite, suiteNames } from '../../bench/suite.js';
import { combineTests } from '../../bench/tests.js';
import { limits } from '../../limits.js';
import { defined } from '../../options.js';
import { countList, countPair, draftList, sessionList, sweepContexts, sweepStep, threadList } from '../bench-lists.js';
import { benchFormats, benchText } from '../bench-output.js';
import { exitCodes, exitWith, UsageError } from '../exit.js';
import { wrapHelp } from '../help-text.js';
import { readPrompt } from '../input.js';
import { Interrupt } from '../interrupt.js';
import { integer } from '../numbers.js';
import { add, addLoadOptions, toLoadOptions } from '../options.js';
import { writeAnswer, writeNote } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import { addSyntheticOptions, benchedModel } from '../synthetic-flags.js';
import { benchAgainst } from './bench-against.js';
import { addBenchCompare } from './bench-compare.js';
import type { BenchFlags } from './bench-flags.js';
import { addBenchOps } from './bench-ops.js';
import { addParallelOptions, benchParallel } from './bench-parallel.js';

const examples = `
Examples:
  kexa bench -m models/tiny
  kexa bench -m models/tiny -p 0 -n 64 --mtp off,auto,2 -r 10
  kexa bench -m models/tiny -p 128 -n 32 -d 0-2048+512 -o csv >context.csv
  kexa bench --config models/K-EXAONE-236B-A23B --layers 4 --weights q2
  kexa bench -m models/tiny --ctx-start 256 --ctx-max 4000 --step '*2' --report out
  kexa bench -m models/tiny --suite chat --suite code --mtp off,auto
  kexa bench -m models/tiny -p 0 -n 64 --concurrency 1,2,4
  kexa bench -m models/tiny --parallel 1,2,4,8 -p 64 -n 32 --arrival poisson:2
  kexa bench -m model.gguf --against node-llama-cpp -t 1,2 -p 256 -n 64
  kexa bench -m model.gguf --against node-llama-cpp --parallel 8 -p 64 -n 64

Tests and fields are named as llama-bench names them: pp512 reads a prompt of 512 tokens, tg128 generates 128 tokens,
pg512,128 does both, "@ d4096" with 4096 tokens in the context before. Lists take commas, ranges (0-4096+1024, 1-64*2)
and repeating. The tests take turns, one run each, so that other work on the machine meets all alike. Prompts are a
text that comes with kexa, over and over, or that of --file. Choosing a token is part of generating it; tokenising,
loading and filling the context before are not timed. Ctrl-C ends with what is complete.

A sweep (--ctx-max) reads one text on and on: at each context only its newest part is read, and -n tokens are generated.
A suite answers real prompts, with and without drafts; ${suiteNames.join(', ')} come with kexa.
With --concurrency each test is done by that many sessions at once, timed by the clock together; they share one device,
which takes turns.

With --parallel each number of streams is a test of its own, in place of others: a stream makes one request after another, of -p
tokens (default: 128) and -n (default: 64). It tells tokens a second, of all and of one stream, and the median and the 99th
percentile of the gaps between tokens and of the time to the first token. With --arrival requests come in at random, and
wait for a free stream.

With --config the weights are made up on the device, and nothing is downloaded: times are a real model's, the text means
nothing.

--against runs kexa and another engine in turns on one GGUF file, on the CPU, each in a process of its own, and tells
the ratio of their rates, the time to the first token with and without the file in memory, and whether they agree. With
--parallel 8 each test is done by 8 sequences at once.`;

/** `kexa bench`: how fast a model is here. */
export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('measure how fast a model is on this device')
    .usage('-m DIR [options]')
    .description('Measures how fast a model reads prompts and generates on this device.')
    .addHelpText('after', () => wrapHelp(examples))
    // Flags after the name of a command below `bench` belong to that command, though `bench` has them too.
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
      .createOption(
        '--mtp <n>',
        `drafts a step of tests that generate: off, auto or 1 to ${limits.drafts} (default: off)`,
      )
      .helpGroup(tests)
      .argParser(draftList),
  );
  add(command, tests, '--ctx-max <n>', 'a sweep of contexts up to n, in place of other tests', {
    parse: integer(1, 2 ** 20),
  });
  add(command, tests, '--ctx-start <n>', "the sweep's first context (default: 512)", { parse: integer(1, 2 ** 20) });
  command.addOption(
    command
      .createOption('--step <n>', 'from context to context: n more tokens, or *n times as many (default: *2)')
      .helpGroup(tests)
      .argParser(sweepStep),
  );
  command.addOption(
    command
      .createOption(
        '--suite <name>',
        `prompts of ${suiteNames.join(', ')} or a file, in place of other tests; may be given again`,
      )
      .helpGroup(tests)
      .argParser((name: string, before: string[] | undefined) => [...(before ?? []), name]),
  );
  command.addOption(
    command
      .createOption('--concurrency <n>', 'sessions at once: 1 to 64, or several with commas')
      .helpGroup(tests)
      .argParser(sessionList),
  );
  addParallelOptions(command, tests);
  add(command, tests, '-r, --repetitions <n>', 'runs of each test (default: 5; of a sweep 1)', {
    parse: integer(1, 1000),
  });
  add(command, tests, '--no-warmup', 'do not run each test once before');
  add(command, tests, '-f, --file <file>', 'text for prompts and contexts, repeated as often as need be');
  addSyntheticOptions(command, tests);
  add(command, tests, '--against <engine>', 'compare with another engine: node-llama-cpp', { choices: peerNames });
  const output = 'Output:';
  add(command, output, '-o, --output <format>', 'md, csv, json or jsonl (default: md)', { choices: benchFormats });
  add(command, output, '--output-err <format>', 'the same, on stderr as well', { choices: benchFormats });
  add(command, output, '--report <folder>', 'also write a page with plots, index.html, and what it shows');
  add(command, output, '--ops <file>', 'ops for the plots, as kexa bench ops -o json writes them');
  addLoadOptions(command, { threads: threadList, without: ['contextSize'] });
  // The flag is accepted here so that it can be refused with a reason.
  command.addOption(command.createOption('-c, --ctx-size <n>').hideHelp());
  command.action(exitWith(bench));
  addBenchCompare(command);
  addBenchOps(command);
}

async function bench(flags: BenchFlags, command: Command): Promise<number> {
  const { path, synthetic } = benchedModel(flags, command);
  const needless = (['arrival', 'seed'] as const).find((flag) => flags[flag] !== undefined);
  if (needless !== undefined && flags.parallel === undefined)
    throw new UsageError(`--${needless}: for --parallel only`);
  if (flags.against !== undefined) return await benchAgainst(path, flags.against, flags);
  if (flags.parallel !== undefined) return await benchParallel(path, { ...flags, parallel: flags.parallel }, synthetic);
  const { threads = [], ...loadFlags } = flags;
  if (threads.length > 1) throw new UsageError('-t, --threads: several numbers of threads are for --against');
  const wanted = await wantedTests(flags);
  if (flags.ops !== undefined && flags.report === undefined) throw new UsageError('--ops: for a --report only');
  const ops = flags.ops === undefined ? [] : await readOps(flags.ops);
  if (flags.ctxSize !== undefined)
    throw new UsageError('-c, --ctx-size: the context is as long as the longest test needs; leave it out');
  if (flags.report !== undefined) await openReport(flags.report);
  const text = flags.file === undefined ? undefined : await readPrompt({ file: flags.file });
  const { benchmark } = await import('../../index.js');
  using interrupt = new Interrupt();
  using bar = new ProgressBar('benchmark');
  const loadOptions = toLoadOptions({ ...loadFlags, ...defined({ threads: threads[0] }) });
  const results = await benchmark(path, {
    ...loadOptions,
    ...defined({ repetitions: flags.repetitions ?? (wanted.sweeps === undefined ? undefined : 1), text }),
    ...wanted,
    ...(synthetic !== null && { synthetic }),
    warmUp: flags.warmup,
    signal: interrupt.signal,
    onRun: ({ done, total, test }) => bar.showPart(done / total, `${total} runs, ${test}`),
  });
  bar[Symbol.dispose]();
  if (flags.outputErr !== undefined) writeNote(benchText(results, flags.outputErr));
  await writeAnswer(benchText(results, flags.output ?? 'md'));
  if (flags.report !== undefined) {
    const memory = await memoryOverContext(path, loadOptions);
    await writeReport(flags.report, { results, ops, memory });
    writeNote(`report: ${join(flags.report, 'index.html')}\n`);
  }
  if (interrupt.exitCode !== null) writeNote('interrupted: these are the runs that were complete\n');
  return interrupt.exitCode ?? exitCodes.ok;
}

/** The tests, the sweep or the suites that the flags ask for. @throws UsageError if they ask for several */
async function wantedTests(flags: BenchFlags): Promise<Pick<BenchOptions, 'tests' | 'sweeps' | 'prompts' | 'mtp'>> {
  const { ctxMax, ctxStart, step, suite, concurrency, nPrompt, nGen, pg, nDepth, mtp } = flags;
  const refuse = (what: string, others: Record<string, unknown>) => {
    const given = Object.entries(others).find(([, value]) => value !== undefined);
    if (given !== undefined) throw new UsageError(`${given[0]}: not together with ${what}`);
  };
  if (suite !== undefined) {
    const numbers = { '--ctx-max': ctxMax, '--ctx-start': ctxStart, '--step': step, '-p': nPrompt, '-n': nGen };
    refuse('--suite', { ...numbers, '--pg': pg, '-d': nDepth, '--concurrency': concurrency });
    const prompts = (await Promise.all(suite.map(readSuite))).flat();
    return { prompts, ...defined({ mtp }) };
  }
  if (ctxMax !== undefined) {
    refuse('--ctx-max', { '-p': nPrompt, '--pg': pg, '-d': nDepth, '--concurrency': concurrency });
    if (nGen !== undefined && nGen.length > 1) throw new UsageError('-n: with --ctx-max one number of tokens');
    const first = Math.min(ctxStart ?? 512, ctxMax);
    if (ctxStart !== undefined && ctxStart > ctxMax) throw new UsageError('--ctx-start: larger than --ctx-max');
    const generated = nGen?.[0] ?? 32;
    // A context is left out if it is too near the last one to generate in between.
    const contexts = sweepContexts(first, ctxMax, step ?? { operator: '*', by: 2 }).filter(
      (context) => context === ctxMax || context + generated < ctxMax,
    );
    return { sweeps: (mtp ?? [false as const]).map((drafts) => ({ contexts, generated, mtp: drafts })) };
  }
  refuse('tests other than a sweep (--ctx-max)', { '--ctx-start': ctxStart, '--step': step });
  const tests = combineTests({
    // If only pairs are asked for, there are no default prompts.
    prompts: nPrompt ?? (pg === undefined ? [512] : []),
    generated: nGen ?? (pg === undefined ? [128] : []),
    pairs: pg ?? [],
    depths: nDepth ?? [0],
    mtp: mtp ?? [false],
    ...defined({ sessions: concurrency }),
  });
  if (tests.length === 0) throw new UsageError('no test: -p and -n are both 0');
  return { tests };
}
