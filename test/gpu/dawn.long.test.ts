/** A GPU that is lost in the middle of its work, and the memory of more models. */
import test from 'tape';
import { KexaError, type LoadOptions, loadModel } from '../../lib/index.js';
import { type NativeEngine, native, readRequest } from '../../lib/native.js';
import { modelFolder } from '../support/goldens.js';
import { testPlannedMemory } from '../support/planned-memory.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
const onGpu: LoadOptions = { device: 'swiftshader', gpuChecks: true };

test('a lost device ends what is going on in one error, and the model can be loaded again', async (t) => {
  const addon = native();
  const { Engine } = addon;
  let engine: NativeEngine | undefined;
  addon.Engine = class extends Engine {
    constructor(...args: ConstructorParameters<typeof Engine>) {
      super(...args);
      engine = this;
    }
  };
  t.teardown(() => {
    addon.Engine = Engine;
  });
  const wholly = { temperature: 0, maxTokens: 40, ignoreEos: true };
  const load = () => loadModel(modelFolder('edge'), onGpu);
  const isLost = async (what: string, promise: PromiseLike<unknown>) => {
    try {
      await promise;
      t.fail(`${what} went on`);
    } catch (error) {
      t.ok(error instanceof KexaError && error.code === 'KEXA_DEVICE_LOST', `${what}: ${error}`);
    }
  };
  const model = await load();
  const wanted = await model.generate([1, 2, 3], wholly);
  const ids: number[] = [];
  await isLost(
    'the generation',
    (async () => {
      for await (const piece of model.generate([1, 2, 3], wholly)) {
        if (ids.length === 0) await readRequest(engine!.forceDeviceLoss(), () => {});
        ids.push(...piece.ids);
      }
    })(),
  );
  t.ok(ids.length > 0 && ids.length < 40, `after ${ids.length} tokens`);
  t.deepEqual(ids, wanted.ids.slice(0, ids.length), 'which were right');
  await isLost('another generation', model.generate([1, 2, 3], wholly));
  await isLost('forward', model.forward([1, 2, 3]));
  await isLost('forward with a profile', model.forward([1, 2, 3], { profile: true }));
  await isLost('score', model.score([1, 2, 3]));
  const again = await load();
  t.deepEqual((await again.generate([1, 2, 3], wholly)).ids, wanted.ids, 'loaded again beside it');
  await model.close();
  await again.close();
});

testPlannedMemory([
  ['wide', { cacheType: 'q4', contextSize: 200 }],
  ['two', { cacheType: 'bf16', contextSize: 100, prefillChunk: 1 }],
]);
