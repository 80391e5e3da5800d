/** `kexa pull` against many kinds of bad luck at once. `hub/pull` has the short form. */
import test from 'tape';
import { hubEnvironment, isExact, pullHere, tinyFiles, totalBytes } from '../support/hub-folders.js';
import { killedPulls } from '../support/killed-pulls.js';
import { LoopbackHub } from '../support/loopback-hub.js';

const size = totalBytes(tinyFiles);

test('ten runs of bad luck', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const wrong = seed % 3 === 0 ? { 'tokenizer_config.json': 1, 'config.json': 2 } : {};
    const faults = { cut: 0.1 + 0.06 * seed, busy: 0.05, lying: 0.1, expiry: 5 + 3 * seed, wrong };
    const hub = await LoopbackHub.start(t, tinyFiles, faults, seed);
    const env = hubEnvironment(t, hub);
    const { receivedBytes } = await pullHere(env, { segmentBytes: 2 ** (16 + (seed % 6)), jobs: 1 + (seed % 8) });
    isExact(t, env, tinyFiles);
    t.ok(
      receivedBytes >= size && receivedBytes <= 1.05 * size,
      `${seed}: received ${receivedBytes / size} of the bytes`,
    );
    hub.close();
  }
});

test('kills within 0.3 s of each start, with connections that break and a busy hub', async (t) => {
  await killedPulls(t, tinyFiles, {
    rate: 1.5e6,
    cut: 0.3,
    busy: 0.05,
    lying: 0.1,
    expiry: 40,
    kills: { least: 8, most: 20 },
  });
});

test('kills of a pull that is nearly done', async (t) => {
  for (let round = 0; round < 2; round++) await killedPulls(t, tinyFiles, { kills: { least: 0, most: 20 } });
});
