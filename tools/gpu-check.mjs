// Everything worth knowing of a GPU, in one call: what it is, whether every kernel is right on it, how fast it is.
//   node tools/gpu-check.mjs [--device gpu] [--log FILE] [--quick]
// Needs a built checkout: dist/, build/Release/kexa.node, npm webgpu, models/tiny; test/models where it is at hand.
// Prints a short table; --log keeps every figure. Exits 1 if anything was wrong.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findDawn } from '../dist/dawn.js';
import { loadModel } from '../dist/index.js';
import { native } from '../dist/native.js';
import { makeRandomModelFolder } from './make-random-model.mjs';
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
for (const adapter of await native().adapters((await findDawn()).path)) {
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
await bench('tiny', join(root, 'models/tiny'));
if (!options.quick) {
  const folder = mkdtempSync(join(tmpdir(), 'kexa-gpu-check-'));
  try {
    // Two layers of K-EXAONE's width; fewer experts, so that a buffer of them stays under 2 GiB.
    makeRandomModelFolder(folder, {
      hidden: 6144,
      layers: 4,
      experts: 32,
      'top-k': 8,
      width: 2048,
      heads: 64,
      'kv-heads': 8,
      dense: 18432,
      vocab: 153600,
    });
    await bench("4 layers of K-EXAONE's width, 32 experts", folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
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
        const difference = rowDifference(found, tensor(`prompt${index}.${what}`), columns);
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

async function bench(name, folder) {
  try {
    const started = performance.now();
    const model = await loadModel(folder, { device: options.device, contextSize: 2048 });
    const loadMs = performance.now() - started;
    const ids = Array.from({ length: options.quick ? 32 : 512 }, (_, i) => (i * 7919) % model.config.vocabSize);
    const maxTokens = options.quick ? 8 : 64;
    await model.generate(ids.slice(0, 8), { temperature: 0, maxTokens: 4, ignoreEos: true });
    const { timings } = await model.generate(ids, { temperature: 0, maxTokens, ignoreEos: true });
    const bytes = model.config.activeParameters * 2;
    const rate = (bytes * timings.decodeTokensPerSecond) / 1e9;
    row(
      `speed ${name}`,
      `load ${loadMs.toFixed(0)} ms, pp${ids.length} ${timings.prefillTokensPerSecond.toFixed(1)} tok/s, ` +
        `tg${maxTokens} ${timings.decodeTokensPerSecond.toFixed(1)} tok/s, ${rate.toFixed(1)} GB/s of weights`,
      true,
    );
    await model.close();
  } catch (error) {
    row(`speed ${name}`, String(error), false);
  }
}

function rowDifference(found, wanted, columns) {
  if (found.length !== wanted.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let start = 0; start < wanted.length; start += columns) {
    let size = 0;
    let off = 0;
    for (let i = start; i < start + columns; i++) {
      size = Math.max(size, Math.abs(wanted[i]));
      const difference = Math.abs(found[i] - wanted[i]);
      off = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(off, difference);
    }
    worst = Math.max(worst, off / size);
  }
  return worst;
}

function readTensors(path) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  return (name) => {
    const [start, end] = header[name].data_offsets;
    const first = bytes.byteOffset + 8 + length;
    return new Float32Array(bytes.buffer.slice(first + start, first + end));
  };
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
