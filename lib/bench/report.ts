/** Writes a benchmark as a page: one HTML file that needs nothing else, and each chart as a file. */
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KexaError } from '../errors.js';
import { writeFileAtomic } from '../files/atomic-file.js';
import { readTextFile } from '../files/text-file.js';
import type { ContextMemory } from './memory.js';
import { type OpResult, type Plot, plotsOf, tokensText } from './plots.js';
import type { BenchResult } from './result.js';
import { barsSvg, chartSvg, escapeText, figureText } from './svg.js';

/** The results that a report shows. */
export interface ReportParts {
  results: readonly BenchResult[];
  ops: readonly OpResult[];
  memory: readonly ContextMemory[];
}

/**
 * Makes the folder of a report, if need be, and checks that files can be written into it. Is called before the
 * measurements, which may take hours.
 *
 * @throws KexaError KEXA_WRITE_FAILED
 */
export async function openReport(folder: string): Promise<void> {
  const trial = join(folder, `.kexa-${randomUUID()}`);
  try {
    if (folder === '') throw new Error('wanted the name of a folder, found an empty text');
    await mkdir(folder, { recursive: true });
    await writeFile(trial, '', { flag: 'wx' });
    await rm(trial);
  } catch (cause) {
    throw notWritten(folder, cause);
  }
}

/**
 * Writes index.html, an SVG file for each chart, and results.json into a folder, which is made if need be.
 *
 * @throws KexaError KEXA_WRITE_FAILED
 */
export async function writeReport(folder: string, parts: ReportParts): Promise<void> {
  const plots = plotsOf(parts.results, parts.ops, parts.memory).map((plot) => ({ plot, svg: svgOf(plot) }));
  const files = new Map([
    ...plots.map(({ plot, svg }) => [`${plot.chart.id}.svg`, svg] as const),
    ['results.json', `${JSON.stringify(parts.results, null, 2)}\n`],
    ['index.html', page(parts, plots)],
  ]);
  try {
    await mkdir(folder, { recursive: true });
    for (const [name, text] of files) await writeFileAtomic(join(folder, name), text);
  } catch (cause) {
    throw notWritten(folder, cause);
  }
}

function notWritten(folder: string, cause: unknown): KexaError {
  const text = `${folder}: the report cannot be written: ${(cause as Error).message}`;
  return new KexaError('KEXA_WRITE_FAILED', text, { cause });
}

/** Reads a file that `kexa bench ops -o json` wrote. @throws KexaError KEXA_NOT_FOUND or KEXA_BAD_FILE */
export async function readOps(path: string): Promise<OpResult[]> {
  const text = await readTextFile(path);
  let ops: unknown;
  try {
    ops = JSON.parse(text);
  } catch (cause) {
    throw new KexaError('KEXA_BAD_FILE', `${path}: wanted JSON: ${(cause as Error).message}`, { cause });
  }
  if (!Array.isArray(ops))
    throw new KexaError('KEXA_BAD_FILE', `${path}: wanted an array of ops, found something else`);
  for (const [i, op] of ops.entries()) {
    const problem = opProblem((op ?? {}) as Partial<OpResult>);
    if (problem === null) continue;
    const what = typeof op?.op === 'string' ? `entry ${i + 1}, ${op.op}` : `entry ${i + 1}`;
    throw new KexaError('KEXA_BAD_FILE', `${path}: ${what}: wanted an op of kexa bench ops: ${problem}`);
  }
  return ops as OpResult[];
}

/** Tells why an entry is no measured op. Null if it is one. */
function opProblem({ op, device, ms, bytes, flops, rows }: Partial<OpResult>): string | null {
  if (typeof op !== 'string') return 'op is no text';
  if (typeof device !== 'string') return 'device is no text';
  // The ops may together take longer than their step, which makes `unaccounted` negative.
  const least = op === 'unaccounted' ? Number.NEGATIVE_INFINITY : 0;
  if (!(typeof ms === 'number' && ms >= least)) return 'ms is no number from 0 on';
  const others = Object.entries({ bytes, flops, rows });
  const wrong = others.find(([, value]) => !(typeof value === 'number' && value >= 0));
  return wrong === undefined ? null : `${wrong[0]} is no number from 0 on`;
}

function svgOf(plot: Plot): string {
  return plot.kind === 'chart' ? chartSvg(plot.chart) : barsSvg(plot.chart);
}

const style = `
:root{color-scheme:light dark;--ink:#1c1c1c;--soft:#5c5c5c;--grid:#dcdcdc;--paper:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--soft:#b4b4b4;--grid:#3d3d3d;--paper:#171717}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.5rem 0;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:0 0 .25rem}
p{margin:.25rem 0 .75rem;color:var(--soft);max-width:44rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:1rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:2rem 1.5rem}
figure{margin:0}figure svg{display:block;width:100%;height:auto;max-width:34rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .6rem;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
th{font-weight:600;color:var(--soft)}summary{cursor:pointer;color:var(--soft);padding:.4rem 0}
section{margin:2rem 0}`;

