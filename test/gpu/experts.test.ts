// Routed experts in main memory, with slots for some of them on the GPU: which stand where (pure bookkeeping, against
// rules stated here), and that answers are those of a model wholly on the GPU. On SwiftShader.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import fc from 'fast-check';
import test, { type Test } from 'tape';
import { KexaError, type LoadOptions, loadModel, type Model } from '../../lib/index.js';
import { checkGpuFits } from '../../lib/plan/experts.js';
import { checkPlanOptions, planMemory } from '../../lib/plan/memory-plan.js';
import { planned } from '../../lib/plan/planned.js';
import { isSame, randomIds } from '../support/compare.js';
import { modelFolder } from '../support/goldens.js';
import { makeRandomModel, writeRandomModel } from '../support/random-model.js';
import type { HfConfig } from '../support/reference.js';
import { newFolder } from '../support/small-model.js';
import { useSoftwareGpu } from '../support/software-gpu.js';

useSoftwareGpu();

interface Placed {
  waves: { loads: [slot: number, expert: number][]; slots: number[] }[];
  onHost: number[];
  traffic: [hits: number, misses: number, computed: number, copies: number];
  inSlot: number[];
}

interface PlaceRequest {
  experts: number;
  slots: number;
  topK: number;
  misses: 'copy' | 'compute' | 'auto';
  heat: Float32Array;
  costs: { copy: number; compute: number; computeMore: number };
  steps: { experts: Uint32Array; isWholeRow: boolean }[];
}

const require = createRequire(import.meta.url);
const { placeExperts } = require(process.env.KEXA_CHECKS ?? '../../build/Release/kexa_checks.node') as {
  placeExperts(request: PlaceRequest): Placed[];
};
const onHost = 0xffffffff;
const otherWave = 0xfffffffe;
const noCosts = { copy: 0, compute: 0, computeMore: 0 };

/** `rows` times `topK` different experts. */
function choices(rows: number, topK: number, experts: number): fc.Arbitrary<Uint32Array> {
  const row = fc.shuffledSubarray(
    Array.from({ length: experts }, (_, i) => i),
    { minLength: topK, maxLength: topK },
  );
  return fc.array(row, { minLength: rows, maxLength: rows }).map((all) => Uint32Array.from(all.flat()));
}

test('every choice is served once, from a slot that has its expert or by the processor', (t) => {
  const requests = fc
    .record({
      experts: fc.integer({ min: 1, max: 12 }),
      topK: fc.integer({ min: 1, max: 4 }),
      slots: fc.integer({ min: 0, max: 12 }),
      misses: fc.constantFrom('copy' as const, 'compute' as const, 'auto' as const),
      copy: fc.integer({ min: 0, max: 20 }),
      heated: fc.boolean(),
    })
    .filter(
      ({ experts, topK, slots, misses }) => topK <= experts && slots < experts && (misses !== 'copy' || slots >= topK),
    )
    .chain((shape) =>
      fc
        .array(
          fc
            .tuple(fc.integer({ min: 1, max: 9 }), fc.boolean())
            .chain(([rows, isWholeRow]) =>
              choices(rows, shape.topK, shape.experts).map((experts) => ({ experts, isWholeRow })),
            ),
          { minLength: 1, maxLength: 6 },
        )
        .map((steps) => ({ ...shape, steps })),
    );
  fc.assert(
    fc.property(requests, ({ experts, topK, slots, misses, copy, heated, steps }) => {
      const heat = heated ? Float32Array.from({ length: experts }, (_, i) => (i * 7) % 5) : new Float32Array();
      const costs = { copy, compute: 8, computeMore: 2 };
      const placed = placeExperts({ experts, slots, topK, misses, heat, costs, steps });
      const order = Array.from({ length: experts }, (_, i) => i).sort(
        (a, b) => (heat[b] ?? 0) - (heat[a] ?? 0) || a - b,
      );
      const inSlot = order.slice(0, slots).sort((a, b) => a - b);
      for (const [index, step] of placed.entries()) check(step, steps[index]!, inSlot, { topK, misses });
    }),
    { numRuns: 400 },
  );
  t.pass('400 runs of up to 6 steps');
  t.end();
});

