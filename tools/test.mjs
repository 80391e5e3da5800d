// `npm test`: sets up, then runs every check and every test file, and ends with "N passed, N failed, N skipped".
// `npm test -- gpu/attention cli` runs only the test files of which the path (`gpu/attention`), or a part of it between
// slashes, begins with one of the words, and no checks.
// `npm run test:all` runs the long rest, which `npm test` leaves out: the files named *.long.test.ts. With words it
// chooses among these.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, setUp } from './setup.mjs';

const fileLimitMs = 1_200_000;
/** Files that take more than a minute, the longest first: begun last, one of them would keep the others' lanes waiting. */
const longest = [
  'gpu/mtp',
  'gpu/ops',
  'gpu/goldens',
  'gpu/choose',
  'gpu/chunks',
  'gpu/dawn',
  'gpu/experts',
  'gpu/gguf',
  'gpu/attention',
  'gpu/real-size',
  'gpu/life',
  'bench/device',
  'generate/mtp-prompts',
  'cli/verify',
  'generate/mtp-sampling',
  'gpu/devices',
  'gpu/expert-buffers',
  'gpu/growth',
];
const given = process.argv.slice(2);
const isLong = given.includes('--long');
const words = given.filter((word) => word !== '--long');
setUp({ forTests: true });

const node = process.execPath;
const checks = [
  {
    name: 'style (biome)',
    command: [node, 'node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'],
  },
  { name: 'types of the tests (tsc)', command: [node, 'node_modules/typescript/bin/tsc', '-p', 'test'] },
  {
    name: 'types of the public interface (tsd)',
    command: [node, 'node_modules/tsd/dist/cli.js', '--files', 'test/types/index.test-d.ts'],
  },
  { name: 'layers and file sizes', command: [node, 'tools/check-layers.mjs'] },
  { name: 'names in comments and links', command: [node, 'tools/check-names.mjs'] },
  { name: 'format of C++ (clang-format)', command: [node, 'tools/format-native.mjs'] },
];
const files = readdirSync(join(root, 'test'), { recursive: true })
  .map((file) => file.replaceAll('\\', '/'))
  .filter(
    (file) =>
      !file.startsWith('node_modules/') && file.endsWith('.test.ts') && file.endsWith('.long.test.ts') === isLong,
  )
  .filter((file) => words.length === 0 || words.some((word) => `/${file}`.includes(`/${word}`)))
  .sort((a, b) => placeOf(a) - placeOf(b) || (a < b ? -1 : 1));

const total = { passed: 0, failed: 0, skipped: 0 };
if (words.length === 0 && !isLong) {
  for (const { name, command } of checks) {
    const { status, output } = await run(command);
    report(
      name,
      { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 },
      status === 0 ? '' : output,
    );
  }
}
// Two at a time: most are of one thread, those of the GPU of little more. More would leave tests that watch the clock behind.
await Promise.all(
  Array.from({ length: Math.min(2, availableParallelism()) }, async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) await runFile(file);
  }),
);
if (total.passed === 0) total.failed ||= 1;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed ? 1 : 0);

function placeOf(file) {
  const place = longest.findIndex((name) => file.startsWith(name));
  return place < 0 ? longest.length : place;
}

async function runFile(file) {
  const start = performance.now();
  const { status, output } = await run([node, '--import', 'tsx', 'node_modules/tape/bin/tape', join('test', file)]);
  const count = countTap(output);
  // A file that crashes, hangs or holds no test has failed, whatever it printed before.
  if (count.failed === 0 && (status !== 0 || count.passed + count.skipped === 0)) count.failed = 1;
  report(`${file} (${((performance.now() - start) / 1000).toFixed(1)} s)`, count, count.failed ? output : '');
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

function run([command, ...args]) {
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
      output += `\nnot ok ran for more than ${fileLimitMs / 1000} s\n`;
      child.kill('SIGKILL');
    }, fileLimitMs);
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status, output });
    });
  });
}
