import { availableParallelism } from 'node:os';
import { runAgainst } from '../../bench/against/against.js';
import { findPeer, type PeerName } from '../../bench/against/peer.js';
import { defined } from '../../options.js';
import { againstText } from '../against-output.js';
import { exitCodes, UsageError } from '../exit.js';
import { Interrupt } from '../interrupt.js';
import { writeAnswer } from '../output.js';
import { ProgressBar } from '../progress-bar.js';
import type { BenchFlags } from './bench-flags.js';

/** `kexa bench --against`. */
export async function benchAgainst(path: string, name: PeerName, flags: BenchFlags): Promise<number> {
  const { nPrompt = [512], nGen = [128], output = 'md', repetitions = 5, threads = [availableParallelism()] } = flags;
  const ofModel = ['config', 'file', 'ctxSize', 'cacheType', 'weights'] as const;
  const ofTests = [
    'pg',
    'nDepth',
    'mtp',
    'ctxMax',
    'ctxStart',
    'step',
    'suite',
    'concurrency',
    'arrival',
    'seed',
  ] as const;
  for (const flag of [...ofModel, ...ofTests, 'outputErr', 'report', 'ops'] as const)
    if (flags[flag] !== undefined)
      throw new UsageError(`--against takes -p, -n, -r, -t, -b, --parallel, --activations and -o, not ${flag}`);
  const { parallel = [1] } = flags;
  if (parallel.length > 1) throw new UsageError('--parallel: with --against one number');
  if (flags.device !== undefined && flags.device !== 'cpu') throw new UsageError('--against is for --device cpu');
  if (output !== 'md' && output !== 'json') throw new UsageError('--against: the output is md or json');
  const [prompts, generated] = [nPrompt, nGen].map((counts) => counts.filter((count) => count > 0)) as [
    number[],
    number[],
  ];
  if (prompts.length + generated.length === 0) throw new UsageError('no test: -p and -n are both 0');
  const peer = findPeer(name);
  using interrupt = new Interrupt();
  using bar = new ProgressBar('benchmark');
  const report = await runAgainst(path, {
    peer,
    prompts,
    generated,
    threads,
    parallel: parallel[0]!,
    repetitions,
    signal: interrupt.signal,
    onRun: ({ done, total, test }) => bar.showPart(done / total, `${total} rounds, ${test}`),
    ...defined({ batchSize: flags.batchSize, activations: flags.activations }),
  });
  bar[Symbol.dispose]();
  await writeAnswer(output === 'json' ? `${JSON.stringify(report, null, 2)}\n` : againstText(report));
  return exitCodes.ok;
}
