// The figures of kernel-cost.mjs: made of compiled kernels, as tables, and compared.
import { loopsOf } from './costs.mjs';
import { whole } from './launches.mjs';
import { cards, distinctExperts, stepTime, workgroupsPerSm } from './step-model.mjs';

/**
 * Compiles the kernels and estimates the steps.
 *
 * @param {Record<string, object[][]>} launches For each recipe the result of launchesOf().
 * @param {[rows: number, isPrompt: boolean][]} steps The steps of which these are.
 * @param {import('./costs.mjs').Compiler} compiler What compiles them.
 * @returns {Promise<{ kernels: object[], estimates: object[], parts: object[] }>}
 */
export async function makeReport(launches, steps, compiler) {
  const kernels = new Map();
  const estimates = [];
  const parts = [];
  for (const [recipe, lists] of Object.entries(launches)) {
    for (const [card, facts] of Object.entries(cards)) {
      for (const [i, [rows, isPrompt]] of steps.entries()) {
        const costed = await Promise.all(lists[i].map((launch) => costOf(launch, rows, isPrompt, facts, compiler)));
        for (const { entries } of costed)
          for (const entry of entries) if (!kernels.has(keyOf(entry))) kernels.set(keyOf(entry), entry);
        const { microseconds, share, parts: own } = stepTime(costed, facts);
        const kind = isPrompt ? 'prefill' : 'decode';
        const tokensPerSecond = rounded((rows / microseconds) * 1e6);
        estimates.push({ card, recipe, kind, rows, tokensPerSecond, share: rounded(share) });
        parts.push({ card, recipe, kind, rows, microseconds, parts: merged(own) });
      }
    }
  }
  return { kernels: [...kernels.values()], estimates, parts };
}

const keyOf = ({ name, weights, rows, arch }) => [name, weights, rows, arch].join(' ');
const rounded = (value) => Number(value.toPrecision(4));

/** One launch as stepTime() takes it, and its entries of the report. */
async function costOf(launch, rows, isPrompt, card, compiler) {
  const { kernel, part, wgsl, count, types } = launch;
  const compiled = await compiler.compile(wgsl, card.arch);
  const perSm = workgroupsPerSm(compiled, card);
  const name = /^(attention|multiply|multiply_dots)$/.test(kernel) ? `${kernel} ${roleOf(launch)}` : kernel;
  const experts = distinctExperts(rows, whole.experts, whole.topK);
  const loops = [];
  const entries = [];
  const tile = /const TILE_ROWS = (\d+)u/.exec(wgsl);
  const groups = withWork(launch, rows, isPrompt, Number(tile?.[1] ?? 1));
  const warps = Math.ceil(compiled.threads / 32);
  const waves = groups / (card.multiprocessors * Math.max(1, perSm));
  for (const { loop, isRouted, text, turn, warpTurns, share, bytes, innerTurns } of loopsOf(launch)) {
    const counts = turn ? await compiler.loop(text, card.arch, innerTurns) : null;
    if (counts)
      loops.push({ counts, share, warpTurns: warpTurns * launch.turnScale, bytes: bytes(experts) * launch.byteScale });
    entries.push({
      name: [name, part === 'dense' ? 'dense' : loop].filter(Boolean).join(' '),
      weights: turn ? (isRouted ? types.routed : types.rest) : 'none',
      rows: isPrompt ? rows : Number(tile?.[1] ?? 1),
      arch: card.arch,
      instructionsPerWeight: counts ? rounded(counts.all / turn) : 0,
      registers: compiled.registers,
      localBytes: compiled.localBytes,
      workgroupsPerSm: perSm,
      waves: rounded(waves),
      bytesInFlight: counts ? counts.loadBytes * 32 * warps * Math.min(perSm, Math.ceil(waves * perSm)) : 0,
      pipes: counts && { fma: counts.fma / turn, int: counts.int / turn, xu: counts.xu / turn, local: counts.local },
    });
  }
  const label = [kernel, part].join(' ');
  return { name, label, workgroups: groups, perSm, warps, loops, count, entries };
}

