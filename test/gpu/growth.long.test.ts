// The GPU's cache grows with the contexts in it: the bits are those of a cache that is whole from the start, what is
// allocated is what was planned, and a GPU without room leaves all as it was. SwiftShader; the first pages are few
// here.
import { join } from 'node:path';
import test, { type Test } from 'tape';
import type { LoadOptions, Model, Session } from '../../lib/index.js';
import { type NativeEngine, native, readRequest } from '../../lib/native.js';
import { twoLayers } from '../support/attention-model.js';
import { openModel, randomIds } from '../support/compare.js';
import { newFolder, refuses } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();
// Turns that are kept would hold pages.
const onGpu: LoadOptions = { device: 'swiftshader', contextSize: 500, prefillChunk: 16, prefixCacheBytes: 0 };
/** 500 tokens take 8 pages. 128 rows take 2, which exist at load. */
const allPages = 8;
const startRows = 128;
const shape = {
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  num_nextn_predict_layers: 1,
  mlp_layer_types: ['dense', 'dense'],
};
const ids = randomIds(400, 200, 7);

/** Models loaded until the test ends have so many rows at load; the engine of the last of them. */
function growingFrom(t: Test, cacheStartRows: number): () => NativeEngine {
  const addon = native();
  const { Engine, plan } = addon;
  let engine: NativeEngine | undefined;
  addon.Engine = class extends Engine {
    constructor(...[description, options]: ConstructorParameters<typeof Engine>) {
      super(description, { ...options, cacheStartRows });
      engine = this;
    }
  };
  addon.plan = (description, options) => plan(description, { ...options, cacheStartRows });
  t.teardown(() => Object.assign(addon, { Engine, plan }));
  return () => engine!;
}

/** The GPU's bytes. Asking takes a page. */
async function allocated(model: Model): Promise<number> {
  return (await model.forward([1], { profile: true })).profile!.bufferBytes;
}

/** The planned bytes with this many pages. */
function bytesOf({ memory: { total, growth, cache } }: Model, pages: number): number {
  return total - growth!.outgrown - ((cache.global + cache.mtp) * (allPages - pages)) / allPages;
}

/** Bytes of the keys, or of the values, of so many pages; the MTP block is one global layer, and there is one more. */
function bufferBytes({ memory: { cache } }: Model, pages: number): number {
  return (cache.mtp / 2 / allPages) * pages;
}

const sampled = { temperature: 0.8, seed: 3, ignoreEos: true, logprobs: 1 };
const answer = async (from: Session | Model, length: number, maxTokens: number, mtp: false | number = false) => {
  const { ids: chosen, logprobs } = await from.generate(ids.slice(0, length), { ...sampled, maxTokens, mtp });
  return { chosen, logprobs };
};

/** Answers past one growth after the other, in every way that pages are taken. Calls `after` between them. */
async function story(t: Test, model: Model, after: () => Promise<unknown>): Promise<unknown[]> {
  const file = join(await newFolder(t), 'session');
  const session = model.createSession();
  const said: unknown[] = [await answer(session, 30, 6)];
  await after();
  // Steps under way, drafts among them, when the third page is taken.
  said.push(await answer(session, 120, 16, 3));
  await after();
  const other = await session.fork();
  said.push(await answer(other, 140, 6));
  await session.save(file);
  // In the middle of a prompt, whose pages are taken from others at last.
  said.push(await answer(model, 300, 2));
  await after();
  const loaded = await model.loadSession(file);
  for (const from of [loaded, session, other]) said.push(await answer(from, 124, 10, 8));
  return said;
}

