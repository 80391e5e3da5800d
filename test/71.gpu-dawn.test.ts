// What lies between the kernels and Dawn: its Null backend, counts and times, the blob cache, uploads, a lost device.
import test from 'tape';
import { loadModel } from '../lib/index.js';
import { kexa } from './support/cli.js';
import { modelFolder } from './support/goldens.js';
import { softwareGpuEnvironment, useSoftwareGpu } from './support/software-gpu.js';

useSoftwareGpu();

test('every kernel, in f16 and f32, plain and with subgroups, passes Dawn’s front end (Null backend)', async (t) => {
  for (const name of ['tiny', 'edge', 'two', 'wide'] as const)
    for (const gpuKernels of ['plain', 'subgroups', 'matrices'] as const)
      for (const gpuElements of ['f16', 'f32'] as const) {
        const model = await loadModel(modelFolder(name), { device: 'null', gpuElements, gpuKernels, gpuChecks: true });
        // Encoded and validated, though nothing is computed: a short step, a long one, and the MTP block.
        for (const count of [3, 40]) {
          const ids = Array.from({ length: count }, (_, i) => i);
          const { logits } = await model.forward(ids, { mtp: model.config.mtp !== null });
          t.equal(
            logits.length,
            count * model.config.vocabSize,
            `${name}, ${gpuKernels}, ${gpuElements}: ${count} rows`,
          );
        }
        t.equal(model.device.name, 'null');
        await model.close();
      }
});

test('the Null backend is never listed nor taken for a GPU, though Dawn falls back to it where it has no driver', async (t) => {
  const run = await kexa(['doctor', '--json'], {
    env: { ...softwareGpuEnvironment(), VK_ICD_FILENAMES: '/no/such/driver.json' },
  });
  const { devices, dawn } = JSON.parse(run.stdout) as { devices: { name: string }[]; dawn: { adapters: object[] } };
  t.deepEqual(
    devices.map(({ name }) => name),
    ['cpu'],
  );
  t.deepEqual(dawn.adapters, []);
});
