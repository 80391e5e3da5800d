// Devices that share a model: what is planned, and that the answer is the one of a single device, to the bit. Two CPU
// devices show the dividing, two adapters of one name on SwiftShader the GPUs, one of each that kinds may be mixed.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'tape';
import { chooseDevices, pickAdapter } from '../../lib/device/devices.js';
import { readConfigOnly } from '../../lib/files/model-folder.js';
import {
  type GenerateOptions,
  KexaError,
  type LoadOptions,
  listDevices,
  loadModel,
  type Model,
} from '../../lib/index.js';
import { type NativeAdapter, type NativeEngine, native, readRequest } from '../../lib/native.js';
import { layersOfDevices } from '../../lib/plan/layer-split.js';
import { checkPlanOptions, checkSharedFits, planMemory } from '../../lib/plan/memory-plan.js';
import { planned } from '../../lib/plan/planned.js';
import { kexa } from '../support/cli.js';
import { isSame, longPrompt, randomIds, rowDifference } from '../support/compare.js';
import { loadGoldens, modelFolder } from '../support/goldens.js';
import { fullSizeConfigFolder } from '../support/models.js';
import { newFolder, refuses } from '../support/small-model.js';
import { softwareGpuEnvironment } from '../support/software-gpu.js';

// A second driver, which is the first one under another name, is a second adapter of the same name.
const settings = softwareGpuEnvironment();
const second = mkdtempSync(join(tmpdir(), 'kexa-second-gpu-'));
const driver = join(second, 'libvk_second.so');
copyFileSync(join(settings.VK_ICD_FILENAMES, '../libvk_swiftshader.so'), driver);
const manifest = JSON.parse(readFileSync(settings.VK_ICD_FILENAMES, 'utf8')) as { ICD: { library_path: string } };
manifest.ICD.library_path = driver;
writeFileSync(join(second, 'second.json'), JSON.stringify(manifest));
Object.assign(process.env, settings, {
  VK_ICD_FILENAMES: `${settings.VK_ICD_FILENAMES}:${join(second, 'second.json')}`,
  KEXA_KEEP_DEVICES: '1',
});
test.onFinish(() => rmSync(second, { recursive: true }));

const gib = 2 ** 30;

test('a plan for devices is the plan for one, divided: each layer once, the embedding where it is needed', async (t) => {
  const { shape, config } = await readConfigOnly(fullSizeConfigFolder());
  const layers = config.layers.length;
  for (const device of ['gpu', 'cpu'] as const)
    for (const count of [2, 3, 8]) {
      const options = { weights: 'q4', contextSize: 65536 } as const;
      const one = planMemory(shape, { ...options, device });
      const shared = planMemory(shape, { ...options, device: new Array<typeof device>(count).fill(device) });
      const devices = shared.devices!;
      const name = `${count} x ${device}`;
      t.equal(one.devices, undefined);
      t.deepEqual(
        devices.flatMap(({ layers: [first, last] }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
        [...config.layers.keys()],
        `${name}: ${devices.map((part) => part.layers.join('-')).join(' | ')}`,
      );
      t.deepEqual(shared.cache, one.cache, 'the same cache in all');
      // In q4 the embedding is stored in q8_0: 34 bytes for 32. A GPU has a buffer of 16 bytes for no weights.
      const embedding = (config.vocabSize * config.hiddenSize * 34) / 32;
      const nothing = device === 'gpu' ? 16 * (count - 1) : 0;
      t.equal(shared.weights.total - one.weights.total, embedding + nothing, 'one more embedding, for the MTP layer');
      for (const kind of ['global', 'sliding', 'mtp', 'total'] as const)
        t.equal(
          devices.reduce((sum, { cache }) => sum + cache[kind], 0),
          shared.cache[kind],
        );
      t.equal(
        devices.reduce((sum, { total }) => sum + total, 0),
        shared.total,
        'nothing is lost',
      );
      const totals = devices.map(({ total }) => total);
      const layer = one.weights.total / layers;
      t.ok(
        Math.max(...totals) - Math.min(...totals) < 1.5 * layer,
        `within a layer and a half of one another: ${totals}`,
      );
      // A GPU's cache grows by itself: each has a buffer for that.
      const working = ({ scratch, growth }: Pick<typeof one, 'scratch' | 'growth'>) =>
        scratch - (growth?.outgrown ?? 0);
      // The logits of a chunk of 128 rows.
      const logits = 128 * config.vocabSize * 4;
      t.ok(
        devices.slice(0, -1).every((own) => working(own) <= working(one) - logits && own.cache.mtp === 0),
        'no logits but on the last',
      );
    }
});

test('layers go to devices by proportion, by memory, and at least one to each', async (t) => {
  t.deepEqual(layersOfDevices([3, 1], 2, 48), [36, 12]);
  t.deepEqual(layersOfDevices([20, 28], 2, 48), [20, 28], 'counts');
  t.deepEqual(layersOfDevices([1, 1, 1], 3, 8), [3, 2, 3]);
  t.deepEqual(layersOfDevices([1e6, 1, 1], 3, 8), [6, 1, 1]);
  t.deepEqual(layersOfDevices([1, 1e6, 1e-3], 3, 8), [1, 6, 1]);
  t.deepEqual(layersOfDevices(undefined, 2, 8), [0, 0]);
  for (const split of [[1], [1, 0], [1, -1], [1, Number.NaN], [1, 2, 3], 'even'])
    await refuses(t, 'KEXA_INVALID_ARGUMENT', ['layerSplit: wanted 2 positive numbers'], () =>
      layersOfDevices(split as number[], 2, 8),
    );
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['without several devices'], () => layersOfDevices([1], 1, 8));
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  const small = { ...shape, layers: shape.layers.slice(0, 4) };
  const devices = new Array<'gpu'>(5).fill('gpu');
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['4 layers', 'found 5'], () => planMemory(small, { device: devices }));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['4 layers', 'found 5'], () =>
    planMemory(small, { device: devices, layerSplit: [1, 1, 1, 1, 1] }),
  );
});