test('answers past several growths have the bits of a whole cache, and take the memory that was planned', async (t) => {
  const folder = twoLayers(t, shape, 16);
  const options = { ...onGpu, prefillChunk: 32 };
  const whole = await openModel(t, folder, options);
  const atLoad = whole.memory.cache.total;
  t.deepEqual(whole.memory.growth, { atLoad, outgrown: 0 }, 'a short context is whole from the start');
  const wanted = await story(t, whole, () => allocated(whole));
  growingFrom(t, startRows);
  const growing = await openModel(t, folder, options);
  const { memory } = growing;
  t.equal(memory.growth!.outgrown, bufferBytes(growing, allPages / 2), 'half of a whole buffer may be outgrown');
  t.equal(memory.total, whole.memory.total + memory.growth!.outgrown, 'and is planned beside the whole');
  t.equal(memory.growth!.atLoad, memory.cache.sliding + (memory.cache.global + memory.cache.mtp) / 4);
  const bytes: number[] = [];
  const found = await story(t, growing, async () => bytes.push(await allocated(growing)));
  t.deepEqual(found, wanted, 'tokens and log-probabilities, to the last bit');
  const planned = [2, 4, 8].map((pages) => bytesOf(growing, pages));
  t.deepEqual(bytes, planned, `2, 4 and 8 pages, to the byte: ${bytes}`);
});

test('a GPU without room for a growth refuses it, and goes on with what there was', async (t) => {
  const folder = twoLayers(t, shape, 16);
  const engine = growingFrom(t, startRows);
  // In small steps, whose bits do not depend on how a prompt is cut.
  const model = await openModel(t, folder, onGpu);
  const room = (bytes: number) => readRequest(engine().forceDeviceRoom(bytes), () => {});
  const session = model.createSession();
  const before = await answer(session, 40, 8);
  const [old, larger] = [bufferBytes(model, 2), bufferBytes(model, 4)];
  t.equal(await allocated(model), bytesOf(model, 2));
  await room(bytesOf(model, 2) + larger);
  for (let i = 0; i < 2; i++)
    await refuses(
      t,
      'KEXA_OUT_OF_MEMORY',
      ['the KV cache cannot grow from 128 to 256 tokens: values of layer 1: ', `no room for ${larger} bytes`],
      () => answer(session, 120, 12, 2),
    );
  t.deepEqual(await answer(session, 40, 8), before, 'the session answers as before');
  await session.rewind(40);
  t.equal(await allocated(model), bytesOf(model, 2) + larger - old, 'keys have grown, what they outgrew is gone');
  t.deepEqual(await answer(model, 40, 8), before, 'another session too');
  await room(Number.MAX_SAFE_INTEGER);
  const later = await answer(session, 120, 12, 2);
  t.equal(await allocated(model), bytesOf(model, 4), 'with room it grows');

  const op = { op: 'attention', layers: Uint32Array.of(1), rows: 1, repetitions: 1, leastMs: 0 };
  const measure = () => readRequest(engine().measure({ depth: 450, ops: [op] }), () => {});
  await room(model.memory.total - 16);
  await refuses(t, 'KEXA_OUT_OF_MEMORY', ['from 256 to 512 tokens: values of layer 2'], measure);
  await room(model.memory.total);
  await measure();
  t.equal(await allocated(model), bytesOf(model, allPages), 'the plan is just enough, the old buffer among it');
  t.deepEqual(await answer(session, 120, 12, 2), later);
});

test('so do devices that share a model, experts in slots and kept prefixes; a GPU that is lost has one error', async (t) => {
  const folder = twoLayers(t, { ...shape, mlp_layer_types: ['sparse', 'sparse'], num_nextn_predict_layers: 0 }, 16);
  const options: LoadOptions = {
    ...onGpu,
    device: ['cpu', 'swiftshader'],
    expertSlots: 3,
    prefixCacheBytes: 2 ** 20,
  };
  const answers = async (model: Model) => [await answer(model, 60, 8), await answer(model, 140, 2)];
  const wanted = await answers(await openModel(t, folder, options));
  const engine = growingFrom(t, startRows);
  const model = await openModel(t, folder, options);
  t.deepEqual(await answers(model), wanted, 'the same, to the bit');
  await readRequest(engine().forceDeviceLoss(), () => {});
  await refuses(t, 'KEXA_DEVICE_LOST', ['the GPU was lost'], () => answer(model, 330, 2));
});
