// Times how long the processor takes to encode and submit one decode token of K-EXAONE's 48 layers, and compares it
// with as many dispatches through the JavaScript API of the same Dawn, with and without Dawn's validation.
//   node tools/encode-time.mjs [--device swiftshader|null|gpu] [--steps 100] [--context 8192]
// Layers and experts are K-EXAONE's; widths are tiny, which changes no dispatch. Rounds of the four kinds take turns,
// and each step is waited for before the next begins. Figures are medians of wall time; the lowest and the 90th
// percentile show other load on the machine.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { tsImport } from 'tsx/esm/api';
import { makeRandomModelFolder } from './make-random-model.mjs';
import { root, setUp } from './setup.mjs';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'swiftshader' },
    steps: { type: 'string', default: '100' },
    context: { type: 'string', default: '8192' },
  },
});
const steps = Number(options.steps);
const contextSize = Number(options.context);
const rounds = 5;
const warmUp = 3;
const prompt = 16;

setUp({ forTests: true });
if (options.device === 'swiftshader') {
  const { useSoftwareGpu } = await tsImport('../test/support/software-gpu.ts', import.meta.url);
  useSoftwareGpu();
}
const { openModelFolder } = await import('../dist/files/model-folder.js');
const { chooseDevice } = await import('../dist/device/devices.js');
const { checkPlanOptions } = await import('../dist/plan/memory-plan.js');
const { StepProbe } = createRequire(import.meta.url)('../build/Release/kexa_checks.node');
const { create, globals } = await import('webgpu');

const folder = mkdtempSync(join(tmpdir(), 'kexa-encode-time-'));
try {
  makeRandomModelFolder(folder, {
    hidden: 64,
    layers: 48,
    experts: 128,
    'top-k': 8,
    width: 16,
    heads: 8,
    'kv-heads': 1,
    'head-dim': 16,
    dense: 96,
    vocab: 512,
    context: contextSize,
  });
  await measure();
} finally {
  rmSync(folder, { recursive: true });
}
// Dawn's JavaScript objects keep the process alive.
process.exit(0);

async function measure() {
  const { description } = await openModelFolder(folder);
  const device = await chooseDevice(options.device);
  const plan = {
    // Steps of one row only: a software GPU takes minutes to compile the kernels of larger ones.
    ...checkPlanOptions({ contextSize, prefillChunk: 1, threads: 1 }, description.maxPositions),
    adapter: device.adapter,
    dawnLibrary: device.dawnLibrary,
  };
  const native = (isChecked) => {
    const probe = new StepProbe(description, { ...plan, isChecked }, prompt);
    return { name: `kexa, validation ${isChecked ? 'on' : 'off'}`, probe, run: (count) => probe.run(count) };
  };
  const kinds = [native(false), native(true)];
  const profile = Object.entries(kinds[0].probe.profile());
  const ops = Object.fromEntries(profile.map(([name, { dispatches }]) => [name, dispatches]));
  const sequence = spread(ops);
  kinds.push(await javascript(sequence, false), await javascript(sequence, true));

  const bindings = sequence.map((name) => accessOf(name).length);
  console.log(
    `${options.device}: ${sequence.length} dispatches, ${bindings.reduce((sum, count) => sum + count, 0)} bindings: ` +
      Object.entries(ops)
        .map(([name, count]) => `${name} ${count}`)
        .join(', '),
  );
  for (const kind of kinds) {
    kind.times = { encode: [], submit: [], wait: [] };
    await kind.run(warmUp);
  }
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      const times = await kind.run(Math.ceil(steps / rounds));
      for (const name in times) kind.times[name].push(...times[name]);
    }
  }
  console.log(`medians of ${kinds[0].times.encode.length} steps, ms: `);
  const table = kinds.map(({ name, times: { encode, submit, wait } }) => {
    const both = encode.map((time, i) => time + submit[i]);
    return {
      '': name,
      encode: milliseconds(quantile(encode, 0.5)),
      submit: milliseconds(quantile(submit, 0.5)),
      both: milliseconds(quantile(both, 0.5)),
      lowest: milliseconds(quantile(both, 0)),
      '90 %': milliseconds(quantile(both, 0.9)),
      'us a dispatch': (quantile(both, 0.5) / 1e3 / sequence.length).toFixed(2),
      'then waited': milliseconds(quantile(wait, 0.5)),
    };
  });
  console.log(`| ${Object.keys(table[0]).join(' | ')} |`);
  console.log(
    `|${Object.keys(table[0])
      .map(() => ' --- |')
      .join('')}`,
  );
  for (const row of table) console.log(`| ${Object.values(row).join(' | ')} |`);
  for (const { probe } of kinds) probe?.close();
}

