// What each kernel reaches of what the GPU itself can do, for tools/gpu-check.mjs.
import { createRequire } from 'node:module';
import { chooseDevice } from '../dist/devices.js';
import { openModelFolder } from '../dist/files/model-folder.js';
import { loadModel } from '../dist/index.js';
import { checkPlanOptions } from '../dist/memory-plan.js';
import { measureRates } from './gpu-rates.mjs';
import { decodeWork, prefillWork } from './kernel-work.mjs';

/**
 * Measures the device's own rates, then decode steps and a prefill step of the model in `folder`, kernel by kernel.
 *
 * @param {{ device: string, isQuick: boolean, note(name: string, text: string): void,
 *   row(name: string, text: string, isRight: boolean): void }} options `row` and `note` take what was found.
 */
export async function measureKernels(folder, adapters, { device, isQuick, note, row }) {
  const { adapter: wanted, dawnLibrary } = await chooseDevice(device);
  const is = (adapter) =>
    wanted === 'gpu' ? !adapter.isSoftware : adapter.device.toLowerCase().includes(wanted.toLowerCase());
  const { matrixShapes } = adapters.find(is) ?? adapters[0];
  const matrix = matrixShapes.find(({ component, result, m }) => component === 'f16' && result === 'f32' && m <= 16);
  const size = isQuick ? { bytes: 2 ** 26, products: 64 } : { bytes: 2 ** 30, products: 4096 };
  const rates = await measureRates({ ...size, repeats: 5, matrix });
  note('rates', JSON.stringify(rates));
  const matrices = rates.matrices ? `, ${rates.matrices.shape} ${tera(rates.matrices.rate)}` : '';
  row(
    'the device itself',
    `copy ${giga(rates.copy)}, read ${giga(rates.read)}, f32 ${tera(rates.f32)}${matrices}`,
    true,
  );

  for (const context of isQuick ? [64] : [64, 4096]) {
    const { profiles, work } = await profileDecode(folder, context, { adapter: wanted, dawnLibrary });
    for (const [kernel, bytes] of work) {
      const { seconds, dispatches } = median(profiles, kernel);
      const rate = bytes / seconds;
      const shares = `${giga(rate)}, ${percent(rate / rates.copy)} of copy, ${percent(rate / rates.read)} of read`;
      const text = `${(bytes / 1e6).toFixed(1)} MB in ${(seconds * 1e6).toFixed(0)} us, ${dispatches} dispatches: ${shares}`;
      row(`  decode @ ${context}: ${kernel}`, seconds > 0 ? text : 'no timestamps', true);
    }
    const others = Object.keys(profiles[0]).filter((kernel) => !work.has(kernel));
    const text = others.map((kernel) => `${kernel} ${(median(profiles, kernel).seconds * 1e6).toFixed(0)} us`);
    row(`  decode @ ${context}: others`, text.join(', '), true);
  }

  const rows = isQuick ? 64 : 512;
  for (const gpuKernels of rates.matrices ? ['auto', 'matrices'] : ['auto']) {
    const { profiles, work } = await profilePrefill(folder, rows, { device, gpuKernels });
    for (const [kernel, operations] of work) {
      const { seconds } = median(profiles, kernel);
      if (!(seconds > 0)) continue;
      const rate = operations / seconds;
      const [of, whole] = kernel === 'multiply_matrices' ? ['matrices', rates.matrices.rate] : ['f32', rates.f32];
      const text = `${(operations / 1e9).toFixed(1)} GFLOP in ${(seconds * 1e3).toFixed(2)} ms: ${tera(rate)}`;
      row(`  prefill ${rows}, ${gpuKernels}: ${kernel}`, `${text}, ${percent(rate / whole)} of ${of}`, true);
    }
  }
}

/** Decode steps after a prompt of `context` tokens; each profile is by kernel. */
async function profileDecode(folder, context, where) {
  const { StepProbe } = createRequire(import.meta.url)('../build/Release/kexa_checks.node');
  const { description, config } = await openModelFolder(folder);
  const warmUp = 4;
  const plan = { ...checkPlanOptions({ contextSize: context + 64 }, description.maxPositions), ...where };
  const probe = new StepProbe(description, plan, context);
  probe.run(warmUp);
  const profiles = Array.from({ length: 9 }, () => probe.profile());
  probe.close();
  const cacheBytes = plan.cacheType === 'f32' ? 4 : 2;
  return { profiles, work: decodeWork(config, context + warmUp, { weightBytes: 2, cacheBytes }) };
}

async function profilePrefill(folder, rows, options) {
  const model = await loadModel(folder, { ...options, contextSize: 2048, prefillChunk: rows });
  const ids = Array.from({ length: rows }, (_, i) => (i * 7919) % model.config.vocabSize);
  await model.forward(ids, { logits: 'last' });
  const profiles = [];
  for (let i = 0; i < 5; i++) {
    const { profile } = await model.forward(ids, { logits: 'last', profile: true });
    profiles.push(Object.fromEntries(profile.ops.map(({ name, ...op }) => [name, op])));
  }
  await model.close();
  return { profiles, work: prefillWork(model.config, rows) };
}

function median(profiles, kernel) {
  const times = profiles.map((profile) => profile[kernel]?.nanoseconds ?? 0).sort((a, b) => a - b);
  return { seconds: times[times.length >> 1] / 1e9, dispatches: profiles[0][kernel]?.dispatches ?? 0 };
}

function giga(rate) {
  return `${(rate / 1e9).toFixed(1)} GB/s`;
}

function tera(rate) {
  return `${(rate / 1e12).toFixed(2)} TFLOP/s`;
}

function percent(part) {
  return `${(part * 100).toFixed(0)} %`;
}
