/** `kexa bench --report`: a page that needs nothing else, and its charts. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type Test } from 'tape';
import { readOps, writeReport } from '../../lib/bench/report.js';
import { barsSvg, chartSvg } from '../../lib/bench/svg.js';
import { type BenchResult, benchmark, type OpBenchResult } from '../../lib/index.js';
import { kexa, temporaryFolder, tiny } from '../support/cli.js';

/** Checks that every tag that is opened is closed, in order; returns the names in their order. */
function tagsOf(t: Test, name: string, text: string): string[] {
  const open: string[] = [];
  const seen: string[] = [];
  const isVoid = /^(meta|link|br|img)$/;
  for (const [, end, tag, own] of text.matchAll(/<(\/?)([a-z]+)(?:\s(?:[^<>"]|"[^"]*")*?)?(\/?)>/g)) {
    seen.push(tag!);
    if (own === '/' || isVoid.test(tag!)) continue;
    if (end === '') open.push(tag!);
    else if (open.pop() !== tag) t.fail(`${name}: </${tag}> closes something else`);
  }
  t.deepEqual(open, [], `${name}: all tags are closed`);
  return seen;
}

test('report: one page, and each chart as a file', async (t) => {
  const folder = join(temporaryFolder(t), 'out');
  const ops = join(folder, '../ops.json');
  const op = { op: 'head', shape: '4096x256', rows: 1, variant: null, ms: 0.2, bytes: 2e6, flops: 2e6, device: 'cpu' };
  writeFileSync(ops, JSON.stringify([op, { ...op, op: 'other', device: 'gpu' }]));
  const args = ['-p', '8', '-n', '4', '-d', '0,16', '--mtp', 'off,1,2', '-r', '2', '-t', '1'];
  const run = await kexa(['bench', '-m', tiny, ...args, '-o', 'json', '--report', folder, '--ops', ops]);
  t.equal(run.code, 0, run.stderr);
  t.match(run.stderr, /report: .*index\.html/);
  const files = readdirSync(folder);
  t.deepEqual(files, [
    'acceptance-over-drafts.svg',
    'decode-over-context.svg',
    'index.html',
    'memory-over-context.svg',
    'prefill-over-context.svg',
    'rate-over-drafts.svg',
    'results.json',
    'roofline.svg',
  ]);
  t.deepEqual(JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')), JSON.parse(run.stdout));
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  const tags = tagsOf(t, 'index.html', page);
  t.notOk(/<(script|link|img|iframe)|@import|url\(/.test(page), 'nothing is fetched');
  t.notOk(/https?:/.test(page.replaceAll('http://www.w3.org/2000/svg', '')), 'nor named');
  const ids = [...page.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
  t.equal(new Set(ids).size, ids.length, 'ids are not used twice');
  for (const [, list] of page.matchAll(/aria-labelledby="([^"]+)"/g))
    for (const id of list!.split(' ')) t.ok(ids.includes(id), `#${id} is there`);
  t.equal(tags.filter((tag) => tag === 'svg').length, 2 * 6);
  t.match(page, /1 ops of another device, gpu/);
  t.ok(page.includes('lang="en"') && page.includes('prefers-color-scheme:dark') && page.includes('width=device-width'));
  for (const file of files.filter((name) => name.endsWith('.svg'))) {
    const svg = readFileSync(join(folder, file), 'utf8');
    tagsOf(t, file, svg);
    t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*role="img"/);
    t.match(svg, /<title id=.*<desc id=/s);
    t.notOk(/NaN|Infinity|undefined/.test(svg), `${file}: only numbers`);
  }
  const roofline = readFileSync(join(folder, 'roofline.svg'), 'utf8');
  for (const name of ['prefill', 'decode', 'ops', 'memory, ', 'arithmetic, '])
    t.ok(roofline.includes(`>${name}`), name);

  const bad = async (text: string, pattern: RegExp) => {
    writeFileSync(ops, text);
    const wrong = await kexa(['bench', '-m', tiny, ...args, '--report', folder, '--ops', ops]);
    t.equal(wrong.code, 1);
    t.match(wrong.stderr, pattern);
  };
  await bad('{}', /wanted an array of ops/);
  await bad('[{"op":"head"}]', /entry 1, head: wanted an op of kexa bench ops: device is no text/);
  await bad(JSON.stringify([op, { ...op, ms: -1 }]), /entry 2, head: .*: ms is no number from 0 on/);
  await bad('[null]', /entry 1: .*: op is no text/);
});

test('report: what kexa bench ops writes is read again, what is left over of a step included', async (t) => {
  const file = join(temporaryFolder(t), 'ops.json');
  const args = ['-m', tiny, '--device', 'cpu', '-t', '1', '--rows', '1,2', '-r', '1', '--time', '0', '-d', '8'];
  const { stdout, code } = await kexa(['bench', 'ops', ...args, '-o', 'json']);
  t.equal(code, 0);
  const written = JSON.parse(stdout) as OpBenchResult[];
  // Whether ops by themselves took longer than the step is up to the machine.
  const overlapping = written.map((one) => (one.op === 'unaccounted' ? { ...one, ms: -0.01 } : one));
  for (const results of [written, overlapping]) {
    writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
    t.deepEqual(await readOps(file), results);
  }
});

test('report: a folder that cannot be written is told before anything is measured, and results are never lost', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'kept');
  const args = ['bench', '-m', tiny, '-p', '8', '-n', '4', '-r', '1', '-t', '1', '-o', 'json'];
  for (const [report, pattern] of [
    [file, /file: the report cannot be written: EEXIST/],
    [join(file, 'below'), /the report cannot be written: ENOTDIR/],
    ['', /the report cannot be written: wanted the name of a folder/],
  ] as const) {
    // A model that is not there would be the first thing to fail of a measurement.
    const run = await kexa([...args, '-m', join(folder, 'none'), '--report', report]);
    t.equal(run.code, 1);
    t.match(run.stderr, pattern);
    t.equal(run.stdout, '');
  }
  t.equal(readFileSync(file, 'utf8'), 'kept');
  // An obstacle shows only when the report is written.
  mkdirSync(join(folder, 'out/index.html'), { recursive: true });
  const run = await kexa([...args, '--report', join(folder, 'out')]);
  t.equal(run.code, 1);
  t.match(
    run.stderr,
    /out: the report cannot be written: .*index\.html: cannot be written: wanted a regular file .*, found a folder/,
  );
  t.equal((JSON.parse(run.stdout) as BenchResult[]).length, 2, 'the results are there');
  t.deepEqual(
    readdirSync(join(folder, 'out')).filter((name) => name.startsWith('.')),
    [],
    'no trial file is left',
  );
});

test('report: kernels, texts that look like markup, and nothing at all', async (t) => {
  const folder = temporaryFolder(t);
  const tests = [{ prompt: 0, generated: 2, depth: 0, mtp: false as const }];
  const [result] = await benchmark(tiny, { tests, repetitions: 1, warmUp: false, rates: false });
  const kernels = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name, i) => ({ name, dispatches: 1, ns: 7000 - i * 1000 }));
  const odd: BenchResult = { ...result!, model_filename: '<b>"&', ops: kernels };
  await writeReport(folder, { results: [odd], ops: [], memory: [] });
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  tagsOf(t, 'index.html', page);
  t.ok(page.includes('&lt;b&gt;&quot;&amp;') && !page.includes('<b>'));
  const bars = readFileSync(join(folder, 'time-per-op.svg'), 'utf8');
  t.ok(bars.includes('>others<') && !bars.includes('>f<'), 'small ones are put together');
  t.match(bars, /others: 3</, '2 and 1 microseconds');
  await writeReport(folder, { results: [], ops: [], memory: [] });
  t.match(readFileSync(join(folder, 'index.html'), 'utf8'), /Nothing was complete/);
  t.end();
});