test('parts that do not fit are refused before anything is allocated, with what would fit', async (t) => {
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  // The first eight layers have enough tensors, and are quickly made up.
  const bare = { ...shape, layers: shape.layers.slice(0, 8) };
  const { openSynthetic } = await import('../../lib/plan/synthetic.js');
  const { description } = await openSynthetic(fullSizeConfigFolder(), { layers: 8 }, 'q4');
  const options = (layers: number[], memory: number[], contextSize = 32768) => ({
    ...checkPlanOptions({ contextSize }, bare.maxPositions),
    parts: layers.map((own, i) => ({ adapter: 'gpu', plainOps: [], layers: own, memoryBytes: memory[i]! })),
  });
  const gpu = (name: string, memoryBytes: number) =>
    ({ name, kind: 'gpu', description: '', isSoftware: false, usable: true, memoryBytes }) as const;
  const check = (layers: number[], memory: number[], contextSize?: number) => {
    const wanted = options(layers, memory, contextSize);
    const devices = memory.map((bytes, i) => gpu(`card ${i}`, bytes));
    checkSharedFits(description, wanted, planned(description, wanted), devices);
  };
  const even = planned(description, options([0, 0], [0, 0]));
  const [first, last] = even.parts.map(({ total }) => total) as [number, number];
  check([0, 0], [first, last]);
  const counts = even.parts.map(({ layers }) => layers);
  const wrong = [counts[0]! + 2, counts[1]! - 2];
  await refuses(t, 'KEXA_OUT_OF_MEMORY', ['on card 0: wanted', `layerSplit [${counts.join(', ')}] would fit`], () =>
    check(wrong, [first + 1e6, last + 1e6]),
  );
  await refuses(t, 'KEXA_OUT_OF_MEMORY', ['on card', 'contextSize ', 'would fit'], () =>
    check(counts, [first - 1e6, last - 1e6]),
  );
  await refuses(t, 'KEXA_OUT_OF_MEMORY', ['not even a context of one token'], () => check([0, 0], [gib, gib]));
  const unequal = planned(description, options([0, 0], [3 * gib, gib])).parts;
  t.ok(
    unequal[0]!.total > 2 * unequal[1]!.total,
    `three quarters of the memory: ${unequal.map(({ layers }) => layers)}`,
  );
});

