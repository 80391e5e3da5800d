/** Makes the charts of a report from results. */
import type { ContextMemory } from './memory.js';
import type { BenchResult } from './result.js';
import { type BarChart, type Chart, figureText, type Point, type Series } from './svg.js';

/** One op, as `kexa bench ops` measures it. */
export interface OpResult {
  op: string;
  shape: string;
  rows: number;
  variant?: string | null;
  ms: number;
  bytes: number;
  flops: number;
  device: string;
}

export type Plot = { kind: 'chart'; chart: Chart } | { kind: 'bars'; chart: BarChart };

/** The charts for which there are results. */
export function plotsOf(
  results: readonly BenchResult[],
  ops: readonly OpResult[],
  memory: readonly ContextMemory[],
): Plot[] {
  const charts = [
    roofline(results, ops),
    rateOverContext(results, 'prefill'),
    rateOverContext(results, 'decode'),
    rateOverDrafts(results),
    acceptanceOverDrafts(results),
    rateOverSessions(results),
    memoryChart(memory),
  ].flatMap((chart): Plot[] => (chart === null ? [] : [{ kind: 'chart', chart }]));
  const bars = timePerOp(results);
  return bars === null ? charts : [...charts, { kind: 'bars', chart: bars }];
}

function roofline(results: readonly BenchResult[], ops: readonly OpResult[]): Chart | null {
  const point = (bytes: number, flops: number, perSecond: number, label?: string): Point => ({
    x: flops / bytes,
    y: (flops * perSecond) / 1e9,
    ...(label !== undefined && { label }),
  });
  const read = results.filter(({ bytes_read_per_token: bytes, mtp }) => bytes !== null && mtp === false);
  const rowPoints = (isDecode: boolean) =>
    read
      .filter(({ ms_per_token }) => (ms_per_token !== null) === isDecode)
      .map((row) => point(row.bytes_read_per_token!.total, row.flop_per_token, row.avg_ts, row.test));
  const device = results[0]?.backend;
  const opPoints = ops
    .filter((op) => op.bytes > 0 && op.flops > 0 && op.ms > 0 && (device === undefined || op.device === device))
    .map((op) => point(op.bytes, op.flops, 1e3 / op.ms, op.rows === 1 ? op.op : `${op.op} x${op.rows}`));
  const points = [
    { name: 'prefill', points: rowPoints(false), hasLine: false },
    { name: 'decode', points: rowPoints(true), hasLine: false },
    { name: 'ops', points: opPoints, hasLine: false },
  ].filter((series) => series.points.length > 0);
  if (points.length === 0) return null;
  const xs = points.flatMap((series) => series.points.map(({ x }) => x));
  return {
    id: 'roofline',
    title: 'Roofline',
    description:
      'Operations a second over operations for each byte read. Under the slope memory is the limit, under the flat line arithmetic; both are the rates of this device, measured before the tests.',
    x: { label: 'operations a byte', isLog: true },
    y: { label: 'GFLOP/s', isLog: true },
    series: [...points, ...roofs(results[0], Math.min(...xs), Math.max(...xs))],
  };
}

function roofs(first: BenchResult | undefined, low: number, high: number): Series[] {
  const copy = first?.copy_gb_per_s;
  const flat = first?.matrix_gflop_per_s ?? first?.f32_gflop_per_s;
  if (!copy || !flat) return [];
  const ridge = flat / copy;
  const [from, to] = [Math.min(low, ridge) / 2, Math.max(high, ridge) * 2];
  return [
    {
      name: `memory, ${figureText(copy)} GB/s`,
      points: [
        { x: from, y: copy * from },
        { x: ridge, y: flat },
      ],
      hasMarks: false,
    },
    {
      name: `arithmetic, ${figureText(flat)} GFLOP/s`,
      points: [
        { x: ridge, y: flat },
        { x: to, y: flat },
      ],
      hasMarks: false,
    },
  ];
}