test('charts: values are where their axes say', (t) => {
  const axis = { label: 'x', ticks: [0, 10] };
  const chart = { id: 'a', title: 'A', description: 'of a', x: axis, y: { label: 'y', ticks: [0, 100] } };
  const points = [0, 5, 10].map((x) => ({ x, y: x * 10 }));
  const svg = chartSvg({ ...chart, series: [{ name: 's', points }] });
  const [, path] = /class="line s0"[^>]*d="M([^"]+)"/.exec(svg.slice(svg.indexOf('<g><path')))!;
  const [low, middle, high] = path!.split('L').map((pair) => pair.split(' ').map(Number) as [number, number]);
  t.ok(Math.abs(low![0] + high![0] - 2 * middle![0]) < 0.2 && Math.abs(low![1] + high![1] - 2 * middle![1]) < 0.2);
  t.ok(high![0] > low![0] && high![1] < low![1], 'up is more');
  const log = chartSvg({
    ...chart,
    x: { label: 'x', isLog: true },
    y: { label: 'y', isLog: true },
    series: [{ name: 's', points: [1, 10, 100, 1000].map((x) => ({ x, y: x })) }],
  });
  const [, steps] = /class="line s0"[^>]*d="M([^"]+)"/.exec(log.slice(log.indexOf('<g><path')))!;
  const xs = steps!.split('L').map((pair) => Number(pair.split(' ')[0]));
  t.ok(Math.abs(xs[1]! - xs[0]! - (xs[3]! - xs[2]!)) < 0.3, 'decades are as long as one another');
  const bars = barsSvg({
    id: 'b',
    title: 'B',
    description: '',
    x: { label: 'us' },
    bars: [
      {
        name: 'r',
        parts: [
          { name: 'p', value: 3 },
          { name: 'q', value: 1 },
        ],
      },
    ],
  });
  const widths = [...bars.matchAll(/width="([\d.]+)" height="18"/g)].map(([, width]) => Number(width));
  t.ok(Math.abs(widths[0]! / widths[1]! - 3) < 0.02);
  t.end();
});
