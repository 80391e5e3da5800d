// Checks the kernels' f16 elements, which SwiftShader lacks: runs the goldens and every op on Mesa's lavapipe.
//   node tools/check-f16.mjs [--if-installed]
// Installs Debian's mesa-vulkan-drivers and libvulkan-dev with apt-get if they are not there, which needs root, and
// builds tools/lavapipe-shim.c into build/lavapipe. With --if-installed, which `npm run test:all` gives, it installs
// nothing and says that it was skipped. Exits 1 if anything was wrong.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTensors, rowDifferences } from './goldens.mjs';
import { root, setUp } from './setup.mjs';

const bound = 1e-2;
const folder = join(root, 'build/lavapipe');
const device = 'llvmpipe';
let failures = 0;

setUp({ forTests: true });
installLavapipe();
Object.assign(process.env, { VK_ICD_FILENAMES: buildShim(), KEXA_VULKAN_LIBRARY: 'libvulkan.so.1' });

const { loadModel } = await import('../dist/index.js');
for (const gpuKernels of ['plain', 'subgroups'])
  for (const name of ['tiny', 'wide', 'edge', 'two']) await checkGoldens(name, gpuKernels);
checkOps();
console.log(failures ? `${failures} wrong` : 'all right');
process.exit(failures ? 1 : 0);

function installLavapipe() {
  if (existsSync('/usr/include/vulkan/vulkan.h') && run('dpkg', ['-s', 'mesa-vulkan-drivers']).status === 0) return;
  if (process.argv.includes('--if-installed')) {
    console.log('skipped: mesa-vulkan-drivers and libvulkan-dev are not installed');
    process.exit(0);
  }
  console.error('installing mesa-vulkan-drivers and libvulkan-dev with apt-get, which needs root');
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'mesa-vulkan-drivers', 'libvulkan-dev']])
    must('apt-get', args);
}

/** The path of the shim's manifest. */
function buildShim() {
  mkdirSync(folder, { recursive: true });
  const library = join(folder, 'lavapipe-shim.so');
  must('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-o', library, join(root, 'tools/lavapipe-shim.c'), '-ldl']);
  const manifest = join(folder, 'lavapipe-shim.json');
  const ICD = { library_path: library, api_version: '1.3.0' };
  writeFileSync(manifest, JSON.stringify({ file_format_version: '1.0.0', ICD }));
  return manifest;
}

/**
 * Compares the logits of every prompt with the goldens: each row must be within `bound` of its largest logit. A prompt
 * is compared up to the first row that goes to other experts than on the CPU device; from there on another function is
 * computed.
 */
async function checkGoldens(name, gpuKernels) {
  const title = `${name}, ${gpuKernels}`;
  try {
    const folder = join(root, name === 'tiny' ? 'models/tiny' : `test/models/${name}`);
    const goldens = join(root, 'test/models', name, 'goldens');
    const prompts = JSON.parse(readFileSync(join(goldens, 'goldens.json'), 'utf8'));
    const tensor = readTensors(join(goldens, 'tensors.safetensors'));
    const model = await loadModel(folder, { device, gpuChecks: true, gpuKernels, gpuElements: 'f16' });
    const cpu = await loadModel(folder, { device: 'cpu' });
    const same = [];
    const others = [];
    for (const [index, { ids }] of prompts.entries()) {
      const { logits, routes } = await model.forward(ids, { trace: true });
      const wanted = tensor(`prompt${index}.logits`);
      const differences = rowDifferences(logits, wanted, model.config.vocabSize);
      const { routes: wantedRoutes } = await cpu.forward(ids, { trace: true });
      const other = firstOtherRoute(routes, wantedRoutes, ids.length);
      same.push(...differences.slice(0, other));
      others.push(...differences.slice(other));
    }
    await model.close();
    await cpu.close();
    const far = (rows) => rows.filter((difference) => !(difference < bound)).length;
    const median = same.toSorted((a, b) => a - b)[same.length >> 1];
    report(
      title,
      far(same) === 0,
      `${same.length} rows with the same experts: worst ${Math.max(...same).toExponential(1)}, median ` +
        `${median.toExponential(1)}, ${far(same)} past ${bound}; ${others.length} rows after others: ${far(others)} past it`,
    );
  } catch (error) {
    report(title, false, String(error));
  }
}

/** The first row that any layer sends to other experts, in any order. `rows` if there is none. */
function firstOtherRoute(found, wanted, rows) {
  for (let row = 0; row < rows; row++)
    for (const [i, { experts }] of found.entries()) {
      const topK = experts.length / rows;
      const ids = (of) => [...of.subarray(row * topK, (row + 1) * topK)].sort((a, b) => a - b).join();
      if (ids(experts) !== ids(wanted[i].experts)) return row;
    }
  return rows;
}

function checkOps() {
  const test = ['--import', 'tsx', 'node_modules/tape/bin/tape', 'test/gpu/ops.test.ts'];
  const env = { ...process.env, KEXA_TEST_DEVICE: device, KEXA_TEST_ELEMENTS: 'f16' };
  const { status, stdout, stderr } = spawnSync(process.execPath, test, { cwd: root, encoding: 'utf8', env });
  const lines = stdout.split('\n');
  for (const line of lines) if (line.startsWith('not ok') || /^# ops|^# attention/.test(line)) console.log(`  ${line}`);
  const count = (word) => lines.filter((line) => line.startsWith(word)).length;
  report('ops', status === 0, `${count('ok ')} passed, ${count('not ok ')} failed${count('ok ') ? '' : `\n${stderr}`}`);
}

function report(name, isRight, text) {
  if (!isRight) failures++;
  console.log(`${isRight ? 'ok    ' : 'WRONG '} ${name.padEnd(20)} ${text}`);
}

function run(command, args) {
  return spawnSync(command, args, { encoding: 'utf8' });
}

function must(command, args) {
  const { status, stdout, stderr, error } = run(command, args);
  if (status === 0) return;
  console.error(`${command} ${args.join(' ')}: ${error?.message ?? `${stdout}${stderr}`}`);
  process.exit(1);
}
