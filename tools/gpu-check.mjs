// Checks a GPU in one call: which one it is, whether every kernel is right on it, and how fast it is.
//   node tools/gpu-check.mjs [--device gpu] [--log FILE] [--quick]
// Needs a built checkout: dist/, build/Release, npm webgpu, models/tiny, and test/models if they are there. On a
// machine without the tests' packages it needs the file that tools/pack-gpu-check.mjs makes.
// Prints a short table; --log keeps every figure. Exits 1 if anything was wrong.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findDawn, vulkanLibrary } from '../dist/device/dawn.js';
import { benchmark, loadModel } from '../dist/index.js';
import { native } from '../dist/native.js';
import { readTensors, rowDifferences } from './goldens.mjs';
import { measureOps } from './gpu-ops.mjs';
import { writeConfig } from './make-random-model.mjs';
import { root } from './setup.mjs';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'gpu' },
    log: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const log = [];
const table = [];
let failures = 0;

note(
  'driver',
  attempt(() =>
    execFileSync('nvidia-smi', ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim(),
  ) ?? 'nvidia-smi gives nothing',
);
const adapters = await native().adapters((await findDawn()).path, vulkanLibrary());
for (const adapter of adapters) {
  note('adapter', JSON.stringify(adapter));
  const gibibytes = adapter.heaps.filter(({ isDeviceLocal }) => isDeviceLocal).map(({ bytes }) => bytes / 2 ** 30);
  const shapes = adapter.matrixShapes.map(({ component, result, m, n, k }) => `${component}-${result} ${m}x${n}x${k}`);
  row(
    `adapter ${adapter.device}`,
    `${gibibytes.map((size) => `${size.toFixed(1)} GiB`).join(' + ') || 'memory not told'}, f16 ${adapter.hasF16}, ` +
      `subgroups ${adapter.hasSubgroups && `${adapter.subgroupMin}..${adapter.subgroupMax}`}, ` +
      `matrices ${shapes.join(', ') || 'none'}`,
    true,
  );
}

for (const gpuChecks of [true, false]) {
  for (const name of ['tiny', 'edge', 'two', 'wide']) {
    const folder = join(root, name === 'tiny' ? 'models/tiny' : `test/models/${name}`);
    const goldens = join(root, 'test/models', name, 'goldens');
    if (!existsSync(folder) || !existsSync(goldens)) row(`parity ${name}`, 'not at hand', true);
    else await checkParity(name, folder, goldens, gpuChecks);
  }
}
await checkRowInvariance();
await checkOps();
await bench('tiny', join(root, 'models/tiny'), false);
const folder = mkdtempSync(join(tmpdir(), 'kexa-gpu-check-'));
try {
  // Fewer layers and experts than K-EXAONE, but of its own widths, so that a layer's times are those of the real model.
  const [name, shape] = options.quick
    ? [
        "2 layers of a sixteenth of K-EXAONE's width",
        { hidden: 384, layers: 2, experts: 16, width: 128, heads: 4, 'kv-heads': 1, dense: 1152, vocab: 9600 },
      ]
    : [
        "4 layers of K-EXAONE's width, 32 experts",
        { hidden: 6144, layers: 4, experts: 32, width: 2048, heads: 64, 'kv-heads': 8, dense: 18432, vocab: 153600 },
      ];
  // Their weights are made up on the GPU.
  writeConfig(folder, { ...shape, 'top-k': 8 });
  await bench(name, folder, true);
  try {
    await measureOps(folder, { device: options.device, isQuick: options.quick, note, row });
  } catch (error) {
    row(`ops of ${name}`, String(error), false);
  }
} finally {
  rmSync(folder, { recursive: true });
}

console.log(
  table.map(({ name, text, isRight }) => `${isRight ? 'ok    ' : 'WRONG '} ${name.padEnd(48)} ${text}`).join('\n'),
);
console.log(failures ? `${failures} wrong` : 'all right');
if (options.log) writeFileSync(options.log, `${log.join('\n')}\n`);
process.exit(failures ? 1 : 0);

async function checkParity(name, folder, goldensFolder, gpuChecks) {
  const title = `parity ${name}${gpuChecks ? ', checked' : ''}`;
  try {
    const goldens = JSON.parse(readFileSync(join(goldensFolder, 'goldens.json'), 'utf8'));
    const tensor = readTensors(join(goldensFolder, 'tensors.safetensors'));
    const model = await loadModel(folder, { device: options.device, gpuChecks });
    const { vocabSize, hiddenSize } = model.config;
    let worst = 0;
    let isSameText = true;
    for (const [index, prompt] of goldens.entries()) {
      const mtp = prompt.ids.length > 1;
      const result = await model.forward(prompt.ids, { mtp, trace: true });
      const compare = (what, found, columns) => {
        const difference = Math.max(...rowDifferences(found, tensor(`prompt${index}.${what}`), columns));
        note(title, `prompt ${index} ${what} ${difference.toExponential(2)}`);
        worst = Math.max(worst, difference);
      };
      compare('logits', result.logits, vocabSize);
      if (mtp) compare('mtp_logits', result.mtpLogits, vocabSize);
      result.layers.forEach((rows, layer) => {
        compare(`layer${layer}`, rows, hiddenSize);
      });
      const near = prompt.greedy_margin.findIndex((margin) => margin < 1e-3);
      const count = near < 0 ? prompt.greedy.length : near;
      if (count === 0) continue;
      const { ids } = await model.generate(prompt.ids, { temperature: 0, maxTokens: count, ignoreEos: true });
      if (ids.join() !== prompt.greedy.slice(0, count).join()) isSameText = false;
    }
    await model.close();
    row(
      title,
      `worst ${worst.toExponential(1)}, greedy text ${isSameText ? 'the same' : 'DIFFERS'}`,
      worst < 1e-4 && isSameText,
    );
  } catch (error) {
    row(title, String(error), false);
  }
}

/** The same rows in steps of 1, 7 and 16: every bit must agree. */
async function checkRowInvariance() {
  try {
    const logits = [];
    for (const prefillChunk of [1, 7, 16]) {
      const model = await loadModel(join(root, 'models/tiny'), { device: options.device, prefillChunk });
      const ids = Array.from({ length: 60 }, (_, i) => (i * i * 31 + 7 * i + 5) % model.config.vocabSize);
      logits.push(Buffer.from((await model.forward(ids)).logits.buffer));
      await model.close();
    }
    row(
      'a row alone and in company',
      'bits compared',
      logits.every((other) => other.equals(logits[0])),
    );
  } catch (error) {
    row('a row alone and in company', String(error), false);
  }
}

async function bench(name, folder, synthetic) {
  try {
    const [prompt, generated] = options.quick ? [32, 8] : [512, 64];
    const tests = [
      { prompt, generated: 0, depth: 0, mtp: false },
      { prompt: 0, generated, depth: prompt, mtp: false },
    ];
    const repetitions = options.quick ? 1 : 3;
    const results = await benchmark(folder, { device: options.device, synthetic, tests, repetitions });
    note(`speed ${name}`, JSON.stringify(results));
    const [prefill, decode] = results;
    row(
      `speed ${name}`,
      `load ${decode.load_ms.toFixed(0)} ms, ${prefill.test} ${prefill.avg_ts.toFixed(1)} tok/s, ` +
        `${decode.test} ${decode.avg_ts.toFixed(1)} tok/s, ${decode.gb_per_s.toFixed(1)} GB/s; a token takes ` +
        `${decode.dispatches_per_token} dispatches, ${decode.encode_ms_per_token.toFixed(2)} ms to encode and submit`,
      true,
    );
  } catch (error) {
    row(`speed ${name}`, String(error), false);
  }
}

/** Every op against the CPU device: test gpu/ops, as a process of its own. */
async function checkOps() {
  const packed = join(root, 'build/gpu-check/ops.mjs');
  try {
    if (existsSync(join(root, 'node_modules/esbuild'))) await (await import('./pack-gpu-check.mjs')).packOps();
    if (!existsSync(packed)) return row('parity of every op', 'not at hand', true);
    for (const elements of ['f32', 'f16']) {
      const isThere = elements === 'f32' || adapters.some(({ hasF16 }) => hasF16);
      if (!isThere) continue;
      const env = { ...process.env, KEXA_TEST_DEVICE: options.device, KEXA_TEST_ELEMENTS: elements };
      const { status, stdout, stderr } = spawnSync(process.execPath, [packed], {
        encoding: 'utf8',
        env,
        maxBuffer: 1e8,
      });
      note(`ops, ${elements}`, `${stdout}\n${stderr}`);
      const count = (word) => stdout.split('\n').filter((line) => line.startsWith(word)).length;
      const passed = count('ok ');
      const isRight = status === 0 && passed > 0;
      row(`parity of every op, ${elements}`, `${passed} passed, ${count('not ok ')} failed`, isRight);
    }
  } catch (error) {
    row('parity of every op', String(error), false);
  }
}

function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}

function note(name, text) {
  log.push(`${name}: ${text}`);
}

function row(name, text, isRight) {
  note(name, text);
  table.push({ name, text, isRight });
  if (!isRight) failures++;
}