/** `inSlot` is what is there before the step, and afterwards what is there then. */
function check(
  step: Placed,
  { experts, isWholeRow }: PlaceRequest['steps'][number],
  inSlot: number[],
  { topK, misses }: Pick<PlaceRequest, 'topK' | 'misses'>,
): void {
  const expect = (is: boolean, what: string) => {
    if (!is) throw new Error(what);
  };
  const before = [...inSlot];
  const wavesOf = experts.map(() => 0);
  for (const { loads, slots } of step.waves) {
    for (const [slot, expert] of loads) {
      expect(!inSlot.includes(expert), 'an expert is copied that is there');
      inSlot[slot] = expert;
    }
    slots.forEach((slot, i) => {
      if (slot === otherWave) return;
      wavesOf[i]!++;
      if (slot === onHost) wavesOf[i] = 1;
      else expect(inSlot[slot] === experts[i], 'a slot has another expert');
    });
    const rows = Array.from({ length: experts.length / topK }, (_, row) => slots.slice(row * topK, (row + 1) * topK));
    if (isWholeRow)
      expect(
        rows.every((row) => row.every((slot) => slot === otherWave) || row.every((slot) => slot !== otherWave)),
        'a row is torn apart',
      );
  }
  expect(
    wavesOf.every((count) => count === 1),
    'a choice is served more or less than once',
  );
  expect(inSlot.join() === step.inSlot.join(), 'the slots are not what the loads make them');
  const isOnHost = (i: number) => step.onHost.length > 0 && step.onHost[i] !== -1;
  expect(
    [...experts].every((expert, i) => !isOnHost(i) || (step.onHost[i] === expert && !before.includes(expert))),
    'the processor is given an expert that is on the GPU, or another',
  );
  expect(
    [...experts].every((_, i) =>
      step.waves.every(({ slots }) => slots[i] === otherWave || (slots[i] === onHost) === isOnHost(i)),
    ),
    'the GPU and the processor do not agree who computes',
  );
  const hits = [...experts].filter((expert) => before.includes(expert)).length;
  const computed = [...experts].filter((_, i) => isOnHost(i)).length;
  const copies = step.waves.reduce((sum, { loads }) => sum + loads.length, 0);
  expect(step.traffic.join() === [hits, experts.length - hits, computed, copies].join(), 'the traffic is miscounted');
  if (misses === 'copy') expect(computed === 0, 'copy computes');
  if (misses === 'compute') expect(copies === 0 && before.join() === inSlot.join(), 'compute copies');
}

test('what is wanted most stays', (t) => {
  const steps = Array.from({ length: 60 }, (_, i) => ({
    // 0 and 1 again and again, and each time another one.
    experts: Uint32Array.from([i % 2, 2 + (i % 14)]),
    isWholeRow: true,
  }));
  const request = { experts: 16, slots: 4, topK: 2, misses: 'copy' as const, heat: new Float32Array(), costs: noCosts };
  const placed = placeExperts({ ...request, steps });
  t.ok(
    placed.slice(4).every(({ inSlot }) => inSlot.includes(0) && inSlot.includes(1)),
    'through a stream of others',
  );
  const many = {
    experts: Uint32Array.from([0, 1, 0, 1, 0, 1, ...Array.from({ length: 14 }, (_, i) => i + 2)]),
    isWholeRow: false,
  };
  const [step] = placeExperts({
    ...request,
    heat: Float32Array.from({ length: 16 }, (_, i) => (i < 2 ? 9 : 0)),
    steps: [many],
  });
  t.ok(step!.waves.length > 1, 'a large step takes turns');
  t.ok(step!.inSlot.includes(0) && step!.inSlot.includes(1), 'and does not drive out the most wanted');
  const auto = { ...request, misses: 'auto' as const, costs: { copy: 10, compute: 4, computeMore: 3 } };
  const rows = (count: number) => ({
    experts: Uint32Array.from({ length: 2 * count }, (_, i) => (i % 2 ? 9 : 0)),
    isWholeRow: true,
  });
  const [one, three] = [1, 3].map((count) => placeExperts({ ...auto, steps: [rows(count)] })[0]!);
  t.deepEqual(one!.traffic, [1, 1, 1, 0], 'auto computes for one row what takes longer to copy');
  t.deepEqual(three!.traffic, [3, 3, 0, 1], 'and copies for three rows');
  t.end();
});

