import { usableShare } from '../plan/memory-plan.js';
import { contextBesideExperts, estimateAt, reachedShare, type Verdict, verdictCaches } from '../plan/verdict.js';
import { bytesText, groupedText } from './figures.js';
import { table } from './output.js';

/** Writes the verdicts as a table, with their assumptions. */
export function verdictText(verdicts: readonly Verdict[]): string {
  const heads = ['machine', 'weights', '', ...verdictCaches.map((type) => `context, ${type}`), 'tok/s *', 'layers'];
  const names = new Set(verdicts.map(({ machine }) => machine.name));
  const rows = [...names].flatMap((name) => machineRows(verdicts.filter(({ machine }) => machine.name === name)));
  return `${table([heads, ...rows], [2, 3, 4, 5, 6])}
context: the longest that fits, in tokens, by type of cache. Planned with are
         ${percent(usableShare.gpu)} of a card's memory, ${percent(usableShare.cpu)} of main memory
layers:  how many each card takes, as loading divides them; --split takes these counts
experts: a card too small for all of each layer's routed experts holds some of them
         (--gpu-memory), here beside a context of ${groupedText(contextBesideExperts)}; all are in main memory
* an estimate, not a measurement: ${reachedShare} x bandwidth / bytes that a token reads, at
  position ${groupedText(estimateAt)} of an f16 cache, without drafts; cards work one after the other.
  With experts in main memory it depends on which ones are chosen.
${bandwidthText(verdicts)}`;
}

/** A machine's rows: one for each kind of weights that fits, and one for all kinds that do not. */
function machineRows(verdicts: readonly Verdict[]): string[][] {
  const fitting = verdicts.filter(({ layers }) => layers.length > 0);
  const others = verdicts.filter(({ layers }) => layers.length === 0).map(({ weights }) => weights);
  const rows = fitting.map((verdict) => [
    verdict.machine.name,
    verdict.weights,
    bytesText(verdict.weightBytes),
    ...verdictCaches.map((type) =>
      verdict.longestContext[type] > 0 ? groupedText(verdict.longestContext[type]) : '-',
    ),
    verdict.tokensPerSecond === null ? '-' : String(Number(verdict.tokensPerSecond.toPrecision(2))),
    layersText(verdict),
  ]);
  const none = [verdicts[0]!.machine.name, '-', '', '', '', '', '', `too small for ${others.join(', ')}`];
  return others.length > 0 ? [...rows, none] : rows;
}

function layersText({ layers, experts, longestContext }: Verdict): string {
  if (experts === null) return layers.length === 1 ? 'all' : layers.join(',');
  const beside = longestContext.f16 > 0 ? '' : ' (cache in q8 or q4)';
  return `${experts.slots} experts of each layer${beside}, ${bytesText(experts.host)} of main memory`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** The assumed bandwidths of the machines, a line for each bandwidth. */
function bandwidthText(verdicts: readonly Verdict[]): string {
  const bandwidths = new Map<number, Set<string>>();
  for (const { machine } of verdicts) {
    if (machine.bandwidth === null) continue;
    const name = machine.kind === 'cpu' ? machine.name : `${Math.round(machine.bytes / 2 ** 30)} GB card`;
    bandwidths.set(machine.bandwidth, (bandwidths.get(machine.bandwidth) ?? new Set()).add(name));
  }
  return [...bandwidths].map(([bandwidth, names]) => `  ${bandwidth / 1e9} GB/s: ${[...names].join('; ')}\n`).join('');
}