test('inspect shows which layers go where, with a config alone', async (t) => {
  const command = ['inspect', fullSizeConfigFolder(), '--memory', '--weights', 'q4', '--device', 'gpu:0,gpu:1'];
  const { stdout, code } = await kexa([...command, '--split', '30,18', '--device-memory', '80GiB']);
  t.equal(code, 0);
  for (const text of [
    'gpu, layers 0 to 29:',
    'gpu, layers 30 to 47:',
    'does not fit into 80.0 GiB each, of which 78.4 GiB are planned with',
    'the embedding',
  ])
    t.ok(stdout.includes(text), text);
  const { memory } = JSON.parse((await kexa([...command, '--json'])).stdout) as {
    memory: ReturnType<typeof planMemory>;
  };
  const { shape } = await readConfigOnly(fullSizeConfigFolder());
  const { devices } = planMemory(shape, { weights: 'q4', device: ['gpu', 'gpu'] });
  t.deepEqual(memory.devices, devices);
  for (const [args, message] of [
    [['--device', 'gpu,tpu'], /It takes cpu or gpu, or several/],
    [['--device', 'gpu,gpu', '--split', '1,x'], /It takes positive numbers/],
    [['--device', 'gpu,gpu', '--split', '1,2,3'], /option '--split <list>': wanted 2 positive numbers/],
    [['--split', '1,2'], /option '--split <list>': wanted none without several devices/],
  ] as const) {
    const refused = await kexa(['inspect', fullSizeConfigFolder(), ...args]);
    t.equal(refused.code, 2, args.join(' '));
    t.match(refused.stderr, message);
  }
});

test('adapters of one name are told apart by their place', async (t) => {
  const adapter = (device: string, isSoftware = false) =>
    ({ device, vendor: 'v', architecture: '', description: 'd', isSoftware, heaps: [] }) as unknown as NativeAdapter;
  const adapters = [adapter('H100'), adapter('H100'), adapter('A10'), adapter('Swift', true)];
  const places = ['gpu', 'gpu:0', 'gpu:1', 'gpu:2', 'gpu:3', 'h100:1', 'a10', 'a10:1', 'swift:0', 'h100:x'];
  t.deepEqual(
    places.map((name) => adapters.indexOf(pickAdapter(adapters, name)!)),
    [0, 0, 1, 2, -1, 1, 2, -1, 3, -1],
  );
  const names = (await listDevices()).filter(({ kind }) => kind === 'gpu').map(({ name }) => name);
  t.equal(names.length, 2, names.join(', '));
  t.ok(names[0]!.endsWith(':0') && names[1]!.endsWith(':1'), 'each can be named');
  for (const name of ['swiftshader:2', 'gpu:0'])
    await refuses(t, 'KEXA_NO_DEVICE', [`wanted '${name}'`, ...names], () => chooseDevices(['cpu', name]));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['at least one device'], () => chooseDevices([]));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['device: wanted'], () => chooseDevices(['cpu', 5]));
  await refuses(t, 'KEXA_INVALID_ARGUMENT', ['device: wanted'], () => chooseDevices(['cpu', undefined]));
});

type Open = (options: LoadOptions) => Promise<Model>;
const opener = (name: 'tiny' | 'edge' | 'two', base: LoadOptions): Open => {
  return (options) => loadModel(modelFolder(name), { ...base, ...options });
};

/** All that a model can be asked, with every prompt longer than a few chunks. */
async function everything(model: Model, ids: number[], answers: GenerateOptions[]) {
  const { logits, mtpLogits, layers, hidden, routes } = await model.forward(ids, { mtp: true, trace: true });
  const scores = await model.score(ids);
  const texts = [];
  for (const options of answers) {
    const { ids: tokens, logprobs } = await model.generate(ids, { ...options, ignoreEos: true });
    texts.push({ tokens, logprobs });
  }
  return { logits, mtpLogits: mtpLogits!, layers: layers!, hidden: hidden!, routes, scores, texts };
}

const answers: GenerateOptions[] = [
  { temperature: 0, maxTokens: 24 },
  { temperature: 0, maxTokens: 24, mtp: 3, logprobs: 2 },
  { temperature: 0.9, topP: 0.95, repeatPenalty: 1.1, seed: 4, maxTokens: 24, mtp: 2 },
  { temperature: 0.9, seed: 5, maxTokens: 24, mtp: false },
];