/** Hits of all choices, [slots], when a text goes through the trained model token by token. */
async function hitRates(misses: 'copy' | 'compute', slots: readonly number[], isWarm: boolean): Promise<number[]> {
  await using model = await loadModel(modelFolder('tiny'), { device: 'cpu', contextSize: 512 });
  const text = readFileSync(new URL('../../bench/texts/help.txt', import.meta.url), 'utf8').slice(0, 1500);
  const { routes } = await model.forward(model.tokenizer.encode(text), { trace: true });
  const { experts, topK } = model.config.moe!;
  return slots.map((count) => {
    let [hits, all] = [0, 0];
    for (const route of routes!) {
      const rows = route.experts.length / topK;
      const heat = new Float32Array(isWarm ? experts : 0);
      // A profile knows the first half of the text; the second is counted.
      const half = Math.floor(rows / 2);
      if (isWarm) for (const expert of route.experts.subarray(0, half * topK)) heat[expert]!++;
      const steps = Array.from({ length: rows - half }, (_, i) => ({
        experts: route.experts.slice((half + i) * topK, (half + i + 1) * topK),
        isWholeRow: true,
      }));
      for (const { traffic } of placeExperts({ experts, slots: count, topK, misses, heat, costs: noCosts, steps })) {
        hits += traffic[0];
        all += traffic[0] + traffic[1];
      }
    }
    return hits / all;
  });
}

test('hit rates on the trained model’s routes', async (t) => {
  const slots = [4, 6, 8, 10, 12, 14, 15];
  const copied = await hitRates('copy', slots, true);
  const [fixed, cold] = [await hitRates('compute', slots, true), await hitRates('compute', slots, false)];
  t.comment(`slots ${slots.join(' ')} of 16`);
  const rates = { 'copied, from a profile': copied, 'fixed, from a profile': fixed, 'fixed, the first ones': cold };
  for (const [name, found] of Object.entries(rates)) {
    t.comment(`${name}: ${found.map((rate) => rate.toFixed(3)).join(' ')}`);
    t.ok(
      found.every((rate, i) => i === 0 || rate > found[i - 1]!),
      `${name}: more slots, more hits`,
    );
  }
  t.ok(
    cold.every((rate, i) => Math.abs(rate - slots[i]! / 16) < 0.15),
    'the first ones are about as good as any',
  );
  t.ok(
    fixed.every((rate, i) => rate > cold[i]!),
    'those of a profile better',
  );
});

/**
 * Small enough for a load on SwiftShader to be quick: 8 experts of which 2 are chosen, an MTP block. All layers attend
 * to everything, so that they share the kernels that take longest to compile.
 */
async function smallModel(t: Test, changes: Partial<HfConfig> = {}): Promise<string> {
  const folder = join(await newFolder(t), 'model');
  const config: Partial<HfConfig> = {
    model_type: 'exaone_moe',
    vocab_size: 60,
    hidden_size: 40,
    intermediate_size: 48,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    num_hidden_layers: 2,
    layer_types: ['full_attention', 'full_attention'],
    moe_intermediate_size: 24,
    num_experts: 8,
    num_experts_per_tok: 2,
    mlp_layer_types: ['dense', 'sparse'],
    ...changes,
  };
  writeRandomModel(folder, makeRandomModel(config, 3), {
    dtype: 'BF16',
    experts: 'separate',
    biasUnderGate: false,
    shards: 1,
  });
  return folder;
}

interface Outcome {
  logits: Float32Array;
  mtpLogits: Float32Array;
  few: Float32Array;
  ids: number[];
  experts: Awaited<ReturnType<Model['generate']>>['experts'];
  memory: Model['memory'];
}

async function outcomeOf(folder: string, options: LoadOptions): Promise<Outcome> {
  const model = await loadModel(folder, { device: 'swiftshader', contextSize: 64, prefillChunk: 24, ...options });
  try {
    const ids = randomIds(40, model.config.vocabSize, 5);
    const { logits, mtpLogits } = await model.forward(ids, { mtp: true });
    const few = await model.replay(Uint32Array.from(ids.slice(0, 9)), 0, 9);
    const answer = await model.generate(ids.slice(0, 20), { temperature: 0, maxTokens: 12, ignoreEos: true, mtp: 2 });
    return {
      logits,
      mtpLogits: mtpLogits!,
      few,
      ids: answer.ids,
      experts: answer.experts,
      memory: model.memory,
    };
  } finally {
    await model.close();
  }
}

