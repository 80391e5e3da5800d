/** Draws charts as SVG: scales, axes, lines, points, stacked bars. They work in light and dark, and without colour. */

export interface Point {
  x: number;
  y: number;
  /** The ends of a bar through the point. */
  low?: number;
  high?: number;
  label?: string;
}

export interface Series {
  name: string;
  points: readonly Point[];
  /** Default true. */
  hasLine?: boolean;
  /** Default true. */
  hasMarks?: boolean;
}

export interface Axis {
  label: string;
  isLog?: boolean;
  /** Whether the axis begins at 0. Default: yes, unless it is logarithmic. */
  hasZero?: boolean;
  /** The values with a label. Default: round ones. */
  ticks?: readonly number[];
  text?: (value: number) => string;
}

export interface Chart {
  /** A word that also names the file. */
  id: string;
  title: string;
  /** A description for readers who do not see the chart. */
  description: string;
  x: Axis;
  y: Axis;
  series: readonly Series[];
}

/** Bars that are stacked of parts, one below the other. */
export interface BarChart {
  id: string;
  title: string;
  description: string;
  x: Axis;
  bars: readonly { name: string; parts: readonly { name: string; value: number }[] }[];
}

const width = 400;
const frame = { left: 54, right: 14, top: 12, bottom: 46 };
const plotHeight = 220;
/** The mean width of a character (pixels). */
const letter = 6.2;

/** Colours differ in lightness. Lines also differ in their dashes, and points in their shapes. */
const chartStyle = `
.chart{--ink:#1c1c1c;--soft:#5c5c5c;--grid:#dcdcdc;--paper:#ffffff;
--s0:#14286b;--s1:#c2410c;--s2:#0b8378;--s3:#857000;--s4:#7c2d92;--s5:#4d4d4d;font:12px system-ui,sans-serif}
@media (prefers-color-scheme:dark){.chart{--ink:#ececec;--soft:#b4b4b4;--grid:#3d3d3d;--paper:#171717;
--s0:#c3d0ff;--s1:#f58a4b;--s2:#3fcab9;--s3:#ecd44c;--s4:#d58be8;--s5:#a8a8a8}}
.chart text{fill:var(--ink)}.chart .tick{fill:var(--soft)}.chart .grid{stroke:var(--grid)}
.chart .axis{stroke:var(--soft)}.chart .line{fill:none;stroke-width:2}.chart .paper{fill:var(--paper)}
.chart .halo{stroke:var(--paper);stroke-width:3;paint-order:stroke}
${[0, 1, 2, 3, 4, 5].map((i) => `.chart .s${i}{stroke:var(--s${i});fill:var(--s${i})}`).join('')}
.chart .line{fill:none}`;

const dashes = ['', '7 4', '2 3', '10 3 2 3', '4 2', '1 4'];

/** A chart of lines and points, as an SVG document. */
export function chartSvg(chart: Chart): string {
  const legend = legendOf(chart.series.map(({ name }) => name));
  const top = frame.top + legend.height;
  const points = chart.series.flatMap((series) => series.points);
  const x = scaleOf(
    chart.x,
    points.map((point) => point.x),
    [frame.left, width - frame.right],
  );
  const y = scaleOf(
    chart.y,
    points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]),
    [top + plotHeight, top],
  );
  const marks = chart.series.map((series, i) => seriesSvg(series, i, x, y)).join('');
  const height = top + plotHeight + frame.bottom;
  const keyOf = (i: number) => {
    const { hasLine, hasMarks } = chart.series[i]!;
    return `${hasLine === false ? '' : line(i, 'M0 0H20')}${hasMarks === false ? '' : mark(i, 10, 0)}`;
  };
  const body = `${axesSvg(chart.x, x, chart.y, y, top)}${marks}${labelsSvg(chart.series, x, y, top)}${legend.svg(
    keyOf,
  )}`;
  return document(chart, height, body);
}