for (const [name, options] of [
  ['tiny', {}],
  ['edge', { cacheType: 'q8', prefixCacheBytes: 1e6 }],
  ['edge', { cacheType: 'q4', weights: 'q4' }],
  ['two', { weights: 'f32' }],
] as const)
  test(`${name}, ${JSON.stringify(options)}: two and three CPU devices answer as one, to the bit`, async (t) => {
    const open = opener(name, { ...options, prefillChunk: 7, threads: 1 });
    const ids = longPrompt(name);
    const run = async (device: string | string[]) => {
      await using model = await open({ device });
      return await everything(model, ids, answers);
    };
    const one = await run('cpu');
    for (const device of [
      ['cpu', 'cpu'],
      ['cpu', 'cpu', 'cpu'],
    ]) {
      const shared = await run(device);
      for (const part of ['logits', 'mtpLogits', 'hidden', 'scores'] as const)
        t.ok(isSame(shared[part], one[part]), `${device.length} devices: ${part}`);
      t.ok(
        shared.layers.length === one.layers.length && shared.layers.every((rows, i) => isSame(rows, one.layers[i])),
        'every layer’s residual stream',
      );
      t.deepEqual(shared.routes, one.routes, 'routes');
      t.deepEqual(shared.texts, one.texts, 'answers');
    }
  });

test('sessions fork, go back, are saved and loaded over devices; the file is for any division among their kind', async (t) => {
  const folder = await newFolder(t);
  const open = opener('edge', { prefillChunk: 7, threads: 1 });
  // With 'auto' the drafts, and so the saved rows of the MTP layer, depend on the clock.
  const answer = { temperature: 0, maxTokens: 5, ignoreEos: true, mtp: false } as const;
  const ids = randomIds(40, 515, 3);
  const run = async (device: string[] | string, layerSplit?: number[], loaded?: string) => {
    const model = await open({ device, ...(layerSplit && { layerSplit }) });
    const session = loaded ? await model.loadSession(loaded) : model.createSession();
    const first = await session.generate(ids.slice(0, 30), { ...answer, mtp: 3 });
    const fork = await session.fork();
    const [second, third] = await Promise.all([session.generate(ids, answer), fork.generate(ids.slice(0, 36), answer)]);
    await fork.rewind(33);
    const fourth = await fork.generate([...ids.slice(0, 33), 7, 8], { ...answer, mtp: 'auto' });
    if (!loaded) await session.save(join(folder, `${Array.isArray(device) ? device.length : device}.session`));
    const cached = [second, third, fourth].map(({ usage }) => usage.cachedTokens);
    await model.close();
    return { texts: [first, second, third, fourth].map(({ ids: tokens }) => tokens), cached, loaded: first.usage };
  };
  const one = await run('cpu');
  const shared = await run(['cpu', 'cpu']);
  t.deepEqual(shared, one);
  const again = await run(['cpu', 'cpu', 'cpu'], [1, 1, 4], join(folder, '2.session'));
  t.deepEqual(again.texts, one.texts, 'from the file, divided otherwise');
  t.ok(readFileSync(join(folder, '2.session')).equals(readFileSync(join(folder, 'cpu.session'))), 'the same file');
});

test('a prompt over devices is aborted in the middle, a model closed, and the next answer is right', async (t) => {
  const open = opener('tiny', { prefillChunk: 64, threads: 1 });
  const model = await open({ device: ['cpu', 'cpu'] });
  const ids = longPrompt('tiny');
  const answer = { temperature: 0, maxTokens: 8, ignoreEos: true } as const;
  const right = await model.generate(ids, answer);
  const long = randomIds(4000, model.config.vocabSize, 1);
  const controller = new AbortController();
  const aborted = model.generate(long, {
    ...answer,
    signal: controller.signal,
    onPromptProgress: (done) => {
      if (done >= 128) controller.abort(new Error('enough'));
    },
  });
  try {
    await aborted;
    t.fail('it went on');
  } catch (error) {
    t.equal((error as Error).message, 'enough');
  }
  t.deepEqual((await model.generate(ids, answer)).ids, right.ids, 'the next one is right');
  const cut = model.generate(long, answer);
  const others = model.forward(long.slice(0, 2000)).catch((error: KexaError) => error.code);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await model.close();
  await refuses(t, 'KEXA_CLOSED', [], () => cut);
  t.equal(await others, 'KEXA_CLOSED');
});

const [gpu0, gpu1] = ['swiftshader:0', 'swiftshader:1'];

