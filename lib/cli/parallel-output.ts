/** Writes the results of `kexa bench --parallel` for people and programs. */
import type { ParallelResult } from '../bench/parallel.js';
import { isNoisy } from '../bench/statistics.js';
import { type BenchFormat, csvText, markdownTable } from './bench-output.js';
import { noiseText, spreadText } from './figures.js';

const titles = [
  ...['test', 't/s', 't/s a stream', 'gap, ms (p50)', 'gap (p99)', 'first token, ms (p50)', 'first token (p99)'],
  'requests',
];

/** All results in one format, ending in a newline. */
export function parallelText(results: readonly ParallelResult[], format: BenchFormat): string {
  if (format === 'json') return `${JSON.stringify(results, null, 2)}\n`;
  if (format === 'jsonl') return results.map((result) => `${JSON.stringify(result)}\n`).join('');
  if (format === 'csv') return csvText(results);
  const [first] = results;
  if (first === undefined) return '';
  const { model_filename: model, backend, arrival_rate: rate } = first;
  const arrival = rate === null ? 'each stream makes its next request at once' : `${rate} requests a second come in`;
  const noisy = results.filter(({ samples_ts }) => isNoisy(samples_ts)).map(({ test }) => test);
  return `${model}, ${backend}; ${arrival}\n\n${markdownTable(titles, results.map(cells))}${noiseText(noisy)}`;
}

function cells(result: ParallelResult): string[] {
  const { test, avg_ts: mean, stddev_ts: deviation, samples_ts: runs, n_requests: requests } = result;
  const figure = (value: number | null) => (value === null ? '' : value.toFixed(value < 100 ? 2 : 1));
  return [
    test,
    spreadText(figure(mean), figure(deviation), runs.length),
    ...[result.stream_ts, result.gap_ms_p50, result.gap_ms_p99].map(figure),
    ...[result.first_token_ms_p50, result.first_token_ms_p99].map(figure),
    String(requests),
  ];
}