function difference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

test('slots from all to none: the bits of a model wholly on the GPU where experts are copied', async (t) => {
  const folder = await smallModel(t);
  const whole = await outcomeOf(folder, {});
  t.equal(whole.experts, undefined, 'all experts there: no traffic');
  t.equal(whole.memory.experts, null, 'and no slots');
  const all = await loadModel(folder, { device: 'swiftshader', contextSize: 64, prefillChunk: 24, expertSlots: 8 });
  t.deepEqual(all.memory, whole.memory, 'as many slots as experts are no slots');
  await all.close();
  let least = 1;
  for (const expertSlots of [7, 4, 2]) {
    const found = await outcomeOf(folder, { expertSlots });
    t.ok(
      isSame(found.logits, whole.logits) && isSame(found.mtpLogits, whole.mtpLogits),
      `${expertSlots} slots: large steps`,
    );
    t.ok(isSame(found.few, whole.few), 'and small ones');
    t.deepEqual(found.ids, whole.ids, 'and the answer, with drafts');
    const traffic = found.experts!;
    t.ok(traffic.hitRate <= least && traffic.hitRate > 0, `fewer hits with fewer slots: ${traffic.hitRate.toFixed(3)}`);
    least = traffic.hitRate;
    t.equal(traffic.computed, 0, 'nothing is computed by the processor');
    // Gate, up and down, 24 by 40, whose rows are whole chunks of eight.
    t.equal(traffic.copiedBytes, traffic.copies * 3 * 24 * 40 * 2, 'bytes are those of the experts copied');
    t.equal(
      found.memory.experts!.slotBytes,
      expertSlots * 3 * 24 * 40 * 2,
      'the plan counts the slots of the one layer that has experts',
    );
    t.equal(
      whole.memory.weights.total - found.memory.weights.total,
      (8 - expertSlots) * 3 * 24 * 40 * 2,
      'and leaves the others out',
    );
  }
  t.ok(least < 0.9, 'and with two far fewer');
  // Steps of up to 24 rows, which are grouped by expert, and small ones alone, whose kernels are sooner compiled.
  for (const [expertSlots, expertMisses, prefillChunk] of [
    [4, 'compute', 24],
    [1, undefined, 16],
    [0, undefined, 24],
    [3, 'auto', 16],
  ] as const) {
    const options = { expertSlots, prefillChunk, ...(expertMisses && { expertMisses }) };
    const found = await outcomeOf(folder, options);
    const name = `${expertSlots} slots, ${expertMisses ?? 'the rest computed'}`;
    const worst = Math.max(difference(found.logits, whole.logits), difference(found.few, whole.few));
    t.ok(worst > 0 && worst < 1e-4, `${name}: logits within 1e-4, ${worst.toExponential(1)}`);
    t.deepEqual(found.ids, whole.ids, 'the same answer');
    t.ok(found.experts!.computed > 0 || expertMisses === 'auto', 'the processor did its part');
    if (expertMisses !== 'auto') {
      t.equal(found.experts!.copies, 0, 'nothing is copied');
      if (expertMisses === undefined) continue;
      const again = await outcomeOf(folder, options);
      t.ok(isSame(again.logits, found.logits) && isSame(again.few, found.few), 'the same bits again');
    }
  }
});

test('post-norm, experts that are stored anew, and no shared expert', async (t) => {
  const folder = await smallModel(t, { hidden_size: 64, moe_intermediate_size: 32, num_shared_experts: 0 });
  for (const weights of ['auto', 'q8'] as const) {
    const whole = await outcomeOf(folder, { weights });
    const copied = await outcomeOf(folder, { weights, expertSlots: 3 });
    t.ok(
      isSame(copied.logits, whole.logits) && isSame(copied.few, whole.few),
      `${weights}: the bits of all on the GPU`,
    );
    const { host, mapped } = copied.memory.experts!;
    t.equal(mapped, weights === 'auto' ? host : 0, 'read in place in the type of the file only');
    const computed = await outcomeOf(folder, {
      weights,
      expertSlots: 1,
      expertMisses: 'compute',
      prefillChunk: 16,
    });
    const worst = difference(computed.logits, whole.logits);
    t.ok(worst > 0 && worst < 1e-4, `${weights}: computed within 1e-4, ${worst.toExponential(1)}`);
  }
  await rejects(
    t,
    loadModel(folder, { device: 'swiftshader', expertSlots: 0 }),
    /^expertSlots: wanted an integer from 1 to 8/,
  );
});