test('two adapters answer as one, to the bit, hold what is planned, and end in one error when one is lost', async (t) => {
  let engine: NativeEngine | undefined;
  const { Engine } = native();
  native().Engine = class extends Engine {
    constructor(...parts: ConstructorParameters<typeof Engine>) {
      super(...parts);
      engine = this;
    }
  } as typeof Engine;
  t.teardown(() => {
    native().Engine = Engine;
  });
  const open = opener('edge', { prefillChunk: 16, contextSize: 256, cacheType: 'q8', gpuChecks: true });
  const ids = randomIds(40, 515, 9);
  const few = answers.slice(1, 3).map((options) => ({ ...options, maxTokens: 8 }));
  const alone = await open({ device: gpu0! });
  const one = await everything(alone, ids, few);
  await alone.close();
  const model = await open({ device: [gpu0!, gpu1!], layerSplit: [4, 2] });
  const shared = await everything(model, ids, few);
  for (const part of ['logits', 'mtpLogits', 'hidden', 'scores'] as const) t.ok(isSame(shared[part], one[part]), part);
  t.ok(
    shared.layers.every((rows, i) => isSame(rows, one.layers[i])),
    'every layer’s residual stream',
  );
  t.deepEqual([shared.routes, shared.texts], [one.routes, one.texts], 'routes and answers');
  t.equal(model.device.name, model.devices.map(({ name }) => name).join(' + '));
  t.notEqual(model.devices[0]!.name, model.devices[1]!.name, 'two adapters');
  const { profile } = await model.forward(ids.slice(0, 3), { profile: true });
  t.equal(profile!.bufferBytes, model.memory.total, 'memory to the byte, both together');
  const short = { temperature: 0, maxTokens: 30, ignoreEos: true } as const;
  const found: number[] = [];
  try {
    for await (const { ids: tokens } of model.generate(ids, short)) {
      if (found.length === 0) await readRequest(engine!.forceDeviceLoss(), () => {});
      found.push(...tokens);
    }
    t.fail('it went on');
  } catch (error) {
    t.ok(error instanceof KexaError && error.code === 'KEXA_DEVICE_LOST', String(error));
  }
  t.ok(found.length < 30, `after ${found.length} tokens`);
  await refuses(t, 'KEXA_DEVICE_LOST', [], () => model.score(ids));
  await model.close();
});

test('a GPU and the CPU share a model: the goldens, and sessions for the same division only', async (t) => {
  const folder = await newFolder(t);
  const { prompts, tensor } = loadGoldens('edge');
  const index = prompts.findIndex(({ ids }) => ids.length > 8);
  const { ids, greedy, greedyMargin } = prompts[index]!;
  const certain = greedyMargin.findIndex((margin) => margin < 1e-3);
  const count = Math.min(8, certain < 0 ? greedy.length : certain);
  const answer = { temperature: 0, maxTokens: count, ignoreEos: true } as const;
  const open = opener('edge', { prefillChunk: 16, contextSize: 256, prefixCacheBytes: 0 });
  const file = join(folder, 'mixed.session');
  for (const device of [
    [gpu0!, 'cpu'],
    ['cpu', gpu0!],
  ]) {
    const name = device.join(' + ');
    const model = await open({ device, layerSplit: [3, 3] });
    const { logits, mtpLogits } = await model.forward(ids, { mtp: true });
    const off = rowDifference(logits, tensor(`prompt${index}.logits`), 515);
    const mtpOff = rowDifference(mtpLogits!, tensor(`prompt${index}.mtp_logits`), 515);
    t.ok(off < 1e-5 && mtpOff < 1e-5, `${name}: logits within ${off.toExponential(1)}, MTP ${mtpOff.toExponential(1)}`);
    const session = model.createSession();
    t.deepEqual((await session.generate(ids, { ...answer, mtp: 2 })).ids, greedy.slice(0, count), 'greedy text');
    if (device[1] === 'cpu') {
      await session.save(file);
      const again = await model.loadSession(file);
      const next = [...ids, ...greedy.slice(0, count), 3];
      const [one, other] = [await session.generate(next, answer), await again.generate(next, answer)];
      t.deepEqual(other.ids, one.ids, 'a saved session goes on alike');
      t.equal(other.usage.cachedTokens, one.usage.cachedTokens);
    } else {
      await refuses(t, 'KEXA_SESSION_MISMATCH', [], () => model.loadSession(file));
    }
    await model.close();
  }
});
