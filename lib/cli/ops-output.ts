/** Writes measured ops for people and programs. */
import type { OpBenchReport, OpBenchResult } from '../bench/ops.js';
import { bytesText, spreadText } from './figures.js';

export type OpsFormat = 'md' | 'csv' | 'json';
export const opsFormats: readonly OpsFormat[] = ['md', 'csv', 'json'];

/** The largest working set that may lie in a processor's caches (bytes). */
const cacheBytes = 2 ** 28;

/** All results in one format, ending in a newline. */
export function opsText({ rates, results }: OpBenchReport, format: OpsFormat): string {
  if (format === 'json') return `${JSON.stringify(results, null, 2)}\n`;
  return format === 'csv' ? csv(results) : `${ratesText(rates)}\n${markdown(results)}`;
}

function ratesText({ copy, read, f32, matrices, matrixShape }: OpBenchReport['rates']): string {
  const tera = (rate: number) => `${figure(rate / 1e9)} GFLOP/s`;
  const products = matrices === null ? '' : `, matrices ${matrixShape} ${tera(matrices)}`;
  return `the device itself: copy ${figure(copy / 1e9)} GB/s, read ${figure(read / 1e9)} GB/s, f32 ${tera(f32)}${products}\n`;
}

function markdown(results: readonly OpBenchResult[]): string {
  const header = ['op', 'shape', 'rows', 'elements', 'variant', 'ms', 'GB/s', 'GFLOP/s', 'floor ms', 'of it', 'calls'];
  const rows = results.map((one) => [
    one.op,
    one.shape,
    String(one.rows),
    one.elements,
    one.variant,
    // A deviation of 0 means a single run: several runs never take the same time to the last bit.
    spreadText(milliseconds(one.ms), milliseconds(one.msDeviation), one.msDeviation > 0 ? 2 : 1),
    one.bytes === 0 ? '' : figure(one.gbPerS),
    one.flops === 0 ? '' : figure(one.gflopPerS),
    one.floorMs === 0 ? '' : milliseconds(one.floorMs),
    one.floorMs === 0 ? '' : `${(one.share * 100).toFixed(0)} %`,
    String(one.perStep),
  ]);
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const isRight = (i: number) => i === 2 || i >= 5;
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (isRight(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join(' | ')} |\n`;
  const rule = widths.map((width, i) => (isRight(i) ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  const [first] = results;
  if (first === undefined) return '';
  const timing = [
    ...new Set(results.filter(({ op }) => op !== 'unaccounted' && op !== 'step').map(({ timedBy }) => timedBy)),
  ];
  const small = results.filter(({ workingSetBytes: bytes }) => bytes > 0 && bytes < cacheBytes);
  const cached = [...new Set(small.map(({ op, workingSetBytes }) => `${op} ${bytesText(workingSetBytes)}`))];
  const notes = [
    `${first.device}${first.threads === null ? '' : `, ${first.threads} threads`}, ${first.depth} tokens before; ops timed by the ${timing.join(' and the ')}, steps by the clock`,
    ...(cached.length > 0 ? [`weights that a cache may hold: ${cached.join(', ')}`] : []),
  ];
  return `${[line(header), line(rule), ...rows.map(line)].join('')}\n${notes.join('\n')}\n`;
}

function csv(results: readonly OpBenchResult[]): string {
  const flat = results.map(({ kernels, ...result }) => ({
    ...result,
    kernels: kernels.map(({ name, dispatches, ms }) => `${name} ${dispatches} ${ms}`).join(' '),
  }));
  const [first] = flat;
  if (first === undefined) return '';
  const cell = (value: unknown) => {
    const text = String(value ?? '');
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const line = (values: readonly unknown[]) => `${values.map(cell).join(',')}\n`;
  return [line(Object.keys(first)), ...flat.map((result) => line(Object.values(result)))].join('');
}

/** A number with three significant digits, or with all digits before the point. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function milliseconds(ms: number): string {
  return Math.abs(ms) >= 10 ? ms.toFixed(1) : ms.toFixed(4);
}