function page({ results, ops, memory }: ReportParts, plots: readonly { plot: Plot; svg: string }[]): string {
  const [first] = results;
  const title = first === undefined ? 'kexa bench' : `kexa bench: ${first.model_filename} on ${first.backend}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(title)}</h1>
${first === undefined ? '<p>Nothing was complete.</p>' : facts(first, results, ops, memory)}
<section class="charts">
${plots.map(({ plot, svg }) => figure(plot, svg)).join('\n')}
</section>
<section>
<h2>Results</h2>
<p>Tokens a second with their standard deviation; all fields are in results.json.</p>
<div class="wide" tabindex="0" role="region" aria-label="Results">${resultTable(results)}</div>
</section>
</main>
</body>
</html>
`;
}

function facts(
  first: BenchResult,
  results: readonly BenchResult[],
  ops: readonly OpResult[],
  memory: readonly ContextMemory[],
): string {
  const maybe = (value: number | null, unit: string) =>
    value === null ? 'not measured' : `${figureText(value)} ${unit}`;
  const others = ops.filter(({ device }) => device !== first.backend);
  const kv = memory.at(-1);
  const rows: [string, string][] = [
    [
      'Model',
      `${first.model_filename}, ${figureText(first.model_n_params)} parameters, ${gib(first.model_size)} of weights`,
    ],
    ['Device', `${first.backend}${first.n_threads === null ? '' : `, ${first.n_threads} threads`}`],
    [
      'Weights, activations, cache, chunk',
      [first.weights, first.activations ?? 'f32', first.type_k, `${first.n_batch} tokens`].join(', '),
    ],
    ['Copies', `${maybe(first.copy_gb_per_s, 'GB/s')}, read and written bytes`],
    ['Multiplies and adds', `${maybe(first.f32_gflop_per_s, 'GFLOP/s')} in f32`],
    ['Loaded in', `${figureText(first.load_ms)} ms`],
    [
      'Energy',
      results.find(({ energy_source }) => energy_source !== null)?.energy_source ?? 'not counted on this machine',
    ],
    ['kexa', `${first.build_commit}, ${first.test_time.slice(0, 16).replace('T', ' ')} UTC`],
  ];
  if (kv !== undefined)
    rows.splice(3, 0, [
      `KV cache at ${tokensText(kv.context)} tokens`,
      `${gib(kv.cache)}; ${gib(kv.globalCache)} if every layer were global`,
    ]);
  if (others.length > 0) rows.push(['Left out', `${others.length} ops of another device, ${others[0]!.device}`]);
  return `<dl>${rows.map(([name, value]) => `<dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd>`).join('')}</dl>`;
}

function figure(plot: Plot, svg: string): string {
  const { title, description, id } = plot.chart;
  const table = plot.kind === 'chart' ? pointTable(plot.chart) : barTable(plot.chart);
  return `<figure id="${id}">
<h2>${escapeText(title)}</h2>
<p>${escapeText(description)}</p>
${svg}
<details><summary>As a table</summary><div class="wide" tabindex="0" role="region" aria-label="${escapeText(title)}, as a table">${table}</div></details>
</figure>`;
}

function pointTable({ x, y, series }: Extract<Plot, { kind: 'chart' }>['chart']): string {
  const rows = series.flatMap(({ name, points }) =>
    points.map((point) => [
      point.label === undefined ? name : `${name}: ${point.label}`,
      (x.text ?? figureText)(point.x),
      (y.text ?? figureText)(point.y),
    ]),
  );
  return tableOf(['', x.label, y.label], rows);
}

function barTable({ bars }: Extract<Plot, { kind: 'bars' }>['chart']): string {
  const names = bars[0]?.parts.map(({ name }) => name) ?? [];
  return tableOf(
    ['microseconds a token', ...names],
    bars.map(({ name, parts }) => [name, ...parts.map(({ value }) => figureText(value))]),
  );
}

function resultTable(results: readonly BenchResult[]): string {
  const maybe = (value: number | null, digits = 2) => (value === null ? '' : value.toFixed(digits));
  const percent = (value: number | null) => (value === null ? '' : `${(value * 100).toFixed(1)} %`);
  return tableOf(
    [
      'test',
      't/s',
      '±',
      'ms/token',
      'first token, ms',
      'GB/s',
      'of copy',
      'GFLOP/s',
      'of the device',
      'drafts kept',
      'against none',
      'J/token',
    ],
    results.map((result) => [
      result.test,
      result.avg_ts.toFixed(1),
      result.samples_ts.length > 1 ? result.stddev_ts.toFixed(1) : '',
      maybe(result.ms_per_token),
      maybe(result.first_token_ms, 1),
      maybe(result.gb_per_s),
      percent(result.bandwidth_share),
      maybe(result.gflop_per_s, 1),
      percent(result.compute_share),
      result.num_draft_tokens === 0 ? '' : percent(result.draft_acceptance_rate),
      result.speedup === null ? '' : `x ${result.speedup.toFixed(2)}`,
      result.joules_per_token === null ? '' : result.joules_per_token.toPrecision(3),
    ]),
  );
}

function tableOf(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}${tag === 'th' ? ' scope="col"' : ''}>${escapeText(cell)}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${line(header, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table>`;
}

function gib(bytes: number): string {
  return bytes >= 2 ** 30 ? `${figureText(bytes / 2 ** 30)} GiB` : `${figureText(bytes / 2 ** 20)} MiB`;
}
