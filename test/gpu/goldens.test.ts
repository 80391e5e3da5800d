// The GPU device on SwiftShader, with Dawn's validation on: every kernel against the goldens and the CPU device.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { KexaError, type LoadOptions, listDevices, loadModel } from '../../lib/index.js';
import { rowDifference } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';
import { testGoldens } from '../support/gpu-goldens.js';
import { makeRandomModel, sisterConfigs, writeRandomModel } from '../support/random-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu: LoadOptions = { device: 'swiftshader', gpuChecks: true };

/** Ids without meaning, the same every time. */
function someIds(count: number, vocabSize: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * i * 31 + 7 * i + 5) % vocabSize);
}

test('the software GPU is listed after the CPU, and can be named', async (t) => {
  const devices = await listDevices();
  t.equal(devices[0]?.name, 'cpu', 'auto does not take a software GPU');
  const software = devices.find((device) => /swiftshader/i.test(device.name));
  t.ok(software?.usable && software.kind === 'gpu' && software.isSoftware, JSON.stringify(software));
  const model = await loadModel(modelFolder('edge'), onGpu);
  t.match(model.device.name, /SwiftShader/);
  await model.close();
});

test('device: gpu means a real one, and what is not there is named with what is', async (t) => {
  for (const device of ['gpu', 'voodoo']) {
    try {
      await loadModel(modelFolder('edge'), { device });
      t.fail(`${device} was found`);
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === 'KEXA_NO_DEVICE', String(error));
      t.match((error as Error).message, /cpu, SwiftShader/);
    }
  }
});

// Every op is compared and checked in both ways to write it by test gpu/ops. Test gpu/goldens.long has all prompts,
// plain kernels and the models two, tiny and wide.
testGoldens('edge', 'subgroups', [1, 2, 9, 40, 150], true);

test('the sister models, in every weight type, are the CPU device’s', async (t) => {
  const types = ['BF16', 'F16', 'F32'] as const;
  for (const [index, [name, config]] of Object.entries(sisterConfigs).entries()) {
    const folder = mkdtempSync(join(tmpdir(), 'kexa-gpu-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const dtype = types[index % types.length]!;
    const random = makeRandomModel({ ...config, ...(name === 'kExaone' && { num_hidden_layers: 4 }) }, 7, dtype);
    writeRandomModel(folder, random, { dtype, experts: 'separate', biasUnderGate: false, shards: 1 });
    const run = async (options: LoadOptions) => {
      const model = await loadModel(folder, options);
      const ids = someIds(30, model.config.vocabSize);
      const result = await model.forward(ids, { mtp: model.config.mtp !== null });
      await model.close();
      return { ...result, vocabSize: model.config.vocabSize };
    };
    const cpu = await run({ device: 'cpu' });
    const gpu = await run(onGpu);
    const logits = rowDifference(gpu.logits, cpu.logits, cpu.vocabSize);
    t.ok(logits < 1e-5, `${name} in ${dtype}: logits within ${logits.toExponential(1)}`);
    if (cpu.mtpLogits) {
      const mtpLogits = rowDifference(gpu.mtpLogits!, cpu.mtpLogits, cpu.vocabSize);
      t.ok(mtpLogits < 1e-5, `${name}: MTP logits within ${mtpLogits.toExponential(1)}`);
    }
  }
});

test('a row’s bits do not depend on its company in an answer’s steps, and are nearly those of a prompt’s', async (t) => {
  for (const [name, gpuKernels, few, count] of [
    ['edge', 'subgroups', [1, 7], 24],
    ['two', 'subgroups', [1], 12],
  ] as const) {
    await using model = await loadModel(modelFolder(name), { ...onGpu, prefillChunk: 40, gpuKernels });
    const { vocabSize } = model.config;
    const ids = Uint32Array.from(someIds(count, vocabSize));
    const logits = await model.replay(ids, 0, 16);
    for (const rows of few)
      t.deepEqual(await model.replay(ids, 0, rows), logits, `${name}, ${gpuKernels}: ${rows} rows at a time`);
    const difference = rowDifference((await model.forward(ids)).logits, logits, vocabSize);
    t.ok(
      difference > 0 && difference < 1e-5,
      `${name}, ${gpuKernels}: a prompt, within ${difference.toExponential(1)}`,
    );
  }
});

test('a sequence that goes on, goes back and is interleaved gives the CPU device’s text', async (t) => {
  const run = async (options: LoadOptions) => {
    const model = await loadModel(modelFolder('edge'), { ...options, prefillChunk: 7 });
    const [first, second] = [model.createSession(), model.createSession()];
    const ids = someIds(40, model.config.vocabSize);
    const answers: number[][] = [];
    for (const [session, length] of [
      [first, 20],
      [second, 33],
      [first, 40],
      [second, 31],
      [first, 12],
    ] as const) {
      const { ids: answer } = await session.generate(ids.slice(0, length), {
        temperature: 0,
        maxTokens: 3,
        ignoreEos: true,
      });
      answers.push(answer);
    }
    await model.close();
    return answers;
  };
  t.deepEqual(await run(onGpu), await run({ device: 'cpu' }));
});
