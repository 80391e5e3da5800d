// `npm test`: sets up, then runs every check and every test file, and ends with "N passed, N failed, N skipped".
// `npm test -- gpu/attention cli` runs only the test files of which the path (`gpu/attention`), or a part of it between
// slashes, begins with one of the words, and no checks.
// `npm run test:all` runs the long rest, which `npm test` leaves out: the files named *.long.test.ts, and the kernels
// in f16 where Mesa's lavapipe is installed. With words it chooses among the files. `npm run test:all -- --mutations`
// also proves that the tests can fail, by tools/check-mutations.mjs.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

const fileLimitMs = 1_200_000;
/** Seconds that files took when they last passed: on this machine, and on the one that the committed file is from. */
const measuredPath = join(root, 'build/test-times.json');
const measured = readTimes(measuredPath);
const committed = readTimes(join(root, 'tools/test-times.json'));
const given = process.argv.slice(2);
const isLong = given.includes('--long');
const hasMutations = given.includes('--mutations');
const words = given.filter((word) => !word.startsWith('--'));
setUp({ forTests: true });

const node = process.execPath;
const checks = [
  {
    name: 'style (biome)',
    command: [node, 'node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'],
  },
  { name: 'types of the tests (tsc)', command: [node, 'node_modules/typescript/bin/tsc', '-p', 'test'] },
  { name: 'types of the page (tsc)', command: [node, 'node_modules/typescript/bin/tsc', '-p', 'lib/serve/page'] },
  {
    name: 'types of the public interface (tsd)',
    command: [node, 'node_modules/tsd/dist/cli.js', '--files', 'test/types/index.test-d.ts'],
  },
  { name: 'layers and file sizes', command: [node, 'tools/check-layers.mjs'] },
  { name: "CONTRIBUTING's table of what to run", command: [node, 'tools/check-guide.mjs'] },
  { name: 'names in comments and links', command: [node, 'tools/check-names.mjs'] },
  { name: 'format of C++ (clang-format)', command: [node, 'tools/format-native.mjs'] },
  { name: 'tables of docs', command: [node, '--import', 'tsx', 'tools/doc-tables.mjs'] },
];
const f16Check = {
  name: "kernels in f16 on Mesa's lavapipe",
  command: [node, 'tools/check-f16.mjs', '--if-installed'],
};
const mutationCheck = { name: 'mutations', command: [node, 'tools/check-mutations.mjs'], limitMs: 4 * 3_600_000 };
const files = readdirSync(join(root, 'test'), { recursive: true })
  .map((file) => file.replaceAll('\\', '/'))
  .filter(
    (file) =>
      !file.startsWith('node_modules/') && file.endsWith('.test.ts') && file.endsWith('.long.test.ts') === isLong,
  )
  .filter((file) => words.length === 0 || words.some((word) => `/${file}`.includes(`/${word}`)))
  // The longest first: begun last, one of them would keep a lane waiting for the other.
  .sort((a, b) => secondsOf(b) - secondsOf(a) || (a < b ? -1 : 1));

const total = { passed: 0, failed: 0, skipped: 0 };
/** Seconds by file of this run. */
const taken = {};
const failedFiles = new Set();
const work = files.map((file) => () => runFile(file));
if (words.length === 0 && !isLong) work.unshift(...checks.map((check) => () => runCheck(check)));
// Two at a time: most are of one thread, those of the GPU of little more. More would leave tests that watch the clock
// behind.
await Promise.all(
  Array.from({ length: Math.min(2, availableParallelism()) }, async () => {
    for (let next = work.shift(); next !== undefined; next = work.shift()) await next();
  }),
);
if (isLong && words.length === 0) await runCheck(f16Check);
if (hasMutations) await runCheck(mutationCheck);
reportTimes();
if (total.passed === 0) total.failed ||= 1;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed ? 1 : 0);

/** The seconds a file is expected to take. 0 for one that was never run. */
function secondsOf(file) {
  return measured[file] ?? committed[file] ?? 0;
}

/** Seconds by file; none if there is no such file, or if a run was ended while it wrote it. */
function readTimes(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return {};
    throw error;
  }
}

/** Prints what each file took, the longest first, and keeps it for the next run. */
function reportTimes() {
  const longestFirst = Object.entries(taken).sort(([, a], [, b]) => b - a);
  console.log('seconds by file:');
  for (const [file, seconds] of longestFirst) console.log(`${seconds.toFixed(1).padStart(8)}  ${file}`);
  const passed = longestFirst.filter(([file]) => !failedFiles.has(file));
  mkdirSync(join(root, 'build'), { recursive: true });
  const times = Object.fromEntries(Object.entries({ ...measured, ...Object.fromEntries(passed) }).sort());
  writeFileSync(measuredPath, `${JSON.stringify(times, null, 2)}\n`);
}

async function runCheck({ name, command, limitMs }) {
  const { status, output } = await run(command, limitMs);
  const isSkipped = status === 0 && /^skipped: /m.test(output);
  const count = {
    passed: Number(status === 0 && !isSkipped),
    failed: Number(status !== 0),
    skipped: Number(isSkipped),
  };
  report(name, count, status === 0 ? '' : output);
}

async function runFile(file) {
  const start = performance.now();
  const { status, output } = await run([node, '--import', 'tsx', 'node_modules/tape/bin/tape', join('test', file)]);
  const count = countTap(output);
  // A file that crashes, hangs or holds no test has failed, whatever it printed before.
  if (count.failed === 0 && (status !== 0 || count.passed + count.skipped === 0)) count.failed = 1;
  taken[file] = Math.round((performance.now() - start) / 100) / 10;
  if (count.failed) failedFiles.add(file);
  report(`${file} (${taken[file].toFixed(1)} s)`, count, count.failed ? output : '');
}

function report(name, count, output) {
  if (output) console.log(failuresOf(output));
  console.log(
    `${count.failed ? 'FAILED' : 'passed'}  ${name}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`,
  );
  for (const key of Object.keys(total)) total[key] += count[key];
}

function countTap(output) {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const line of output.split('\n')) {
    if (/^ok .*# SKIP/i.test(line) || /^# SKIP /.test(line)) count.skipped++;
    else if (/^ok /.test(line)) count.passed++;
    else if (/^not ok /.test(line)) count.failed++;
  }
  return count;
}

/** The failing assertions with their titles and details; all of it, if it is not TAP. */
function failuresOf(output) {
  const lines = output.split('\n');
  if (!lines.some((line) => line.startsWith('not ok '))) return lines.slice(-80).join('\n');
  let keeping = false;
  return lines
    .filter((line) => {
      if (line.startsWith('not ok ')) keeping = true;
      else if (line.startsWith('ok ') || line.startsWith('# ')) keeping = false;
      return keeping || line.startsWith('# ');
    })
    .slice(0, 400)
    .join('\n');
}

function run([command, ...args], limitMs = fileLimitMs) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    const timer = setTimeout(() => {
      output += `\nnot ok ran for more than ${limitMs / 1000} s\n`;
      child.kill('SIGKILL');
    }, limitMs);
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status, output });
    });
  });
}