/** The names of a step's dispatches, each kernel's spread evenly: almost never two of one pipeline in a row. */
function spread(ops) {
  return Object.entries(ops)
    .flatMap(([name, count]) => Array.from({ length: count }, (_, i) => ({ name, at: (i + 0.5) / count })))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}

/** For each binding of a kernel, in their order, whether it is written. */
function accessOf(name) {
  const path = readdirSync(join(root, 'native/kernels'), { recursive: true }).find(
    (file) => basename(file) === `${name}.wgsl`,
  );
  const text = readFileSync(join(root, 'native/kernels', path), 'utf8');
  return [...text.matchAll(/@binding\((\d+)\) var<storage, (\w+)>/g)]
    .sort((a, b) => Number(a[1]) - Number(b[1]))
    .map(([, , access]) => access === 'read_write');
}

/**
 * Encodes the same number of dispatches through the JavaScript API. Everything is made beforehand, as in kexa. Each
 * reads a buffer that the dispatch before wrote, so that the same number of barriers is recorded. The kernels do
 * nothing.
 */
async function javascript(sequence, isChecked) {
  const flags = isChecked ? [] : ['enable-dawn-features=skip_validation'];
  if (options.device === 'null') flags.push('backend=null');
  const gpu = create(flags);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('the JavaScript API finds no adapter');
  const device = await adapter.requestDevice();
  const { GPUBufferUsage: usage, GPUShaderStage: stage, GPUMapMode: mode } = globals;
  device.addEventListener('uncapturederror', ({ error }) => {
    throw new Error(error.message);
  });
  const buffer = (size, flags) => device.createBuffer({ size, usage: flags });
  const storage = () => buffer(1024, usage.STORAGE | usage.COPY_SRC | usage.COPY_DST);
  const written = [0, 1].map(() => Array.from({ length: 4 }, storage));
  const state = storage();
  const readback = buffer(64, usage.MAP_READ | usage.COPY_DST);
  const module = device.createShaderModule({ code: '@compute @workgroup_size(1) fn nothing() {}' });
  const kernels = new Map();
  for (const name of new Set(sequence)) {
    const access = accessOf(name);
    const layout = device.createBindGroupLayout({
      entries: access.map((isWritten, binding) => ({
        binding,
        visibility: stage.COMPUTE,
        buffer: { type: isWritten ? 'storage' : 'read-only-storage' },
      })),
    });
    const pipeline = device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'nothing' },
    });
    kernels.set(name, { access, layout, pipeline });
  }
  const dispatches = sequence.map((name, i) => {
    const { access, layout, pipeline } = kernels.get(name);
    let writes = 0;
    let reads = 0;
    const entries = access.map((isWritten, binding) => {
      if (isWritten) return { binding, resource: { buffer: written[i % 2][writes++] } };
      reads++;
      return { binding, resource: { buffer: reads === 1 ? written[(i + 1) % 2][0] : reads === 2 ? state : storage() } };
    });
    return { pipeline, group: device.createBindGroup({ layout, entries }) };
  });

  const words = new Uint32Array(8);
  const run = async (count) => {
    const times = { encode: [], submit: [], wait: [] };
    for (let step = 0; step < count; step++) {
      const begun = process.hrtime.bigint();
      device.queue.writeBuffer(state, 0, words);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const { pipeline, group } of dispatches) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(1, 1, 1);
      }
      const encoded = process.hrtime.bigint();
      pass.end();
      encoder.copyBufferToBuffer(written[0][0], 0, readback, 0, 44);
      device.queue.submit([encoder.finish()]);
      const mapped = readback.mapAsync(mode.READ);
      const submitted = process.hrtime.bigint();
      await mapped;
      readback.unmap();
      times.encode.push(Number(encoded - begun));
      times.submit.push(Number(submitted - encoded));
      times.wait.push(Number(process.hrtime.bigint() - submitted));
    }
    return times;
  };
  // The API's other objects live only as long as the GPU object.
  return { name: `JavaScript, validation ${isChecked ? 'on' : 'off'}`, run, gpu };
}

function quantile(values, part) {
  return values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
}

function milliseconds(nanoseconds) {
  return (nanoseconds / 1e6).toFixed(3);
}