/** Stacked bars, as an SVG document. */
export function barsSvg(chart: BarChart): string {
  const names = [...new Set(chart.bars.flatMap(({ parts }) => parts.map(({ name }) => name)))];
  const legend = legendOf(names);
  const top = frame.top + legend.height;
  const barHeight = 44;
  const bottom = top + chart.bars.length * barHeight;
  const sums = chart.bars.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const x = scaleOf(chart.x, sums, [frame.right, width - frame.right]);
  const bars = chart.bars.map(({ name, parts }, row) => {
    const y = top + row * barHeight;
    let from = 0;
    const boxes = parts.map((part) => {
      const i = names.indexOf(part.name);
      const [a, b] = [x.at(from), x.at(from + part.value)];
      from += part.value;
      const box = `<rect x="${round(a)}" y="${y + 18}" width="${round(Math.max(0, b - a))}" height="18" class="s${i % 6}"
 stroke-width="1" style="stroke:var(--paper)"><title>${escapeText(`${part.name}: ${text(chart.x, part.value)}`)}</title></rect>`;
      // A part's name stands in the bar if there is room, so that no colour has to be matched.
      const letters = String(i + 1);
      return b - a < letters.length * letter + 4
        ? box
        : `${box}<text x="${round((a + b) / 2)}" y="${y + 31}" text-anchor="middle" style="fill:var(--paper)">${letters}</text>`;
    });
    return `<text x="${frame.right}" y="${y + 13}">${escapeText(name)}</text>${boxes.join('')}`;
  });
  const ticks = x.ticks
    .map(
      (value) =>
        `<path class="grid" d="M${round(x.at(value))} ${top}V${bottom}"/><text class="tick" text-anchor="middle" x="${round(x.at(value))}" y="${bottom + 16}">${escapeText(text(chart.x, value))}</text>`,
    )
    .join('');
  const label = `<text x="${width / 2}" y="${bottom + 36}" text-anchor="middle">${escapeText(chart.x.label)}</text>`;
  const keys = legend.svg(
    (i) =>
      `<rect x="0" y="-8" width="20" height="16" class="s${i % 6}"/><text x="10" y="4" text-anchor="middle" style="fill:var(--paper)">${i + 1}</text>`,
  );
  return document(chart, bottom + frame.bottom, `${ticks}${bars.join('')}${label}${keys}`);
}

interface Scale {
  at(value: number): number;
  ticks: readonly number[];
}

function scaleOf(axis: Axis, values: readonly number[], [from, to]: readonly [number, number]): Scale {
  const known = values.filter((value) => Number.isFinite(value) && (!axis.isLog || value > 0));
  const all = [...known, ...(axis.ticks ?? [])];
  let low = all.reduce((least, value) => Math.min(least, value), all[0] ?? 0);
  let high = all.reduce((most, value) => Math.max(most, value), all[0] ?? 1);
  if (axis.isLog) {
    const isNarrow = high < low * 300;
    if (axis.ticks === undefined)
      [low, high] = isNarrow
        ? [stepBelow(low), niceStep(high)]
        : [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
    if (low === high) [low, high] = [low / 2, high * 2];
    const [a, b] = [Math.log(low), Math.log(high)];
    return {
      at: (value) => from + ((to - from) * (Math.log(Math.max(value, low)) - a)) / (b - a),
      ticks: axis.ticks ?? (isNarrow ? steps(low, high) : decades(low, high)),
    };
  }
  if (axis.hasZero !== false) low = Math.min(0, low);
  if (low === high) high = low + 1;
  const step = niceStep((high - low) / 5);
  if (axis.ticks === undefined) [low, high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
  return { at: (value) => from + ((to - from) * (value - low)) / (high - low), ticks: axis.ticks ?? ticks };
}

function decades(low: number, high: number): number[] {
  const first = Math.round(Math.log10(low));
  const count = Math.round(Math.log10(high)) - first;
  const every = Math.ceil(count / 7);
  return Array.from({ length: Math.floor(count / every) + 1 }, (_, i) => 10 ** (first + i * every));
}

/** The ticks of a logarithmic axis: 1, 2, 5, 10, 20, ... */
function steps(low: number, high: number): number[] {
  const list = [low];
  while (list.at(-1)! < high * 0.999) list.push(niceStep(list.at(-1)! * 1.5));
  return list;
}

function stepBelow(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [5, 2, 1].map((factor) => factor * power).find((step) => step <= value * 1.001)!;
}

function niceStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= wanted * 0.999)!;
}

function axesSvg(xAxis: Axis, x: Scale, yAxis: Axis, y: Scale, top: number): string {
  const bottom = top + plotHeight;
  const right = width - frame.right;
  let free = Number.NEGATIVE_INFINITY;
  const xTicks = x.ticks.map((value) => {
    const [at, words] = [x.at(value), text(xAxis, value)];
    const half = (words.length * letter) / 2;
    const grid = `<path class="grid" d="M${round(at)} ${top}V${bottom}"/>`;
    if (at - half < free) return grid;
    free = at + half + 4;
    return `${grid}<text class="tick" text-anchor="middle" x="${round(Math.min(at, width - half))}" y="${bottom + 16}">${escapeText(words)}</text>`;
  });
  const yTicks = y.ticks.map(
    (value) =>
      `<path class="grid" d="M${frame.left} ${round(y.at(value))}H${right}"/><text class="tick" text-anchor="end" x="${frame.left - 6}" y="${round(y.at(value) + 4)}">${escapeText(text(yAxis, value))}</text>`,
  );
  const middle = top + plotHeight / 2;
  return `${xTicks.join('')}${yTicks.join('')}<path class="axis" fill="none" d="M${frame.left} ${top}V${bottom}H${right}"/>
<text text-anchor="middle" x="${(frame.left + right) / 2}" y="${bottom + 36}">${escapeText(xAxis.label)}</text>
<text text-anchor="middle" transform="translate(13 ${middle}) rotate(-90)">${escapeText(yAxis.label)}</text>`;
}

