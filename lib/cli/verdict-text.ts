import { estimateAt, reachedShare, usableShare, type Verdict, verdictCaches } from '../verdict.js';
import { bytesText, groupedText } from './figures.js';
import { table } from './output.js';

/** The verdicts as a table, and what they rest on. */
export function verdictText(verdicts: readonly Verdict[]): string {
  const heads = ['machine', 'weights', '', ...verdictCaches.map((type) => `context, ${type}`), 'tok/s *', 'layers'];
  const rows = [...verdicts]
    .sort((a, b) => verdicts.findIndex(isOf(a)) - verdicts.findIndex(isOf(b)))
    .map(({ machine, recipe, weightBytes, longestContext, tokensPerSecond, layers }) => [
      machine.name,
      recipe,
      bytesText(weightBytes),
      ...verdictCaches.map((type) => (longestContext[type] > 0 ? groupedText(longestContext[type]) : '-')),
      tokensPerSecond === null ? '-' : tokensPerSecond.toPrecision(2),
      tokensPerSecond === null ? 'does not fit' : layersText(layers),
    ]);
  return `${table([heads, ...rows], [2, 3, 4, 5, 6])}
context: the longest that fits, in tokens, by type of cache; ${percent(usableShare)} of the memory is planned with
layers:  of each card, filled one after the other: their counts are for --split, with --device gpu:0,gpu:1 and so on;
         without --split each card is filled alike
* an estimate, not a measurement: ${reachedShare} x bandwidth / bytes that a token reads (at position ${groupedText(estimateAt)}, f16 cache,
  no drafts); cards work one after the other. ${bandwidthText(verdicts)}
`;
}

/** Rows of one machine stand together. */
function isOf({ machine }: Verdict): (other: Verdict) => boolean {
  return (other) => other.machine.name === machine.name;
}

function layersText(layers: Verdict['layers']): string {
  if (layers.length === 1) return 'all';
  return layers.map((card) => (card === null ? 'none' : card.join('-'))).join(' | ');
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function bandwidthText(verdicts: readonly Verdict[]): string {
  const bandwidths = new Map<number, string[]>();
  for (const { machine } of verdicts) {
    const size = machine.kind === 'cpu' ? machine.name : `${Math.round(machine.bytes / 2 ** 30)} GB card`;
    const names = bandwidths.get(machine.bandwidth) ?? [];
    if (!names.includes(size)) bandwidths.set(machine.bandwidth, [...names, size]);
  }
  const parts = [...bandwidths].map(([bandwidth, names]) => `${names.join(' and ')} ${bandwidth / 1e9} GB/s`);
  return `Bandwidths: ${parts.join('; ')}`;
}
