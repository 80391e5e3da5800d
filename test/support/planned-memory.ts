/** Compares what is allocated on the software GPU with what was planned. */
import test from 'tape';
import { type LoadOptions, loadModel } from '../../lib/index.js';
import { type GoldenName, modelFolder } from './goldens.js';

/** A test that models loaded with these options hold as many bytes on the GPU as were planned. */
export function testPlannedMemory(cases: readonly (readonly [GoldenName, LoadOptions])[]): void {
  test('what is allocated on the GPU is what was planned, to the byte', async (t) => {
    for (const [name, options] of cases) {
      const model = await loadModel(modelFolder(name), { device: 'swiftshader', ...options });
      const { profile } = await model.forward([1], { profile: true });
      t.equal(
        profile!.bufferBytes,
        model.memory.total,
        `${name} ${JSON.stringify(options)}: ${profile!.bufferBytes} bytes`,
      );
      await model.close();
    }
  });
}