/** A point with its deviation as a bar. */
function ratePoint(x: number, { avg_ts, stddev_ts }: BenchResult): Point {
  return { x, y: avg_ts, low: Math.max(0, avg_ts - stddev_ts), high: avg_ts + stddev_ts };
}

function bySetting(results: readonly BenchResult[], name: (result: BenchResult) => string): Map<string, BenchResult[]> {
  const groups = new Map<string, BenchResult[]>();
  for (const result of results) groups.set(name(result), [...(groups.get(name(result)) ?? []), result]);
  return groups;
}

function rateOverContext(results: readonly BenchResult[], part: 'prefill' | 'decode'): Chart | null {
  const isDecode = part === 'decode';
  const rows = results.filter(
    ({ kind, n_prompt, n_gen }) => (kind === 'sweep' || kind === 'test') && (isDecode ? n_prompt === 0 : n_gen === 0),
  );
  const contextOf = ({ n_depth, n_prompt }: BenchResult) => n_depth + n_prompt;
  const nameOf = ({ kind, mtp, n_prompt, n_gen }: BenchResult) => {
    const name = kind === 'sweep' ? 'sweep' : isDecode ? `tg${n_gen}` : `pp${n_prompt}`;
    return mtp === false ? name : `${name}, drafts ${mtp}`;
  };
  const series = [...bySetting(rows, nameOf)]
    .map(([name, group]) => ({
      name,
      points: group.map((row) => ratePoint(contextOf(row), row)).toSorted((a, b) => a.x - b.x),
    }))
    .filter(({ points }) => points.length > 1);
  if (series.length === 0) return null;
  const contexts = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))].toSorted((a, b) => a - b);
  const isLog = contexts[0]! > 0 && contexts.at(-1)! / contexts[0]! > 8;
  return {
    id: `${part}-over-context`,
    title: isDecode ? 'Decoding over context' : 'Reading prompts over context',
    description: isDecode
      ? 'Tokens a second generated, after so many tokens in the context.'
      : 'Tokens a second of the newest part of the prompt, with so many tokens in the context at its end.',
    x: { label: 'tokens in the context', isLog, ...(isLog && { ticks: contexts }), hasZero: !isLog, text: tokensText },
    y: { label: 'tokens a second' },
    series,
  };
}

/** The tests that were run with several numbers of drafts. */
function draftSeries(results: readonly BenchResult[]): Map<string, BenchResult[]> {
  const rows = results.filter(({ kind, n_gen }) => n_gen > 0 && kind !== 'sweep');
  const groups = bySetting(rows, ({ test, mtp }) => test.replace(` mtp ${mtp}`, ''));
  for (const [name, group] of groups) {
    const known = group.filter(({ mtp }) => mtp !== 'auto').toSorted((a, b) => Number(a.mtp) - Number(b.mtp));
    if (known.length < 2) groups.delete(name);
    else groups.set(name, known);
  }
  return groups;
}

function rateOverDrafts(results: readonly BenchResult[]): Chart | null {
  const groups = draftSeries(results);
  if (groups.size === 0) return null;
  return {
    id: 'rate-over-drafts',
    title: 'Tokens a second over drafts a step',
    description:
      'Tokens a second with so many drafts a step; 0 is without drafts. The answer is the same token for token.',
    x: draftAxis([...groups.values()].flat()),
    y: { label: 'tokens a second' },
    series: [...groups].map(([name, group]) => ({ name, points: group.map((row) => ratePoint(Number(row.mtp), row)) })),
  };
}

function acceptanceOverDrafts(results: readonly BenchResult[]): Chart | null {
  const groups = [...draftSeries(results)].map(
    ([name, group]) => [name, group.filter(({ num_draft_tokens }) => num_draft_tokens > 0)] as const,
  );
  const rows = groups.flatMap(([, group]) => group);
  if (rows.length === 0) return null;
  return {
    id: 'acceptance-over-drafts',
    title: 'Drafts kept over drafts a step',
    description: 'Part of all drafts that were kept, with so many drafts a step.',
    x: draftAxis(rows),
    y: { label: 'drafts kept', ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], text: (value) => `${Math.round(value * 100)} %` },
    series: groups.map(([name, group]) => ({
      name,
      points: group.map((row) => ({ x: Number(row.mtp), y: row.draft_acceptance_rate })),
    })),
  };
}

