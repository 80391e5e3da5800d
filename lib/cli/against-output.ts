/** Writes a comparison of engines for people: tables of Markdown. */
import { type AgainstReport, smallMargin } from '../bench/against/against.js';
import { isNoisy } from '../bench/statistics.js';
import { bytesText, noiseText, spreadText } from './figures.js';

export function againstText(report: AgainstReport): string {
  const { peer, peer_version: version, tests, starts, no_cold_start: problem } = report;
  const rate = (mean: number, deviation: number, { length }: readonly number[]) =>
    spreadText(mean.toFixed(1), deviation.toFixed(1), length);
  const range = (pair: [number, number] | null) =>
    pair === null ? '' : `${pair[0].toFixed(2)} to ${pair[1].toFixed(2)}`;
  const rates = table(
    ['test', 'threads', 'kexa t/s', `${peer} t/s`, 'ratio', '95 %', 'pairs'],
    tests.map(({ test, threads, samples_ts: runs, avg_ts: mean, stddev_ts: deviation, ratio, interval, spread }) => [
      test,
      String(threads),
      rate(mean.kexa, deviation.kexa, runs.kexa),
      rate(mean.peer, deviation.peer, runs.peer),
      ratio.toFixed(2),
      range(interval),
      range(spread),
    ]),
  );
  const memory = table(
    ['start', 'threads', 'engine', 'to the first token', 'peak memory', 'after the runs'],
    starts.map(({ engine, threads, isCold, first_token_ms: ms, peak_bytes: peak, peak_bytes_after_runs: after }) => [
      isCold ? 'cold' : 'warm',
      String(threads),
      engine,
      `${(ms / 1000).toFixed(2)} s`,
      bytesText(peak),
      after === null ? '' : bytesText(after),
    ]),
  );
  const noisy = tests.filter(({ samples_ts: runs }) => isNoisy(runs.kexa) || isNoisy(runs.peer));
  const noise = noiseText(noisy.map(({ test, threads }) => `${test} with ${threads} threads`));
  return [
    `${report.model_filename}, kexa (activations ${report.activations}) and ${peer} ${version}, on the CPU\n`,
    rates,
    ...(noise === '' ? [] : [noise]),
    memory,
    ...(problem === null ? [] : [`No start was cold: ${problem}.\n`]),
    `${agreementText(report)}\n`,
  ].join('\n');
}

function agreementText({ text }: AgainstReport): string {
  const { compared, same, margin_at_difference: margin, first_small_margin: small, agrees } = text;
  if (same === compared) return `Greedy text: all ${compared} tokens are the same.`;
  const lead = margin === null ? '' : `, where kexa's led by ${margin.toFixed(3)} in log-probability`;
  const where = small === null ? 'no margin is that small' : `the first is that of token ${small}`;
  return (
    `Greedy text: the first ${same} of ${compared} tokens are the same${lead}. ` +
    `Of margins below ${smallMargin} ${where}: they ${agrees ? 'agree up to there' : 'DISAGREE'}.`
  );
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('');
}
