/** The results of a benchmark as people and programs read them. */
import type { BenchResult } from '../bench/benchmark.js';
import { bytesText, countText } from './figures.js';

export type BenchFormat = 'md' | 'csv' | 'json' | 'jsonl';
export const benchFormats: readonly BenchFormat[] = ['md', 'csv', 'json', 'jsonl'];

/** All results in one format, ending in a newline. */
export function benchText(results: readonly BenchResult[], format: BenchFormat): string {
  if (format === 'json') return `${JSON.stringify(results, null, 2)}\n`;
  if (format === 'jsonl') return results.map((result) => `${JSON.stringify(result)}\n`).join('');
  return format === 'csv' ? csv(results) : markdown(results);
}

function markdown(results: readonly BenchResult[]): string {
  const header = ['model', 'size', 'params', 'backend', 'test', 't/s', 'ms/token', 'GB/s', 'drafts kept'];
  const rows = results.map((result) => [
    result.model_filename,
    bytesText(result.model_size),
    countText(result.model_n_params),
    result.backend,
    result.test,
    `${figure(result.avg_ts)} ± ${figure(result.stddev_ts)}`,
    result.ms_per_token === null ? '' : figure(result.ms_per_token),
    result.gb_per_s === null ? '' : figure(result.gb_per_s),
    result.num_draft_tokens === 0
      ? ''
      : `${(result.draft_acceptance_rate * 100).toFixed(1)} %, ${result.mean_acceptance_length.toFixed(2)} tokens a step`,
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const isRight = (i: number) => i === 5 || i === 6 || i === 7;
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (isRight(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |\n`;
  const rule = widths.map((width, i) => (isRight(i) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  return [line(header), line(rule), ...rows.map(line)].join('');
}

function csv(results: readonly BenchResult[]): string {
  const flat = results.map(({ bytes_per_token: bytes, ...result }) => ({
    ...result,
    attention_bytes_per_token: bytes?.attention,
    experts_bytes_per_token: bytes?.experts,
    head_bytes_per_token: bytes?.head,
    kv_bytes_per_token: bytes?.kv,
    bytes_per_token: bytes?.total,
  }));
  const [first] = flat;
  if (first === undefined) return '';
  const cell = (value: unknown) => {
    const text = Array.isArray(value) ? value.join(' ') : String(value ?? '');
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const line = (values: readonly unknown[]) => `${values.map(cell).join(',')}\n`;
  return [line(Object.keys(first)), ...flat.map((result) => line(Object.values(result)))].join('');
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(1) : value.toFixed(2);
}