function draftAxis(rows: readonly BenchResult[]) {
  const most = Math.max(1, ...rows.map(({ mtp }) => Number(mtp)));
  return { label: 'drafts a step', ticks: Array.from({ length: most + 1 }, (_, i) => i) };
}

function rateOverSessions(results: readonly BenchResult[]): Chart | null {
  const rows = results.filter(({ kind }) => kind === 'sessions');
  const counts = [...new Set(rows.map(({ n_sessions }) => n_sessions))].toSorted((a, b) => a - b);
  if (counts.length < 2) return null;
  const groups = [...bySetting(rows, ({ test, n_sessions }) => test.replace(` x${n_sessions}`, ''))];
  return {
    id: 'rate-over-sessions',
    title: 'Tokens a second over sessions at once',
    description: 'Tokens a second of all sessions together, and of each of them.',
    x: { label: 'sessions at once', ticks: counts, hasZero: false },
    y: { label: 'tokens a second' },
    series: groups.flatMap(([name, group]) => [
      { name: `${name}, all`, points: group.map((row) => ratePoint(row.n_sessions, row)) },
      { name: `${name}, each`, points: group.map((row) => ({ x: row.n_sessions, y: row.session_ts! })) },
    ]),
  };
}

/** Bytes over context: the KV cache with rings, the cache without, and all memory. */
export function memoryChart(memory: readonly ContextMemory[]): Chart | null {
  if (memory.length < 2) return null;
  const isLarge = memory.at(-1)!.globalCache >= 2 ** 30;
  const series = (name: string, of: (one: ContextMemory) => number): Series => ({
    name,
    points: memory.map((one) => ({ x: one.context, y: of(one) / 2 ** (isLarge ? 30 : 20) })),
  });
  return {
    id: 'memory-over-context',
    title: 'Memory over context',
    description:
      'Planned bytes for one sequence: the KV cache with its sliding layers, what it would be if every layer saw the whole context, and all memory with weights and working buffers.',
    x: { label: 'tokens in the context', isLog: true, ticks: memory.map(({ context }) => context), text: tokensText },
    y: { label: isLarge ? 'GiB' : 'MiB', isLog: true },
    series: [
      series('KV cache, hybrid', ({ cache }) => cache),
      series('KV cache, all global', ({ globalCache }) => globalCache),
      series('all memory', ({ weights, scratch, cache }) => weights + scratch + cache),
    ],
  };
}

function timePerOp(results: readonly BenchResult[]): BarChart | null {
  const rows = results.filter(({ ops }) => ops !== null);
  if (rows.length === 0) return null;
  // The few largest by name, so that there are no more colours than can be told apart.
  const sums = new Map<string, number>();
  for (const { ops } of rows) for (const { name, ns } of ops!) sums.set(name, (sums.get(name) ?? 0) + ns);
  const named = [...sums].toSorted((a, b) => b[1] - a[1]).map(([name]) => name);
  const large = named.length <= 6 ? named : named.slice(0, 5);
  return {
    id: 'time-per-op',
    title: 'Time of a token by kernel',
    description: "The GPU's time for each token, by kernel: the largest ones by name, the rest together.",
    x: { label: 'microseconds a token' },
    bars: rows.map(({ test, ops }) => {
      const part = (names: readonly string[]) =>
        ops!.filter(({ name }) => names.includes(name)).reduce((sum, { ns }) => sum + ns / 1e3, 0);
      const parts = large.map((name) => ({ name, value: part([name]) }));
      const rest = named.slice(large.length);
      return { name: test, parts: rest.length === 0 ? parts : [...parts, { name: 'others', value: part(rest) }] };
    }),
  };
}

/** `4096` is `4k`. */
export function tokensText(tokens: number): string {
  return tokens >= 1024 && tokens % 1024 === 0 ? `${tokens / 1024}k` : figureText(tokens);
}
