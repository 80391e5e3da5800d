/** Writes the results of a benchmark for people and programs. */
import type { BenchResult } from '../bench/result.js';
import { isNoisy } from '../bench/statistics.js';
import { bytesText, countText, durationText, noiseText, spreadText } from './figures.js';

export type BenchFormat = 'md' | 'csv' | 'json' | 'jsonl';
export const benchFormats: readonly BenchFormat[] = ['md', 'csv', 'json', 'jsonl'];

/** All results in one format, ending in a newline. */
export function benchText(results: readonly BenchResult[], format: BenchFormat): string {
  if (format === 'json') return `${JSON.stringify(results, null, 2)}\n`;
  if (format === 'jsonl') return results.map((result) => `${JSON.stringify(result)}\n`).join('');
  return format === 'csv' ? csv(results) : markdown(results);
}

interface Column {
  title: string;
  isRight: boolean;
  /** Whether the column is shown although no row has a value for it. llama-bench's columns are. */
  isAlways: boolean;
  cell(result: BenchResult): string;
}

const column = (title: string, cell: Column['cell'], parts: Partial<Column> = {}): Column => ({
  title,
  isRight: true,
  isAlways: false,
  cell,
  ...parts,
});

const columns: readonly Column[] = [
  column('model', (result) => result.model_filename, { isRight: false, isAlways: true }),
  column('size', (result) => bytesText(result.model_size), { isRight: false, isAlways: true }),
  column('params', (result) => countText(result.model_n_params), { isRight: false, isAlways: true }),
  column('backend', (result) => result.backend, { isRight: false, isAlways: true }),
  column('test', (result) => result.test, { isRight: false, isAlways: true }),
  column(
    't/s',
    ({ avg_ts, stddev_ts, samples_ts }) => spreadText(figure(avg_ts), figure(stddev_ts), samples_ts.length),
    {
      isAlways: true,
    },
  ),
  column('t/s a session', ({ session_ts }) => maybe(session_ts)),
  column('ms/token', ({ ms_per_token }) => maybe(ms_per_token), { isAlways: true }),
  column('first token, ms', ({ first_token_ms }) => maybe(first_token_ms)),
  column('GB/s', ({ gb_per_s }) => maybe(gb_per_s), { isAlways: true }),
  column('of copy', ({ bandwidth_share }) => share(bandwidth_share)),
  column('GFLOP/s', ({ gflop_per_s, compute_share }) => (compute_share === null ? '' : figure(gflop_per_s))),
  column('of the device', ({ compute_share }) => share(compute_share)),
  column('experts a step', ({ experts_per_step }) => maybe(experts_per_step)),
  column('KV', ({ kind, kv_bytes }) => (kind === 'sweep' ? bytesText(kv_bytes) : '')),
  column('drafts kept', draftsKept, { isRight: false }),
  column('against none', speedup, { isRight: false }),
  column('J/token', ({ joules_per_token }) => (joules_per_token === null ? '' : joules_per_token.toPrecision(3))),
  column('dispatches', ({ dispatches_per_token }) => maybe(dispatches_per_token)),
  column('experts there', ({ expert_hit_rate }) => share(expert_hit_rate)),
  column('encode, ms', ({ encode_ms_per_token }) => maybe(encode_ms_per_token)),
];

function markdown(results: readonly BenchResult[]): string {
  const shown = columns.filter(({ isAlways, cell }) => isAlways || results.some((result) => cell(result) !== ''));
  const rows = results.map((result) => shown.map(({ cell }) => cell(result)));
  const left = shown.flatMap(({ isRight }, i) => (isRight ? [] : [i]));
  const titles = shown.map(({ title }) => title);
  return `${markdownTable(titles, rows, left)}${notes(results)}`;
}

/** A table of Markdown with aligned columns, those of figures to the right. `left` are the columns of words. */
export function markdownTable(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  left: readonly number[] = [0],
): string {
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (left.includes(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |\n`;
  const rule = widths.map((width, i) => (left.includes(i) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(titles), line(rule), ...rows.map(line)].join('');
}

/** The lines about the whole table: the device's own rates, and loading. */
function notes(results: readonly BenchResult[]): string {
  const [first] = results;
  if (first === undefined) return '';
  const rates = [
    first.copy_gb_per_s === null ? '' : `copies ${figure(first.copy_gb_per_s)} GB/s`,
    first.f32_gflop_per_s === null ? '' : `multiplies and adds ${figure(first.f32_gflop_per_s)} GFLOP/s in f32`,
    first.matrix_gflop_per_s === null ? '' : `${figure(first.matrix_gflop_per_s)} GFLOP/s by matrices of f16`,
  ].filter((text) => text !== '');
  const own = rates.length === 0 ? '' : `; the device itself, measured before: ${rates.join(', ')}`;
  const energy = first.energy_source === null ? '' : `; energy by ${first.energy_source}`;
  const noisy = results.filter(({ samples_ts }) => isNoisy(samples_ts)).map(({ test }) => test);
  return `\nloaded in ${durationText(first.load_ms)}${own}${energy}\n${noiseText(noisy)}`;
}

function draftsKept(result: BenchResult): string {
  const { num_draft_tokens, draft_acceptance_rate, mean_acceptance_length, acceptance_by_position } = result;
  if (num_draft_tokens === 0) return '';
  const places = acceptance_by_position
    .map(({ drafted, accepted }) => ((100 * accepted) / drafted).toFixed(0))
    .join(' ');
  return `${(draft_acceptance_rate * 100).toFixed(1)} % (${places}), ${mean_acceptance_length.toFixed(2)} tokens a step`;
}

function speedup({ speedup, speedup_interval: interval }: BenchResult): string {
  if (speedup === null) return '';
  return `x ${speedup.toFixed(2)}${interval === null ? '' : ` (${interval[0].toFixed(2)} to ${interval[1].toFixed(2)})`}`;
}

function csv(results: readonly BenchResult[]): string {
  const flat = results.map(({ bytes_per_token: needed, bytes_read_per_token: read, ...result }) => ({
    ...result,
    attention_bytes_per_token: needed?.attention,
    experts_bytes_per_token: needed?.experts,
    head_bytes_per_token: needed?.head,
    kv_bytes_per_token: needed?.kv,
    other_bytes_per_token: needed?.other,
    bytes_per_token: needed?.total,
    bytes_read_per_token: read?.total,
    logits_best: result.logits_best?.id,
    acceptance_by_position: result.acceptance_by_position.map(({ drafted, accepted }) => `${accepted}/${drafted}`),
    ops: result.ops?.map(({ name, ns }) => `${name}:${ns.toFixed(0)}`),
  }));
  return csvText(flat);
}

/** Objects of the same fields as CSV: a line of names, then a line for each. Arrays become words. */
export function csvText(results: readonly object[]): string {
  const [first] = results;
  if (first === undefined) return '';
  const cell = (value: unknown) => {
    const text = Array.isArray(value) ? value.join(' ') : String(value ?? '');
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const line = (values: readonly unknown[]) => `${values.map(cell).join(',')}\n`;
  return [line(Object.keys(first)), ...results.map((result) => line(Object.values(result)))].join('');
}

function maybe(value: number | null): string {
  return value === null ? '' : figure(value);
}

function share(value: number | null): string {
  return value === null ? '' : `${(value * 100).toFixed(1)} %`;
}

function figure(value: number): string {
  return value >= 100 ? value.toFixed(1) : value.toFixed(2);
}