/** The use of a kernel that several parts have. */
function roleOf({ kernel, part, wgsl }) {
  if (kernel === 'attention' || part === 'head') return part;
  return /const (HAS_NORM = true|ADDS = false)/.test(wgsl) ? 'qkv' : 'o';
}

/**
 * The workgroups of a dispatch that have work. The experts' tiles of a prompt are fewer with 8 experts, which the texts
 * are made with, than with all: each expert's last tile is half full on average.
 */
function withWork({ kernel, wgsl, workgroups, workgroupScale }, rows, isPrompt, tileRows) {
  const [x, y, z] = workgroups;
  const isOfTiles = kernel === 'swiglu_output_tiled' || /const IS_ROUTED = true/.test(wgsl);
  if (!isPrompt || !isOfTiles) return x * y * z * workgroupScale;
  const each = (rows * whole.topK) / whole.experts / tileRows;
  return whole.experts * Math.max(1, each + 0.5) * y * z;
}

/** The parts of a step with the same name, added up. */
function merged(parts) {
  const sums = new Map();
  for (const { name, microseconds, bound } of parts) {
    const sum = sums.get(name) ?? { name, microseconds: 0, bound };
    sum.microseconds += microseconds;
    sums.set(name, sum);
  }
  return [...sums.values()].sort((a, b) => b.microseconds - a.microseconds);
}

/** The report as tables in Markdown. */
export function tableOf({ kernels, estimates, parts }, { hasParts = false } = {}) {
  const lines = [
    '| kernel | weights | rows | arch | instructions a weight | FMA / INT / XU | registers | local bytes | workgroups a SM | waves | KB in flight a SM |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ...kernels.map(
      (k) =>
        `| ${k.name} | ${k.weights} | ${k.rows} | ${k.arch} | ${k.instructionsPerWeight ? k.instructionsPerWeight.toFixed(2) : '-'} | ` +
        `${k.pipes ? [k.pipes.fma, k.pipes.int, k.pipes.xu].map((n) => n.toFixed(2)).join(' / ') : '-'} | ${k.registers} | ` +
        `${k.localBytes} | ${k.workgroupsPerSm} | ${k.waves.toFixed(2)} | ${(k.bytesInFlight / 1024).toFixed(0)} |`,
    ),
    '',
    '| card | recipe | step | rows | tok/s | ms | share of bandwidth |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...estimates.map(
      (e) =>
        `| ${e.card} | ${e.recipe} | ${e.kind} | ${e.rows} | ${e.tokensPerSecond.toFixed(0)} | ` +
        `${((e.rows / e.tokensPerSecond) * 1e3).toFixed(1)} | ${(e.share * 100).toFixed(0)} % |`,
    ),
  ];
  if (hasParts)
    for (const step of parts) {
      lines.push(
        '',
        `${step.card} ${step.recipe} ${step.kind} ${step.rows}: ${(step.microseconds / 1e3).toFixed(2)} ms`,
      );
      for (const { name, microseconds, bound } of step.parts)
        lines.push(`  ${(microseconds / 1e3).toFixed(3)} ms ${name} (${bound})`);
    }
  return lines.join('\n');
}

/** The differences between two reports, as a table. */
export function compareReports(before, after) {
  const lines = ['| what | before | after | ratio |', '| --- | --- | --- | --- |'];
  const row = (what, a, b) => {
    if (a !== b) lines.push(`| ${what} | ${a ?? 'none'} | ${b ?? 'none'} | ${a && b ? (b / a).toFixed(2) : '-'} |`);
  };
  const compare = (list, key, fields) => {
    const old = new Map(before[list].map((entry) => [key(entry), entry]));
    const now = new Map(after[list].map((entry) => [key(entry), entry]));
    for (const name of new Set([...old.keys(), ...now.keys()]))
      for (const field of fields) row(`${name}: ${field}`, old.get(name)?.[field], now.get(name)?.[field]);
  };
  compare('kernels', keyOf, ['instructionsPerWeight', 'registers', 'localBytes', 'workgroupsPerSm', 'waves']);
  compare('estimates', ({ card, recipe, kind, rows }) => [card, recipe, kind, rows].join(' '), [
    'tokensPerSecond',
    'share',
  ]);
  return lines.length === 2 ? 'no figure differs' : lines.join('\n');
}