function seriesSvg({ points, hasLine = true, hasMarks = true }: Series, i: number, x: Scale, y: Scale): string {
  const at = points.map((point) => [round(x.at(point.x)), round(y.at(point.y))] as const);
  const path = hasLine && at.length > 1 ? line(i, `M${at.map(([a, b]) => `${a} ${b}`).join('L')}`) : '';
  const bars = points
    .filter(({ low, high }) => low !== undefined && high !== undefined && high > low)
    .map(
      (point) =>
        `<path class="s${i % 6}" d="M${round(x.at(point.x))} ${round(y.at(point.low!))}V${round(y.at(point.high!))}"/>`,
    );
  const marks = hasMarks ? at.map(([a, b]) => mark(i, a, b)).join('') : '';
  return `<g>${path}${bars.join('')}${marks}</g>`;
}

/** Labels of points, wherever one can stand without covering another. */
function labelsSvg(series: readonly Series[], x: Scale, y: Scale, top: number): string {
  const points = series.flatMap(({ points }) => points);
  // No label may lie on a point, nor on another label.
  const taken = points.map((point) => box(x.at(point.x) - 4, y.at(point.y) - 4, 8, 8));
  const labels: string[] = [];
  for (const point of points) {
    if (point.label === undefined) continue;
    const [a, b, w] = [x.at(point.x), y.at(point.y), point.label.length * letter];
    const places = [
      box(a + 7, b - 6, w, 12),
      box(a - 7 - w, b - 6, w, 12),
      box(a - w / 2, b - 20, w, 12),
      box(a - w / 2, b + 8, w, 12),
    ];
    const place = places.find(
      (one) =>
        one.left >= frame.left &&
        one.right <= width &&
        one.top >= top &&
        one.bottom <= top + plotHeight &&
        !taken.some(
          (other) =>
            one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom,
        ),
    );
    if (place === undefined) continue;
    taken.push(place);
    labels.push(
      `<text class="halo" x="${round(place.left)}" y="${round(place.bottom - 2)}">${escapeText(point.label)}</text>`,
    );
  }
  return labels.join('');
}

function box(left: number, top: number, boxWidth: number, height: number) {
  return { left, top, right: left + boxWidth, bottom: top + height };
}

/** The legend: names in rows above the plot. */
function legendOf(names: readonly string[]): { height: number; svg(key: (i: number) => string): string } {
  if (names.length === 0) return { height: 0, svg: () => '' };
  let [x, row] = [frame.left, 0];
  const places = names.map((name) => {
    const size = 28 + name.length * letter + 14;
    if (x > frame.left && x + size > width) [x, row] = [frame.left, row + 1];
    const place = { x, y: frame.top + row * 20 + 6 };
    x += size;
    return place;
  });
  const svg = (key: (i: number) => string) =>
    places
      .map(
        (place, i) =>
          `<g transform="translate(${round(place.x)} ${place.y})">${key(i)}<text x="26" y="4">${escapeText(names[i]!)}</text></g>`,
      )
      .join('');
  return { height: (row + 1) * 20 + 6, svg };
}

function line(i: number, path: string): string {
  const dash = dashes[i % dashes.length];
  return `<path class="line s${i % 6}" style="fill:none" d="${path}"${dash ? ` stroke-dasharray="${dash}"` : ''}/>`;
}

/** The i-th mark: circle, square, triangle, diamond, cross, ring. */
function mark(i: number, x: number, y: number): string {
  const at = `transform="translate(${x} ${y})"`;
  const name = `class="s${i % 6}"`;
  const shapes = [
    `<circle ${name} ${at} r="3.5"/>`,
    `<path ${name} ${at} d="M-3.5 -3.5H3.5V3.5H-3.5Z"/>`,
    `<path ${name} ${at} d="M0 -4.5L4.5 3.5H-4.5Z"/>`,
    `<path ${name} ${at} d="M0 -5L5 0L0 5L-5 0Z"/>`,
    `<path ${name} ${at} stroke-width="2" d="M-4 -4L4 4M-4 4L4 -4"/>`,
    `<circle ${name} ${at} r="3.5" style="fill:var(--paper)" stroke-width="2"/>`,
  ];
  return shapes[i % shapes.length]!;
}

function document(
  { id, title, description }: { id: string; title: string; description: string },
  height: number,
  body: string,
): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${width} ${round(height)}" role="img" aria-labelledby="${id}-title ${id}-description">
<title id="${id}-title">${escapeText(title)}</title>
<desc id="${id}-description">${escapeText(description)}</desc>
<style>${chartStyle}</style>
<rect class="paper" width="${width}" height="${round(height)}"/>
${body}
</svg>
`;
}

function text({ text }: Axis, value: number): string {
  return text === undefined ? figureText(value) : text(value);
}

/** A figure as a short text: `1500` is `1.5k`, `0.25` is itself. */
export function figureText(value: number): string {
  const units: [number, string][] = [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  for (const [size, unit] of units)
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  return String(Number(value.toPrecision(3)));
}

export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
