// Proves that the tests can fail: makes each known mistake of core-mutations.mjs and gpu-mutations.mjs in a copy of
// native/, builds it, and runs tests with it until one fails. A test that also fails without any mistake proves nothing,
// so each test that found a mistake is run once with the code as it is. Ends with 1 if a mistake survives, a patch no
// longer applies, or such a test fails. `node tools/check-mutations.mjs rope ring` tries only the mistakes whose names
// contain one of the words; the names of the GPU's begin with GPU. `npm run test:all -- --mutations` tries all.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { coreMutations } from './core-mutations.mjs';
import { gpuMutations } from './gpu-mutations.mjs';
import { root, setUp } from './setup.mjs';

const copy = join(root, 'build/mutations/src');
const build = join(root, 'build/mutations/build');
/** Addons without a mistake. */
const sound = join(root, 'build/mutations/sound');
const coreTests = [
  ...['core/forward', 'core/chunks', 'core/sisters', 'sessions/turns', 'generate/mtp', 'sessions/crowd'],
  ...['sessions/stats', 'sessions/shared-prompts'],
];
/** For what only native/checks can reach. */
const plannerTests = ['core/planner'];
const grammarTests = ['core/grammar-port', 'generate/grammar'];
/** Tests that are tried after a GPU mutation's own. */
const gpuTests = ['gpu/ops', 'gpu/goldens', 'gpu/chunks', 'gpu/choose', 'gpu/attention', 'gpu/mtp', 'gpu/experts'];
const coreLimitMs = 120_000;
const gpuLimitMs = 900_000;

const words = process.argv.slice(2);
if (words.some((word) => word.startsWith('-'))) {
  console.error('usage: node tools/check-mutations.mjs [WORD...]');
  process.exit(2);
}
const all = [
  ...coreMutations.map(([name, file, from, to]) => ({
    name,
    file,
    from,
    to,
    tests: testsOfCore(file, name),
    isGpu: false,
  })),
  ...gpuMutations.map(([name, own, file, from, to]) => ({
    ...{ name, file, from, to, isGpu: true },
    tests: [...own, ...gpuTests.filter((test) => !own.includes(test))],
  })),
];
const chosen = all.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
const targets = chosen.some(({ isGpu, tests }) => isGpu || tests === plannerTests || tests === grammarTests)
  ? ['kexa', 'kexa_checks']
  : ['kexa'];
setUp({ forTests: true });

mkdirSync(copy, { recursive: true });
for (const file of ['CMakeLists.txt', 'package.json']) cpSync(join(root, file), join(copy, file));
if (!existsSync(join(copy, 'node_modules'))) symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
const sources = readdirSync(join(root, 'native'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name).slice(join(root, 'native').length + 1));
const originals = new Map(sources.map((file) => [file, readFileSync(join(root, 'native', file), 'utf8')]));
for (const [file, text] of originals) writeSource(file, text);

let failures = 0;
const broken = compile();
if (broken) stop(`the core without a mistake: ${broken}`);
cpSync(join(build, 'Release'), sound, { recursive: true });
/** By name of a test: its first failure without a mistake, as `runTests` tells it. Undefined if it passes. */
const soundFailures = new Map();
console.log('| mistake | caught by | first failure |\n| --- | --- | --- |');
for (const { name, file, from, to, tests, isGpu } of chosen) {
  const original = originals.get(file);
  const patched = original && patch(original, typeof from === 'string' ? [[from, to]] : from);
  const outcome = patched === undefined ? undefined : await tryOut(file, patched, tests, isGpu);
  const caught = patched === undefined ? 'the patch does not apply' : (outcome ?? 'SURVIVED');
  const test = outcome?.split(' |')[0];
  if (test && !soundFailures.has(test)) {
    soundFailures.set(test, await runTests([test], isGpu ? gpuLimitMs : coreLimitMs, sound));
  }
  const proves = outcome !== undefined && soundFailures.get(test) === undefined;
  if (!proves) failures++;
  const remark = outcome && !proves ? ` (proves nothing: without the mistake, ${soundFailures.get(test)})` : '';
  console.log(`| ${name} | ${caught}${remark} |${outcome === undefined ? ' |' : ''}`);
}
console.log(`\n${chosen.length} mistakes, ${failures} not caught`);
process.exit(failures ? 1 : 0);

/** The tests of sessions come first where only they can tell. Only one test has packed weights, one the planner. */
function testsOfCore(file, name) {
  if (name.startsWith('grammar:')) return grammarTests;
  if (file === 'decode/step_plan.cc' || file === 'engine/admission.cc') return plannerTests;
  if (file.includes('packed')) return ['files/packed'];
  return file.startsWith('cache/') || file.startsWith('engine/') ? coreTests.toReversed() : coreTests;
}

function patch(text, replacements) {
  let patched = text;
  for (const [from, to] of replacements) {
    if (patched.split(from).length !== 2) return undefined;
    patched = patched.replace(from, () => to);
  }
  return patched;
}

/** Returns which test caught the mistake and how. Undefined if none did. */
async function tryOut(file, patched, tests, isGpu) {
  writeSource(file, patched);
  const problem = compile();
  if (problem) stop(`${file}: ${problem}`);
  const caught = await runTests(tests, isGpu ? gpuLimitMs : coreLimitMs, join(build, 'Release'));
  writeSource(file, originals.get(file));
  return caught;
}

/** Only if it is another text, so that only what has changed is compiled. */
function writeSource(file, text) {
  const path = join(copy, 'native', file);
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}

function compile() {
  for (const target of targets) {
    const args = ['node_modules/cmake-js/bin/cmake-js', 'compile', '-d', copy, '-O', build, '--log-level', 'error'];
    const options = { cwd: root, encoding: 'utf8' };
    const { status, stdout, stderr } = spawnSync(process.execPath, [...args, '--target', target], options);
    if (status !== 0) return `does not compile\n${stdout}${stderr}`;
  }
  return undefined;
}

/**
 * Returns the first failure of these tests with the addons of a folder, as two columns of a table. Undefined if all
 * pass.
 */
async function runTests(tests, limitMs, addons) {
  for (const test of tests) {
    const { lines, end } = await runTest(test, limitMs, addons);
    const at = lines.findIndex((line) => line.startsWith('not ok'));
    if (at < 0 && end === 0) continue;
    const before = lines.slice(0, at < 0 ? lines.length : at);
    const title = before.findLast((line) => line.startsWith('# '))?.slice(2) ?? 'no test had begun';
    const what = at >= 0 ? lines[at].replace(/^not ok \d+ /, '') : end;
    return `${test} | ${shortened(title)}: ${shortened(what)}`;
  }
  return undefined;
}

/** Runs one test file until it fails or ends. Resolves with its lines, and 0 or how it ended. */
function runTest(test, limitMs, addons) {
  return new Promise((resolve) => {
    const args = ['--import', 'tsx', 'node_modules/tape/bin/tape', `test/${test}.test.ts`];
    const binaries = {
      KEXA_BINARY: join(addons, 'kexa.node'),
      ...(targets.includes('kexa_checks') && { KEXA_CHECKS: join(addons, 'kexa_checks.node') }),
    };
    const env = { ...process.env, ...binaries };
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      // A whole line: the first failure is enough.
      if (/^not ok .*\n/m.test(output)) child.kill('SIGKILL');
    });
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      resolve({ lines: output.split('\n'), end: signal ? 'no end of it' : status === 0 ? 0 : `exit status ${status}` });
    });
  });
}

function shortened(text) {
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}

function stop(problem) {
  console.error(problem);
  process.exit(1);
}