test('edge and wide: groups, two shared experts, 128 experts', async (t) => {
  for (const [name, expertSlots] of [
    ['edge', 5],
    ['wide', 24],
  ] as const) {
    const logits: Float32Array[] = [];
    for (const slots of [undefined, expertSlots]) {
      const options = { device: 'swiftshader', contextSize: 64, prefillChunk: 20 } as const;
      const model = await loadModel(modelFolder(name), { ...options, ...(slots && { expertSlots: slots }) });
      logits.push((await model.forward(randomIds(23, model.config.vocabSize, 8))).logits);
      await model.close();
    }
    t.ok(isSame(logits[0]!, logits[1]!), `${name}: 20 rows and 3, ${expertSlots} slots`);
  }
});

test('a profile of which experts are wanted', async (t) => {
  const folder = await smallModel(t);
  const path = join(await newFolder(t), 'experts.json');
  const options = {
    device: 'swiftshader',
    contextSize: 64,
    prefillChunk: 16,
    expertSlots: 2,
    expertMisses: 'compute',
    expertProfile: path,
  } as const;
  const hitRate = async () => {
    await using model = await loadModel(folder, options);
    const answer = await model.generate(randomIds(20, 60, 5), { temperature: 0, maxTokens: 6, ignoreEos: true });
    return answer.experts!.hitRate;
  };
  const first = await hitRate();
  const { heat } = JSON.parse(readFileSync(path, 'utf8')) as { heat: number[][] };
  t.equal(heat.length, 3, 'two layers and the MTP block');
  t.equal(
    heat[0]!.reduce((sum, value) => sum + value, 0),
    0,
    'a dense layer has no experts',
  );
  t.equal(
    heat[1]!.reduce((sum, value) => sum + value, 0),
    2 * 25,
    'two of each token that was computed',
  );
  const second = await hitRate();
  t.ok(second > first, `the second time more are there: ${first.toFixed(3)}, ${second.toFixed(3)}`);
  writeFileSync(path, JSON.stringify({ version: 1, heat: [[1, 2]] }));
  await rejects(t, loadModel(folder, options), /experts\.json: not an expert profile \(wanted 3 layers of 8 experts/);
  writeFileSync(path, '{');
  await rejects(t, loadModel(folder, options), /experts\.json: not an expert profile/);
});

test('a profile that cannot be written', async (t) => {
  const folder = await smallModel(t);
  const place = await newFolder(t);
  const path = join(place, 'experts.json');
  const options = { device: 'swiftshader', contextSize: 64, expertSlots: 2, expertMisses: 'compute' } as const;
  for (const [expertProfile, reason] of [
    [join(place, 'missing', 'experts.json'), /cannot be written: no such folder/],
    [place, /found a folder/],
  ] as const)
    await rejects(t, loadModel(folder, { ...options, expertProfile }), reason);
  const model = await loadModel(folder, { ...options, expertProfile: path });
  // Something has come to its place since then.
  mkdirSync(path);
  await rejects(t, model.close(), /experts\.json: cannot be written: .*found a folder/);
  await rejects(t, loadModel(folder, { device: 'cpu', expertProfile: path }), /expertProfile: wanted a GPU as device/);
});

test('a limit of the GPU’s memory', async (t) => {
  const folder = await smallModel(t);
  const { openModelFolder } = await import('../../lib/files/model-folder.js');
  const { description } = await openModelFolder(folder);
  const whole = planMemory(description, { device: 'gpu', contextSize: 64 });
  const most = planMemory(description, { device: 'gpu', contextSize: 64, gpuMemory: whole.total });
  t.equal(most.experts, null, 'enough for all');
  const less = planMemory(description, { device: 'gpu', contextSize: 64, gpuMemory: whole.total - 1 });
  t.ok(less.experts !== null && less.total < whole.total, `a byte less: ${less.experts?.slots} slots`);
  const more = planMemory(description, { device: 'gpu', contextSize: 64, expertSlots: less.experts!.slots + 1 });
  t.ok(more.experts === null || more.total >= whole.total, 'and not one more would fit');
  const short = planMemory(description, { device: 'gpu', contextSize: 9, expertSlots: 0 }).total;
  t.throws(
    () => planMemory(description, { device: 'gpu', contextSize: 64, gpuMemory: short }),
    /^KexaError: gpuMemory: wanted [\d.]+ MiB with 0 experts of each layer, found [\d.]+ MiB; contextSize (9|[1-5]\d) would fit/,
    'too little for the rest',
  );
  t.throws(
    () => planMemory(description, { device: 'gpu', contextSize: 64, gpuMemory: 100 }),
    /not even a context of one token would fit/,
    'far too little',
  );
  t.throws(
    () => planMemory(description, { device: 'gpu', expertSlots: 1, expertMisses: 'copy' }),
    /^KexaError: expertSlots: wanted at least 2, the experts that a token needs at once/,
    'too few to copy',
  );
  t.throws(
    () => planMemory(description, { expertSlots: 2 }),
    /^KexaError: expertSlots: wanted a GPU as device/,
    'the CPU',
  );
  t.throws(() => planMemory(description, { device: 'gpu', expertSlots: 9 }), /an integer from 0 to 8/, 'too many');
});

test('a GPU that is smaller than the plan is refused, with what would fit', async (t) => {
  const { openModelFolder } = await import('../../lib/files/model-folder.js');
  const { description } = await openModelFolder(await smallModel(t));
  const options = { ...checkPlanOptions({ contextSize: 64 }, 64), adapter: 'gpu' };
  const plan = planned(description, options);
  const on =
    (memoryBytes: number, isSoftware = false) =>
    () =>
      checkGpuFits(description, options, plan, { name: 'a card', memoryBytes, isSoftware });
  t.doesNotThrow(on(plan.total), 'just enough');
  t.doesNotThrow(on(1, true), 'a software GPU has the system’s memory');
  t.throws(
    on(plan.total - 1),
    /^KexaError: memory of a card: wanted [\d.]+ MiB, found [\d.]+ MiB; expertSlots [1-7] would/,
  );
  t.throws(on(1000), /^KexaError: memory of a card: wanted .*; not even a context of one token would fit$/);
});

async function rejects(t: Test, promise: Promise<unknown>, message: RegExp): Promise<void> {
  try {
    await promise;
    t.fail('should have failed');
  } catch (error) {
    t.ok(error instanceof KexaError && message.test(error.message), String(error));
  }
}

test('slots on devices that share a model', async (t) => {
  const folder = await smallModel(t, { mlp_layer_types: ['sparse', 'sparse'] });
  const path = join(await newFolder(t), 'experts.json');
  const whole = await outcomeOf(folder, {});
  // On the CPU all experts are at home; the second layer's have three slots.
  const shared = { device: ['cpu', 'swiftshader'], layerSplit: [1, 1], expertSlots: 3, expertProfile: path };
  const found = await outcomeOf(folder, shared);
  const worst = difference(found.logits, whole.logits);
  t.ok(worst < 1e-4, `logits within 1e-4, ${worst.toExponential(1)}`);
  t.deepEqual(found.ids, whole.ids, 'the same answer');
  t.ok(found.experts!.misses > 0 && found.experts!.copies > 0, 'with experts copied');
  const { heat } = JSON.parse(readFileSync(path, 'utf8')) as { heat: number[][] };
  const sums = heat.map((row) => row.reduce((sum, value) => sum + value, 0));
  t.ok(heat.length === 3 && sums[0] === 0 && sums[1]! > 0, 'the profile tells of the GPU’s layer');
  await (await loadModel(folder, { ...shared, contextSize: 64 })).close();
  t.pass('and is read back');
  await rejects(t, loadModel(folder, { ...shared, gpuMemory: 2 ** 30 }), /^gpuMemory: wanted one device; with several/);
});
